"""Tables that pages give to spreadsheets: no text in them is a formula, whoever wrote it."""

import io

import pandas as pd

from dashboard.charts import csv_text

HOSTILE = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\uff1d1", " =1", 'a"b,c\nd', "plain"]


def test_texts_columns_and_rows_are_guarded_and_numbers_stay():
    table = pd.DataFrame({"=name": HOSTILE, "share": [-0.5] * len(HOSTILE)}, index=HOSTILE)
    read = pd.read_csv(io.BytesIO(csv_text(table, index=True)), index_col=0)
    assert list(read.columns) == ["'=name", "share"]
    for texts in (read["'=name"], read.index):
        assert [text.startswith("'") for text in texts] == [True] * 7 + [False] * 2
        assert [text.removeprefix("'") for text in texts] == HOSTILE
    assert set(read["share"]) == {-0.5}
