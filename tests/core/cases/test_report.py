"""What a report says, as a web page and as a PDF: every figure, the right cells, the same bytes for the same log, and
nothing of a hostile name but its letters.
"""

import base64
import io
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape

import numpy as np
import pytest
from PIL import Image

from core.cases.case import Reader
from core.cases.limits import shipped_limits
from core.cases.report import cut_out, report_of, utc_text
from core.cases.report_html import to_html
from core.cases.report_pdf import to_pdf
from tests.drawn_cases import ANNA, LUKASZ, WHITES, DrawnCase, drawn_case, picture_of, reviewed_case, said, signed_case
from tests.drawn_fields import draw_field

AT = datetime(2026, 11, 30, 21, 5, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x07 =1+1 'x' \"y\" & \u2028"


def report(drawn, at=AT):
    return report_of(drawn.case, drawn.picture_bytes, shipped_limits(), at)


def html(drawn, at=AT):
    return to_html(report(drawn, at)).decode()


def pdf_text(content, tmp_path):
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    path = tmp_path / "report.pdf"
    path.write_bytes(content)
    done = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, check=True)
    return done.stdout.decode()


def words(text):
    return " ".join(text.split())


def plain(page):
    """The text that a person reads."""
    body = page[page.index("<main>") :]
    return words(unescape(re.sub(r"<[^>]+>", " ", body)))


def shown_pictures(page):
    found = re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]+)">', page)
    return [(unescape(alt), np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))) for alt, data in found]


@pytest.fixture(scope="module")
def signed():
    return signed_case()


@pytest.fixture(scope="module")
def page(signed):
    return html(signed)


def figures(said):
    """Each figure that both kinds of report must show."""
    told = [said.sample, "A-1, A-2", "blood of an adult", "cnn_se-64-ca0bf2", said.readers[0].name, said.review_line]
    for row in (*said.rows, said.erythroblasts):
        told += [row.code, f"{row.percent:.1f}", str(row.count), row.reference_text]
        told += [f"{low:.1f} to {high:.1f}" for low, high in (row.exact, row.with_errors)]
    told += [flag.text for flag in said.flags] + list(said.apart) + list(said.history)
    told += ["100.0", str(said.differential.white), "Research use only, not a medical device.", "2026-11-30 21:05 UTC"]
    for agreement in said.agreements:
        told += [f"{agreement.kappa:.2f}", f"{agreement.agreed} of {agreement.cells} cells alike"]
    return [words(figure) for figure in told if figure]


def test_every_figure_is_on_the_page(signed, page):
    text = plain(page)
    missing = [figure for figure in figures(report(signed)) if figure not in text]
    assert missing == []


def test_every_figure_is_in_the_pdf(signed, tmp_path):
    said = report(signed)
    text = words(pdf_text(to_pdf(said), tmp_path))
    missing = [figure for figure in figures(said) if figure not in text]
    assert missing == []
    assert signed.case.head[:40] in text


def test_the_counts_are_those_of_the_case(signed):
    said = report(signed)
    told = signed.case.differential()
    assert {row.code: row.count for row in said.rows} == {of.code: of.count for of in told.classes}
    assert sum(row.percent for row in said.rows) == pytest.approx(100)
    assert sum(row.count for row in said.rows) == told.white == said.differential.white


def test_alarms_and_corrections_show_their_own_cells(signed, page):
    shown = shown_pictures(page)
    by_number = {int(re.search(r"\d+", alt).group()): pixels for alt, pixels in shown}
    alarms = [n for n, reading in signed.case.readings.items() if reading.cell.prediction.alarm]
    corrected = [n for n, reading in signed.case.readings.items() if reading.corrected]
    assert set(by_number) == {*alarms, *corrected}
    assert len(shown) == len(by_number) > 8
    for number, pixels in by_number.items():
        cell = signed.case.readings[number].cell
        if number <= 200:
            assert (pixels == picture_of(cell.prediction.code, number)).all()
        else:
            left, top, right, bottom = cell.box
            assert (pixels == draw_field(WHITES)[top:bottom, left:right]).all()


