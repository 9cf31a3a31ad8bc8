"""A case's report as a PDF on A4: the same facts as the web page, state and sample on every page.

What the font can't print (it has Latin, Greek and Cyrillic letters) is told in its place, never left as a box.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from fpdf import FPDF
from fpdf.enums import MethodReturnValue, XPos, YPos
from PIL import Image

from core.cases.agreement import Agreement
from core.cases.fonts import font_file, substituted
from core.cases.report import (
    CellPicture,
    ClassRow,
    Report,
    agreement_text,
    axis_end,
    differing_text,
    interval_text,
    pair_text,
)
from core.colours import LIGHT, PRIMARY
from core.formatting import RESEARCH_LINE, exact_percent

_MARGIN, _WIDTH, _BOTTOM = 15.0, 180.0, 277.0  # mm
_FEW_LINES, _MOST_LINES = 4, 45  # of a fact beside others, and of one alone
_AMBER, _GREEN, _RED = "#a5551a", "#1f7a5a", "#a3304f"
_LACKS = (
    "Where it says that characters are lacking, this file's font has no such script: the web page (HTML) shows them."
)


def to_pdf(report: Report) -> bytes:
    """The ``report``; the same one gives the same bytes."""
    paper = _Paper(report)
    _head(paper, report)
    _differential(paper, report)
    _flags(paper, report)
    _pictures(paper, "May be abnormal", report.alarms, report.alarms_in_all)
    _pictures(paper, "Corrected cells", report.corrected, report.corrected_in_all)
    _readers(paper, report)
    _origin(paper, report)
    return bytes(paper.output())


class _Paper(FPDF):
    """Pages with their head and foot, and the few kinds of text that a report has; lengths in mm."""

    def __init__(self, report: Report):
        super().__init__(format="A4")
        self.report, self.lacks = report, False
        self.add_font("sans", "", str(font_file("Regular")))
        self.add_font("sans", "B", str(font_file("Semibold")))
        self.set_margins(_MARGIN, 26, _MARGIN)
        self.c_margin = 0
        self.set_auto_page_break(True, 20)
        self.set_lang("en")
        self.set_title(self.text_of(f"{report.title}, {report.sample}, version {report.version}, {report.state}"))
        self.set_creator("HemaLens")
        self.set_creation_date(datetime.strptime(report.printed, "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC))
        self.add_page()

    def text_of(self, text: str) -> str:
        """``text`` as this font can print it."""
        shown = substituted(text)
        self.lacks |= "this font lacks]" in shown
        return shown

    def ink(self, colour: str, size: float, style: str = "") -> None:
        """What is written next: ``colour`` hex, ``size`` in points, ``style`` '' or 'B'."""
        self.set_text_color(*_rgb(colour))
        self.set_font("sans", style, size)

    def at(self, x: float, y: float, text: str, width: float = 0, align: str = "L", height: float = 5) -> None:
        """One line, cut where it is longer than ``width``."""
        text = self.text_of(text)
        if width and self.get_string_width(text) > width:
            while text and self.get_string_width(f"{text} ...") > width:
                text = text[:-1]
            text += " ..."
        self.set_xy(x, y)
        self.cell(width or None, height, text, align=align)

    def paragraph(
        self, text: str, size: float = 9.5, colour: str = LIGHT["text"], x: float = _MARGIN, after: float = 1
    ):
        """Lines as wide as the page from ``x`` on; a page breaks between them."""
        self.ink(colour, size)
        self.set_x(x)
        width = _MARGIN + _WIDTH - x
        self.multi_cell(width, size * 0.47, self.text_of(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(after)

    def lines_of(self, text: str, width: float, size: float, style: str = "") -> list[str]:
        """``text`` broken into lines of at most ``width``."""
        self.set_font("sans", style, size)
        lines = self.multi_cell(width, 4, self.text_of(text), dry_run=True, output=MethodReturnValue.LINES, align="L")
        return cast(list[str], lines)

    def need(self, height: float) -> None:
        """Begin a new page where less than ``height`` is left."""
        if self.get_y() + height > _BOTTOM:
            self.add_page()

    def heading(self, text: str, room: float = 25) -> None:
        """A section's title, together with the ``room`` that its beginning takes."""
        self.need(room)
        self.ln(4)
        self.ink(LIGHT["text"], 13, "B")
        self.cell(0, 7, self.text_of(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(1)

    def header(self) -> None:
        """State and sample, on every page."""
        self.set_fill_color(*_rgb(PRIMARY[False]))
        self.rect(_MARGIN, 13.2, 3.2, 3.2, "F", round_corners=True, corner_radius=1)
        self.ink(LIGHT["text"], 9, "B")
        self.at(_MARGIN + 5, 12.3, "HemaLens", 20)
        self.ink(LIGHT["quiet"], 9)
        self.at(_MARGIN + 24, 12.3, f"{self.report.title}, {self.report.sample}", 90)
        self.ink(_AMBER if self.report.is_draft else _GREEN, 9, "B")
        self.at(_MARGIN + 116, 12.3, f"{self.report.state}, version {self.report.version}", 64, "R")
        self.line_across(19)
        self.set_xy(_MARGIN, 24)

    def footer(self) -> None:
        """What it is for, when it was printed, and which page this is."""
        self.line_across(281)
        self.ink(LIGHT["quiet"], 8)
        self.at(_MARGIN, 282, RESEARCH_LINE, 80)
        self.at(_MARGIN + 80, 282, f"Printed {self.report.printed}", 60)
        self.set_xy(_MARGIN + 140, 282)
        self.cell(40, 5, f"Page {self.page_no()} of {{nb}}", align="R")

    def line_across(self, y: float, colour: str = LIGHT["line"]) -> None:
        """A hairline from margin to margin."""
        self.set_draw_color(*_rgb(colour))
        self.set_line_width(0.2)
        self.line(_MARGIN, y, _MARGIN + _WIDTH, y)


def _head(paper: _Paper, report: Report) -> None:
    paper.ink(LIGHT["text"], 20, "B")
    paper.set_x(_MARGIN)
    title = f"{report.title} "
    one_line = paper.get_string_width(title + paper.text_of(report.sample)) < _WIDTH
    paper.cell(None, 9, title, new_x=XPos.END if one_line else XPos.LMARGIN, new_y=YPos.TOP if one_line else YPos.NEXT)
    paper.ink(PRIMARY[False], 20 if one_line else 12, "B")
    height = 9 if one_line else 5.5
    paper.multi_cell(0, height, paper.text_of(report.sample), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    paper.ln(2)
    _facts(paper, report.facts, 3)
    if report.open_cells:
        paper.ln(3)
        paper.ink(_AMBER, 10, "B")
        paper.cell(0, 5, "Must be looked at before it can be signed", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        for what, numbers in report.open_cells:
            paper.paragraph(f"{what}, {numbers}", after=0)


def _facts(paper: _Paper, facts: Sequence[tuple[str, str]], columns: int) -> None:
    """Names above their values, on a panel; what is long has a row of its own."""
    width = (_WIDTH - 8) / columns
    short = [(name, value) for name, value in facts if len(paper.lines_of(value, width - 4, 9)) <= _FEW_LINES]
    rows = [short[begin : begin + columns] for begin in range(0, len(short), columns)]
    rows += [[fact] for fact in facts if fact not in short]
    for facts_of_row in rows:
        room = (width if len(facts_of_row) > 1 or facts_of_row[0] in short else _WIDTH - 8) - 4
        row = [(name, paper.lines_of(value, room, 9)[:_MOST_LINES]) for name, value in facts_of_row]
        height = 6.5 + 4.4 * max(len(lines) for _, lines in row)
        paper.need(height)
        y = paper.get_y()
        paper.set_fill_color(*_rgb(LIGHT["panel"]))
        paper.rect(_MARGIN, y, _WIDTH, height, "F")
        for place, (name, lines) in enumerate(row):
            x = _MARGIN + 4 + place * width
            paper.ink(LIGHT["quiet"], 8)
            paper.at(x, y + 1.2, name, room, height=4)
            paper.ink(LIGHT["text"], 9)
            for number, line in enumerate(lines):
                paper.at(x, y + 5 + 4.4 * number, line, room + 1, height=4.4)
        paper.set_xy(_MARGIN, y + height)


_COLUMNS = (
    ("Class", 49.0, "L"),
    ("Cells", 11.0, "R"),
    ("Reviewed", 15.0, "R"),
    ("%", 15.0, "R"),
    ("", 31.0, "L"),
    ("95 %, exact", 21.0, "R"),
    ("with errors", 21.0, "R"),
    ("Reference", 17.0, "R"),
)


def _differential(paper: _Paper, report: Report) -> None:
    paper.heading(report.title, 60)
    most = axis_end(report.rows)
    titles = [title or f"   0 to {most:.0f} %" for title, _, _ in _COLUMNS]
    titles[3] = "% of white" if report.is_differential else "% of cells"
    paper.ink(LIGHT["quiet"], 8, "B")
    _line(paper, titles, 6)
    for row in report.rows:
        _class_line(paper, row, most)
    shares = [row.percent for row in report.rows if row.percent is not None]
    paper.ink(LIGHT["text"], 9.5, "B")
    counts, reviewed = sum(row.count for row in report.rows), sum(row.reviewed for row in report.rows)
    whole = f"{sum(shares):.1f}" if shares and counts else ""
    title = "All white cells" if report.is_differential else "All cells"
    _line(paper, [title, str(counts), str(reviewed), whole], 6.5, LIGHT["quiet"])
    if report.erythroblasts:
        _class_line(paper, report.erythroblasts, most, "per 100 white cells")
    paper.ln(2)
    for line in report.apart:
        paper.paragraph(line, after=0.3)
    paper.ln(1)
    for note in report.interval_notes:
        paper.paragraph(note, 8.5, LIGHT["quiet"], after=0.2)


def _line(paper: _Paper, texts: Sequence[str], height: float, under: str = LIGHT["line"]) -> None:
    """A table's line of ``texts``, a hairline under it."""
    paper.need(height)
    y, x = paper.get_y(), _MARGIN
    for (_, width, align), text in zip(_COLUMNS, texts, strict=False):
        if text:
            paper.at(x, y, text, width, align, height)
        x += width
    paper.line_across(y + height, under)
    paper.set_xy(_MARGIN, y + height)


def _class_line(paper: _Paper, row: ClassRow, most: float, unit: str = "") -> None:
    paper.need(8)
    y = paper.get_y()
    paper.set_fill_color(*_rgb(row.colour))
    paper.rect(_MARGIN, y + 2.1, 2.6, 2.6, "F", round_corners=True, corner_radius=0.5)
    paper.ink(LIGHT["text"], 9.5, "B")
    paper.at(_MARGIN + 4, y, row.code, 9, height=6.8)
    paper.ink(LIGHT["text"], 9.5)
    paper.at(_MARGIN + 12.5, y, row.name, 36, height=6.8)
    share = "" if row.percent is None else f"{row.percent:.1f}"
    texts = ["", str(row.count), str(row.reviewed), "", "", interval_text(row.exact), interval_text(row.with_errors)]
    paper.ink(LIGHT["text"], 9.5, "B")
    paper.at(_MARGIN + 75, y, share, 15, "R", 6.8)
    if not unit:
        _plot(paper, row, most, _MARGIN + 93, y + 3.4)
    else:
        paper.ink(LIGHT["quiet"], 8)
        paper.at(_MARGIN + 93, y, unit, 34, height=6.8)
    if row.side:
        paper.ink(_RED, 8, "B")
        paper.at(_MARGIN + 168, y + 3, row.side, 12, "R", 4)
    paper.ink(LIGHT["text"], 9.5)
    x = _MARGIN
    for (_, width, align), text in zip(_COLUMNS, texts, strict=False):
        if text:
            paper.at(x, y, text, width, align, 6.8)
        x += width
    paper.at(_MARGIN + 160, y - (1.4 if row.side else 0), row.reference_text, 20, "R", 6.8)
    paper.line_across(y + 6.8)
    paper.set_xy(_MARGIN, y + 6.8)


def _plot(paper: _Paper, row: ClassRow, most: float, x: float, y: float) -> None:
    """As on the web page: the share as a bar, its widest interval as a line, the reference range behind them."""
    width = 26.0
    if row.percent is None:
        return

    def place(value: float) -> float:
        return x + width * min(value, most) / most

    low, high = row.reference
    if low is not None or high is not None:
        paper.set_fill_color(*_rgb("#e9e3f6"))
        begin, end = place(low or 0.0), place(most if high is None else high)
        paper.rect(begin, y - 2.6, max(end - begin, 0.2), 5.2, "F")
    paper.set_fill_color(*_rgb(row.colour))
    paper.rect(x, y - 1, max(place(row.percent) - x, 0.05), 2, "F")
    intervals = [interval for interval in (row.exact, row.with_errors) if interval]
    low, high = place(min(i[0] for i in intervals)), place(max(i[1] for i in intervals))
    paper.set_draw_color(*_rgb(LIGHT["text"]))
    paper.set_line_width(0.3)
    paper.line(low, y, high, y)
    for end in (low, high):
        paper.line(end, y - 1.3, end, y + 1.3)


def _flags(paper: _Paper, report: Report) -> None:
    paper.heading("Flags")
    if not report.flags:
        paper.paragraph(report.no_flags)
    for flag in report.flags:
        paper.need(11)
        y = paper.get_y()
        paper.ink(LIGHT["text"], 9.5, "B")
        paper.set_x(_MARGIN + 4)
        paper.multi_cell(_WIDTH - 4, 4.6, paper.text_of(flag.text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        paper.paragraph(flag.rule, 8.5, LIGHT["quiet"], _MARGIN + 4, 0)
        paper.set_fill_color(*_rgb(_RED if flag.is_review else LIGHT["line"]))
        if paper.get_y() > y:
            paper.rect(_MARGIN, y, 1, paper.get_y() - y, "F")
        paper.ln(2)


_CARD, _SIDE = (58.0, 25.0), 21.0  # mm: a cell's card, and its picture


def _pictures(paper: _Paper, title: str, pictures: Sequence[CellPicture], in_all: int) -> None:
    if not pictures:
        return
    paper.heading(f"{title} ({in_all})", 45)
    if in_all > len(pictures):
        paper.paragraph(f"The first {len(pictures)} of {in_all}; the table (CSV) has all.", 8.5, LIGHT["quiet"])
    width = _CARD[0] + 3
    for begin in range(0, len(pictures), 3):
        row = pictures[begin : begin + 3]
        texts = [_caption(paper, picture) for picture in row]
        height = max(_CARD[1], *(4 + 3.5 * len(lines) for lines in texts))
        paper.need(height + 3)
        y = paper.get_y()
        for place, (picture, lines) in enumerate(zip(row, texts, strict=True)):
            _card(paper, picture, lines, _MARGIN + place * width, y, height)
        paper.set_xy(_MARGIN, y + height + 3)


def _caption(paper: _Paper, picture: CellPicture) -> list[tuple[str, str]]:
    """Its lines with their style, as wide as the card leaves room for."""
    room = _CARD[0] - _SIDE - 5.5
    lines = [("B", line) for line in paper.lines_of(picture.title, room, 9, "B")]
    return lines + [("", line) for text in picture.lines for line in paper.lines_of(text, room, 7.5)[:_FEW_LINES]]


def _card(
    paper: _Paper, picture: CellPicture, lines: Sequence[tuple[str, str]], x: float, y: float, height: float
) -> None:
    paper.set_draw_color(*_rgb(LIGHT["line"]))
    paper.set_line_width(0.2)
    paper.rect(x, y, _CARD[0], height, round_corners=True, corner_radius=1)
    paper.set_fill_color(*_rgb(picture.colour))
    paper.rect(x, y, _CARD[0], 1, "F")
    if picture.pixels is None:
        paper.ink(LIGHT["quiet"], 7.5)
        paper.at(x + 2, y + 9, "can't be read", _SIDE, "C")
    else:
        rows, columns = picture.pixels.shape[:2]
        scale = _SIDE / max(rows, columns)
        left, top = x + 2 + (_SIDE - columns * scale) / 2, y + 2.5 + (_SIDE - rows * scale) / 2
        image = Image.fromarray(picture.pixels)
        paper.image(image, left, top, columns * scale, rows * scale, alt_text=paper.text_of(picture.alt))
    for number, (style, line) in enumerate(lines):
        paper.ink(LIGHT["text"] if style else LIGHT["quiet"], 9 if style else 7.5, style)
        paper.at(x + _SIDE + 3.5, y + 2.2 + 3.5 * number, line, _CARD[0] - _SIDE - 4, height=3.5)


def _readers(paper: _Paper, report: Report) -> None:
    paper.heading("Readers", 35)
    paper.paragraph(report.review_line)
    if report.readers:
        titles = ["Reader", "Identity", "Cells named", "Corrected", "First decision", "Last"]
        lines = [
            [r.name, r.identity, str(r.cells), str(r.corrected), r.first, r.last]  # as on the web page
            for r in report.readers
        ]
        _table(paper, [titles, *lines], (42.0, 36.0, 18.0, 16.0, 34.0, 34.0), "LLRRRR")
    for told in report.agreements:
        _agreement(paper, told)
    for note in report.agreement_notes:
        paper.paragraph(note, 8.5, LIGHT["quiet"], after=0.2)
    if report.notes:
        paper.heading("Notes")
        for who, text in report.notes:
            paper.paragraph(f"{text} ({who})")
    if report.history:
        paper.heading("Versions")
        for line in report.history:
            paper.paragraph(line)


def _agreement(paper: _Paper, told: Agreement) -> None:
    paper.need(min(25 + 5 * len(told.classes), 200))
    paper.ln(2)
    paper.ink(LIGHT["text"], 9.5, "B")
    pair = paper.text_of(pair_text(told))
    paper.multi_cell(0, 5, pair, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    paper.paragraph(f"{agreement_text(told)}.")
    titles = ["Class", told.first, told.second, "both", "alike"]
    lines = [
        [of.code or "no cell", str(of.first), str(of.second), str(of.both), exact_percent(of.share)]  # a line a class
        for of in told.classes
    ]
    _table(paper, [titles, *lines], (20.0, 34.0, 34.0, 16.0, 20.0), "LRRRR", 5)
    if differing := differing_text(told):
        paper.paragraph(f"Named differently: {differing}.", 8.5)


def _table(
    paper: _Paper, rows: Sequence[Sequence[str]], widths: Sequence[float], aligns: str, height: float = 6
) -> None:
    """Titles first; each value on one line."""
    for number, row in enumerate(rows):
        paper.need(height)
        y, x = paper.get_y(), _MARGIN
        paper.ink(LIGHT["text"] if number else LIGHT["quiet"], 9 if number else 8, "" if number else "B")
        for text, width, align in zip(row, widths, aligns, strict=True):
            paper.at(x, y, text, width - 1.5, align, height)
            x += width
        paper.set_draw_color(*_rgb(LIGHT["line"]))
        paper.set_line_width(0.2)
        paper.line(_MARGIN, y + height, _MARGIN + sum(widths), y + height)
        paper.set_xy(_MARGIN, y + height)
    paper.ln(2)


def _origin(paper: _Paper, report: Report) -> None:
    paper.heading("Where it comes from", 40)
    _facts(paper, report.provenance, 2)
    if report.unused:
        paper.heading("Files that were not used")
        for name, why in report.unused:
            paper.paragraph(f"{name}: {why}", after=0.3)
    paper.heading("Limits of this report")
    caveats = (*report.caveats, *((_LACKS,) if paper.lacks else ()))
    for line in caveats:
        y = paper.get_y()
        paper.paragraph(line, x=_MARGIN + 4, after=0.6)
        if paper.get_y() > y:
            paper.set_fill_color(*_rgb(PRIMARY[False]))
            paper.circle(_MARGIN + 1.2, y + 2.2, 0.5, "F")


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
