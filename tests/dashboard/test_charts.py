"""The row under every figure, as far as it can be seen without a browser (tests/browser saves for real)."""

import pandas as pd
from streamlit.testing.v1 import AppTest

from dashboard.charts import csv_text

DATA = pd.DataFrame({"class": ["Größe"], "n": [3]})


def page() -> None:
    import pandas as pd
    import plotly.graph_objects as go

    from dashboard.charts import show_figure

    data = pd.DataFrame({"class": ["BA"], "n": [3]})
    show_figure(go.Figure(go.Bar(x=[1], y=[2])), data, "bars", "bars")
    show_figure(go.Figure(go.Bar(x=[1], y=[2])), data, "more", "more", index=True, on_select="ignore")


def test_every_figure_offers_its_numbers():
    app = AppTest.from_function(page, default_timeout=60).run()
    assert not app.exception
    buttons = {button.key: button for button in app.download_button}
    assert set(buttons) == {"csv_bars", "csv_more"}
    assert {button.label for button in buttons.values()} == {"CSV"}


def test_the_numbers_open_with_the_right_letters():
    assert csv_text(DATA).decode("utf-8-sig") == "class,n\nGröße,3\n"
    assert csv_text(DATA).startswith(b"\xef\xbb\xbf")
    assert csv_text(DATA.rename_axis("row"), index=True).decode("utf-8-sig").startswith("row,class")