def test_the_pdf_shows_the_same_cells(signed, tmp_path):
    if shutil.which("pdfimages") is None:
        pytest.skip("pdfimages (poppler-utils) is not installed")
    (tmp_path / "report.pdf").write_bytes(to_pdf(report(signed)))
    subprocess.run(["pdfimages", "-png", tmp_path / "report.pdf", tmp_path / "cell"], check=True)
    found = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(tmp_path.glob("cell-*.png"))]
    wanted = [picture.pixels for picture in (*report(signed).alarms, *report(signed).corrected)]
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one == other).all()


def test_a_box_may_leave_its_picture_and_a_large_cell_is_reduced():
    field = draw_field(WHITES)
    height, width = field.shape[:2]
    part = cut_out(field, (-10, -20, 30, 20))
    assert part.shape == (40, 40, 3)
    assert (part[:20] == 255).all()
    assert (part[:, :10] == 255).all()
    assert (part[20:, 10:] == field[:20, :30]).all()
    assert (cut_out(field, (width + 5, 0, width + 25, 20)) == 255).all()
    assert cut_out(field, (0, 0, width, height)).shape == (144, 192, 3)


def test_a_picture_that_is_gone_is_told(signed):
    drawn = signed_case()
    drawn._files.clear()
    drawn.picture_bytes = lambda sha256: b"no picture"
    said = report_of(drawn.case, drawn.picture_bytes, shipped_limits(), AT)
    assert all(picture.pixels is None for picture in (*said.alarms, *said.corrected))
    assert "can’t be read" in to_html(said).decode()
    assert to_pdf(said).startswith(b"%PDF")


def test_the_same_log_gives_the_same_bytes(signed):
    again = signed_case()
    assert html(again) == html(signed)
    assert to_pdf(report(again)) == to_pdf(report(signed))
    later = datetime(2027, 1, 2, 3, 4, tzinfo=UTC)
    assert html(signed, later) != html(signed)
    assert html(signed, later).replace(utc_text(later.isoformat()), utc_text(AT.isoformat())) == html(signed)


def test_another_decision_gives_another_report(signed):
    other = reviewed_case().decide(ANNA, "assign", 1, "LY").decide(LUKASZ, "sign")
    assert html(other) != html(signed)


def test_a_draft_says_so_on_every_page_and_what_stops_it(tmp_path):
    drawn = drawn_case()
    said = report(drawn)
    pages = pdf_text(to_pdf(said), tmp_path).split("\f")[:-1]
    assert len(pages) > 1
    assert all("Draft, not signed" in text for text in pages)
    page = html(drawn)
    assert '<table class="pages" role="presentation"><thead' in page  # heads each printed page
    assert "3 cells: may be abnormal , numbers 193, 194, 202" in plain(page)
    assert "Not final: 9 counted cells must still be looked at" in plain(page)


def test_a_signed_report_names_who_signed_and_is_no_draft(signed, page, tmp_path):
    assert "raft" not in plain(page)
    assert "raft" not in pdf_text(to_pdf(report(signed)), tmp_path)
    assert "Signed by Łukasz Żak (identity not verified), 2026-11-30" in plain(page)
    assert "Anna Müller verified (signed in)" in plain(page)


def test_an_amended_case_is_told_with_all_its_versions():
    drawn = signed_case().decide(ANNA, "amend", reason="second opinion", text="of Dr. Β")
    said = report(drawn)
    assert said.is_draft
    assert said.version == 2
    drawn.decide(ANNA, "assign", 1, "LY").decide(LUKASZ, "sign")
    said = report(drawn)
    assert not said.is_draft
    assert [line.partition(" by ")[0] for line in said.history] == [
        "Version 1 reviewed",
        "Version 1 signed",
        "Version 2 opened again to amend it",
        "Version 2 signed",
    ]
    assert "second opinion of Dr. Β" in plain(html(drawn))


def hostile_case():
    answers = [said("NE"), said("LY", kind="unsure", alarm=True)]
    drawn = DrawnCase(answers, field=False, folder=HOSTILE, sample=HOSTILE, note=HOSTILE, profile=HOSTILE)
    reader = Reader(HOSTILE)
    return drawn.decide(reader, "assign", 2, "BLA", reason=HOSTILE, text=HOSTILE).decide(reader, "note", text=HOSTILE)


def test_hostile_names_stay_names_on_the_page():
    page = html(hostile_case())
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\u2028]", page.replace("\n", " "))
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#)""", page.split("<main>")[0])
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []


def test_hostile_names_stay_names_in_the_pdf(tmp_path):
    text = pdf_text(to_pdf(report(hostile_case())), tmp_path)
    assert "<script>alert(1)</script>" in text
    assert not re.search("[\x00-\x08\u202a-\u202e]", text)


@pytest.mark.parametrize(
    "name", ["Łukasz Żak", "Ελένη Παπαδοπούλου", "Дмитро Ковальчук", "Nguyễn Thị Hồng", "Çağrı Şen"]
)
def test_names_come_out_right(name, tmp_path):
    drawn = DrawnCase([said("NE")], field=False, sample=f"S {name}")
    assert name in words(pdf_text(to_pdf(report(drawn)), tmp_path))
    assert name in plain(html(drawn))


def test_scripts_that_the_font_lacks_are_told_and_no_boxes(tmp_path):
    drawn = DrawnCase([said("NE")], field=False, sample="山田 太郎 7")
    text = words(pdf_text(to_pdf(report(drawn)), tmp_path))
    assert "[4 characters this font lacks] 7" in text
    assert "this file's font has no such script" in text
    assert "山田 太郎 7" in plain(html(drawn))
    assert "font has no such script" not in words(pdf_text(to_pdf(report(DrawnCase([said("NE")]))), tmp_path))


def test_names_without_end_break_no_page(tmp_path):
    drawn = DrawnCase([said("NE"), said("LY", alarm=True)], field=False, sample="x" * 200, folder="y" * 300)
    drawn.case = replace(drawn.case, note="a word " * 550, laboratory="z" * 500)
    drawn.decide(Reader("w" * 200), "note", text="v" * 900).decide(Reader("w" * 200), "assign", 2, "")
    text = pdf_text(to_pdf(report(drawn)), tmp_path)
    assert text.count("\f") <= 5
    assert words(text).count("a word") == 550
    assert "All white cells" in text


def test_many_pictures_are_capped_and_the_rest_is_told():
    drawn = DrawnCase([said("NE")] * 70, field=False)
    for number in range(1, 71):
        drawn.decide(ANNA, "assign", number, "LY")
    said_ = report(drawn)
    assert (len(said_.corrected), said_.corrected_in_all) == (60, 70)
    assert "The first 60 of 70" in plain(html(drawn))


def test_flags_name_rule_source_and_chance():
    drawn = DrawnCase([said("NE")] * 30 + [said("LY")] * 60 + [said("IG")] * 9 + [said("MO")] * 1, field=False)
    flags = report(drawn).flags
    assert [flag.text.split(" ")[0] for flag in flags if flag.is_review] == ["IG"]
    assert "ISLH" in flags[0].rule
    assert any("beyond chance" in flag.rule for flag in flags)
    assert any("chance may have done it" in flag.rule for flag in flags)
    sides = {row.code: row.side for row in report(drawn).rows}
    assert (sides["NE"], sides["LY"], sides["MO"], sides["EO"], sides["IG"]) == ("low", "high", "low", "low", "")


def test_nothing_counted_and_other_classes_make_a_report_too(tmp_path):
    empty = DrawnCase([said("")], field=False)
    assert report(empty).rows[0].percent is None
    assert "Nothing was counted" in plain(html(empty))
    assert to_pdf(report(empty)).startswith(b"%PDF")
    from core.cases.case import CellPrediction

    answers = [CellPrediction("AAA", "sure", (0.9, 0.1), ("AAA",))] * 3 + [CellPrediction("BBB", "sure", (0.2, 0.8))]
    other = DrawnCase(answers, field=False, codes=("AAA", "BBB"), dataset="nowhere", errors=None)
    said_ = report(other)
    assert said_.title == "Cell count"
    assert [(row.code, row.count, row.percent) for row in said_.rows] == [("AAA", 3, 75.0), ("BBB", 1, 25.0)]
    assert said_.flags == ()
    assert "AAA" in words(pdf_text(to_pdf(said_), tmp_path))


def test_times_are_told_in_utc():
    assert utc_text("2026-11-30T22:05:00+01:00") == "2026-11-30 21:05 UTC"
    assert utc_text("2026-11-30T21:05:00") == "2026-11-30 21:05 UTC"
    assert utc_text("") == ""
