"""A case's report as one HTML file: nothing outside of it is loaded, no script runs, it prints as a paper would."""

import base64
import io
from collections.abc import Iterable
from html import escape

import numpy as np
from PIL import Image

from core.cases.agreement import Agreement
from core.cases.fonts import Weight, subset_font
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

# Only what heads a table comes back on each printed page, in every browser.
_ON_EVERY_PAGE = (
    '<table class="pages" role="presentation"><thead aria-hidden="true"><tr><td>Draft, not signed</td></tr></thead>'
    "<tbody><tr><td>",
    "</td></tr></tbody></table>",
)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"
_RED, _AMBER, _GREEN = "#a3304f", "#a5551a", "#1f7a5a"  # as the pages have them
_PLOT_WIDTH, _PLOT_HEIGHT = 200, 18  # px


def to_html(report: Report) -> bytes:
    """The ``report`` as UTF-8."""
    body = "\n".join(part for part in _parts(report) if part)
    weights: tuple[tuple[Weight, int], ...] = (("Regular", 400), ("Semibold", 600))
    fonts = "\n".join(
        f"@font-face{{font-family:'HemaLens Sans';font-weight:{weight};"
        f"src:url(data:font/woff;base64,{_base64(subset_font(name, body))}) format('woff')}}"
        for name, weight in weights
    )
    title = escape(f"{report.title}, {report.sample}, version {report.version}, {report.state}")
    before, after = _ON_EVERY_PAGE if report.is_draft else ("", "")
    document = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>
{fonts}
{_STYLE}
</style>
</head>
<body>
<main>
{before}
{body}
{after}
</main>
</body>
</html>
"""
    return document.encode()


def _parts(report: Report) -> Iterable[str]:
    yield _head(report)
    if report.open_cells:
        yield _open_cells(report)
    yield _differential(report)
    yield _flags(report)
    about = "What the model's alarm stopped at, as it lies in its picture."
    yield _pictures("May be abnormal", about, report.alarms, report.alarms_in_all)
    about = "Cells that a person named otherwise than the model."
    yield _pictures("Corrected cells", about, report.corrected, report.corrected_in_all)
    yield _readers(report)
    yield _origin(report)
    yield _caveats(report)
    yield (
        f"<footer><p>{escape(RESEARCH_LINE)}</p><p>{escape(report.state)}, version {report.version}. Printed "
        f"{escape(report.printed)}.</p></footer>"
    )


def _head(report: Report) -> str:
    state = "draft" if report.is_draft else "signed"
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{_own(value)}</dd></div>" for name, value in report.facts)
    return f"""<header>
<p class="brand">{_LOGO}<span>HemaLens</span><span class="use">{escape(RESEARCH_LINE)}</span></p>
<div class="titled"><h1>{escape(report.title)} <span class="sample">{_own(report.sample)}</span></h1>
<p class="state {state}">{escape(report.state)}<small>version {report.version}</small></p></div>
<dl class="facts">{facts}</dl>
</header>"""


def _open_cells(report: Report) -> str:
    items = "".join(f"<li><b>{escape(what)}</b>, {escape(numbers)}</li>" for what, numbers in report.open_cells)
    return f'<section class="open"><h2>Must be looked at before it can be signed</h2><ul>{items}</ul></section>'


def _differential(report: Report) -> str:
    most = axis_end(report.rows)
    rows = "".join(_row(row, most, "") for row in report.rows)
    unit = "white cells" if report.is_differential else "cells"
    counts, shares = sum(row.count for row in report.rows), [row.percent for row in report.rows]
    whole = f"{sum(share for share in shares if share is not None):.1f}" if counts else ""
    total = (
        f'<tr class="total"><th scope="row">All {unit}</th><td class="n">{counts}</td>'
        f'<td class="n">{sum(row.reviewed for row in report.rows)}</td><td class="n big">{whole}</td>'
        '<td colspan="4"></td></tr>'
    )
    beside = _row(report.erythroblasts, most, "beside") if report.erythroblasts else ""
    apart = "".join(f"<li>{escape(line)}</li>" for line in report.apart)
    notes = "".join(f"<p>{escape(note)}</p>" for note in report.interval_notes)
    share_title = "% of white cells" if report.is_differential else "% of cells"
    return f"""<section><h2>{escape(report.title)}</h2>
<div class="wide"><table class="counts">
<thead><tr><th scope="col">Class</th><th scope="col" class="n">Cells</th><th scope="col" class="n">Reviewed</th>
<th scope="col" class="n">{share_title}</th><th scope="col" class="plot">0 to {most:.0f} %</th>
<th scope="col" class="n">95 %, exact</th><th scope="col" class="n">with model errors</th>
<th scope="col" class="n">Reference</th></tr></thead>
<tbody>{rows}{total}{beside}</tbody></table></div>
{f'<ul class="apart">{apart}</ul>' if apart else ""}
<div class="notes">{notes}</div></section>"""


def _row(row: ClassRow, most: float, kind: str) -> str:
    mark = f' <span class="side">{row.side}</span>' if row.side else ""
    share = "" if row.percent is None else f"{row.percent:.1f}"
    unit = "<small>per 100 white cells</small>" if kind else ""
    return (
        f'<tr class="{kind}"><th scope="row"><i class="chip" style="background:{row.colour}"></i>'
        f"<b>{escape(row.code)}</b> {escape(row.name)}</th>"
        f'<td class="n">{row.count}</td><td class="n">{row.reviewed}</td>'
        f'<td class="n big">{share}{mark}{unit}</td><td class="plot">{"" if kind else _plot(row, most)}</td>'
        f'<td class="n">{escape(interval_text(row.exact))}</td>'
        f'<td class="n">{escape(interval_text(row.with_errors))}</td>'
        f'<td class="n">{escape(row.reference_text)}</td></tr>'
    )


def _plot(row: ClassRow, most: float) -> str:
    """The share as a bar, its widest interval as a line, the reference range as a band behind them."""
    if row.percent is None:
        return ""

    def x(value: float) -> str:
        return f"{_PLOT_WIDTH * min(value, most) / most:.1f}"

    band = ""
    low, high = row.reference
    if low is not None or high is not None:
        begin, end = low or 0.0, most if high is None else high
        width = float(x(end)) - float(x(begin))
        band = f'<rect x="{x(begin)}" y="1" width="{max(width, 0):.1f}" height="16" fill="#e9e3f6"/>'
    intervals = [interval for interval in (row.exact, row.with_errors) if interval]
    low, high = min(i[0] for i in intervals), max(i[1] for i in intervals)
    spoken = escape(f"{row.percent:.1f} %, between {low:.1f} and {high:.1f} %")
    return (
        f'<svg viewBox="0 0 {_PLOT_WIDTH} {_PLOT_HEIGHT}" role="img" aria-label="{spoken}" preserveAspectRatio="none">'
        f'{band}<rect x="0" y="6" width="{x(row.percent)}" height="6" fill="{row.colour}"/>'
        f'<path d="M{x(low)} 9H{x(high)}M{x(low)} 5v8M{x(high)} 5v8" stroke="{LIGHT["text"]}" '
        f'stroke-width="1.4" fill="none" vector-effect="non-scaling-stroke"/></svg>'
    )


def _flags(report: Report) -> str:
    if not report.flags:
        return f"<section><h2>Flags</h2><p>{escape(report.no_flags)}</p></section>"
    items = "".join(
        f'<li class="{"review" if flag.is_review else "range"}"><b>{escape(flag.text)}</b>'
        f"<small>{escape(flag.rule)}</small></li>"
        for flag in report.flags
    )
    return f'<section><h2>Flags</h2><ul class="flags">{items}</ul></section>'


def _pictures(title: str, about: str, pictures: Iterable[CellPicture], in_all: int) -> str:
    figures = [_figure(picture) for picture in pictures]
    if not figures:
        return ""
    more = f" The first {len(figures)} of {in_all}; the table (CSV) has all." if in_all > len(figures) else ""
    return (
        f"<section><h2>{escape(title)} <small>{in_all}</small></h2><p>{escape(about + more)}</p>"
        f'<div class="cells">{"".join(figures)}</div></section>'
    )


def _figure(picture: CellPicture) -> str:
    if picture.pixels is None:
        shown = '<div class="gone">Its picture can’t be read</div>'
    else:
        shown = f'<img alt="{escape(picture.alt)}" src="data:image/png;base64,{_base64(_png(picture.pixels))}">'
    first, *lines = (f"<span>{_own(line)}</span>" for line in (picture.title, *picture.lines))
    return (
        f'<figure style="border-top-color:{picture.colour}">{shown}'
        f"<figcaption><b>{first}</b>{''.join(lines)}</figcaption></figure>"
    )


def _readers(report: Report) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_own(reader.name)}</th><td>{escape(reader.identity)}</td>'
        f'<td class="n">{reader.cells}</td><td class="n">{reader.corrected}</td>'
        f"<td>{escape(reader.first)}</td><td>{escape(reader.last)}</td></tr>"
        for reader in report.readers
    )
    table = (
        '<div class="wide"><table><thead><tr><th scope="col">Reader</th><th scope="col">Identity</th>'
        '<th scope="col" class="n">Cells named</th><th scope="col" class="n">Corrected</th>'
        f'<th scope="col">First decision</th><th scope="col">Last</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
    agreements = "".join(_agreement(told) for told in report.agreements)
    notes = "".join(f"<p>{escape(note)}</p>" for note in report.agreement_notes)
    said = "".join(f"<li>{_own(text)} <small>{escape(who)}</small></li>" for who, text in report.notes)
    history = "".join(f"<li>{escape(line)}</li>" for line in report.history)
    return f"""<section><h2>Readers</h2><p>{escape(report.review_line)}</p>
{table if rows else "<p>Nobody has decided anything yet.</p>"}
{f"<h3>Agreement</h3>{agreements}" if agreements else ""}
{f'<div class="notes">{notes}</div>' if notes else ""}
{f"<h3>Notes</h3><ul>{said}</ul>" if said else ""}
{f"<h3>Versions</h3><ul>{history}</ul>" if history else ""}</section>"""


def _agreement(told: Agreement) -> str:
    low, high = told.interval
    line = (
        f"{told.agreed} of {told.cells} cells alike, {exact_percent(told.share)} ({100 * low:.1f} to {100 * high:.1f})"
    )
    if told.kappa is not None and told.kappa_interval:
        line += f"; kappa {told.kappa:.2f} ({told.kappa_interval[0]:.2f} to {told.kappa_interval[1]:.2f})"
    rows = "".join(
        f'<tr><th scope="row">{escape(of.code or "no cell")}</th><td class="n">{of.first}</td>'
        f'<td class="n">{of.second}</td><td class="n">{of.both}</td><td class="n">{exact_percent(of.share)}</td></tr>'
        for of in told.classes
    )
    differing = differing_text(told)
    return f"""<div class="agreement"><p><b>{_own(pair_text(told))}</b>: {escape(agreement_text(told))}.</p>
<table><thead><tr><th scope="col">Class</th><th scope="col" class="n">{_own(told.first)}</th>
<th scope="col" class="n">{_own(told.second)}</th><th scope="col" class="n">both</th>
<th scope="col" class="n">alike</th></tr></thead><tbody>{rows}</tbody></table>
{f"<p>Named differently: {escape(differing)}.</p>" if differing else ""}</div>"""


def _origin(report: Report) -> str:
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{_own(value)}</dd></div>" for name, value in report.provenance)
    unused = "".join(f"<li><b>{_own(name)}</b> {escape(why)}</li>" for name, why in report.unused)
    files = f"<h3>Files that were not used</h3><ul>{unused}</ul>" if unused else ""
    return f'<section><h2>Where it comes from</h2><dl class="facts long">{facts}</dl>{files}</section>'


def _caveats(report: Report) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in report.caveats)
    return f'<section class="caveats"><h2>Limits of this report</h2><ul>{items}</ul></section>'


def _own(text: str) -> str:
    """A user's text: escaped, and with a direction of its own."""
    return f"<bdi>{escape(text)}</bdi>"


def _png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


_LOGO = (
    '<svg viewBox="0 0 64 64" aria-hidden="true"><circle cx="28" cy="28" r="23" fill="#efe7fb" stroke="#8a6ce0" '
    'stroke-width="5"/><path d="M45 45 58 58" stroke="#8a6ce0" stroke-width="8" stroke-linecap="round"/>'
    '<path d="M17 24c0-6 6-9 10-6 3-4 11-3 12 3 4 3 3 10-2 12-1 5-8 6-11 2-5 1-9-3-8-7-1-1-1-3-1-4z" '
    f'fill="{PRIMARY[False]}"/></svg>'
)

_STYLE = f"""
:root {{ color-scheme: light; --ink: {LIGHT["text"]}; --quiet: {LIGHT["quiet"]}; --line: {LIGHT["line"]};
  --panel: {LIGHT["panel"]}; --primary: {PRIMARY[False]}; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: {LIGHT["background"]}; color: var(--ink); font: 400 16px/1.5 'HemaLens Sans',
  'Source Sans 3', 'Source Sans Pro', system-ui, sans-serif; font-variant-numeric: tabular-nums; }}
main {{ max-width: 1080px; margin: 0 auto; padding: 32px 32px 48px; }}
h1 {{ font-size: 30px; line-height: 1.2; font-weight: 600; margin: 0; }}
h1 .sample {{ color: var(--primary); overflow-wrap: anywhere; margin-left: 8px; }}
h2 {{ font-size: 20px; font-weight: 600; margin: 0 0 12px; }}
h2 small {{ color: var(--quiet); font-weight: 400; margin-left: 4px; }}
h3 {{ font-size: 16px; font-weight: 600; margin: 20px 0 6px; }}
b, th {{ font-weight: 600; }}
p {{ margin: 0 0 8px; }}
section {{ margin-top: 36px; }}
.brand {{ display: flex; align-items: center; gap: 8px; font-weight: 600; font-size: 15px; margin-bottom: 20px; }}
.brand svg {{ width: 24px; height: 24px; }}
.use {{ margin-left: auto; font-weight: 400; color: var(--quiet); }}
.titled {{ display: flex; justify-content: space-between; align-items: flex-start; gap: 24px; }}
.state {{ flex: none; border-radius: 8px; padding: 6px 14px; font-weight: 600; margin: 0; text-align: right;
  line-height: 1.3; }}
.state small {{ display: block; font-weight: 400; }}
.state.draft {{ background: #fdf1e6; color: {_AMBER}; }}
.state.signed {{ background: #e8f5ef; color: {_GREEN}; }}
.facts {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 12px 24px;
  background: var(--panel); border-radius: 8px; padding: 16px 20px; margin: 20px 0 0; }}
.facts.long {{ grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); margin: 0; }}
dt {{ color: var(--quiet); font-size: 14px; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
.open {{ border-left: 4px solid {_AMBER}; background: #fdf6ee; border-radius: 0 8px 8px 0; padding: 14px 20px;
  margin-top: 24px; }}
.open h2 {{ font-size: 16px; margin-bottom: 4px; }}
ul {{ margin: 0; padding-left: 20px; }}
li {{ margin: 2px 0; overflow-wrap: anywhere; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-size: 15px; }}
th, td {{ text-align: left; padding: 7px 10px; border-bottom: 1px solid var(--line); vertical-align: middle; }}
th:first-child, td:first-child {{ padding-left: 0; }}
p, bdi {{ overflow-wrap: anywhere; }}
tbody th {{ font-weight: 400; }}
thead th {{ color: var(--quiet); font-size: 13.5px; line-height: 1.25; vertical-align: bottom; }}
.n {{ text-align: right; white-space: nowrap; }}
thead .n {{ white-space: normal; }}
.counts tbody th {{ white-space: nowrap; }}
.big {{ font-size: 17px; font-weight: 600; }}
.big small {{ display: block; font-size: 12px; font-weight: 400; color: var(--quiet); }}
.chip {{ display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 8px; }}
.counts th b {{ display: inline-block; min-width: 34px; }}
td.plot, th.plot {{ width: {_PLOT_WIDTH + 20}px; padding-right: 0; }}
td.plot svg {{ display: block; width: 100%; height: {_PLOT_HEIGHT}px; overflow: visible; }}
.side {{ font-size: 12px; font-weight: 600; color: #fff; background: {_RED}; border-radius: 4px; padding: 1px 5px;
  vertical-align: 2px; }}
.total td, .total th {{ border-bottom: 2px solid var(--line); font-weight: 600; }}
.apart {{ margin-top: 12px; }}
.notes {{ color: var(--quiet); font-size: 14px; margin-top: 12px; }}
.notes p {{ margin: 0 0 2px; }}
.flags {{ list-style: none; padding: 0; display: grid; gap: 8px; }}
.flags li {{ border-left: 4px solid var(--line); padding: 4px 14px; margin: 0; }}
.flags li.review {{ border-color: {_RED}; }}
.flags small {{ display: block; color: var(--quiet); font-size: 14px; }}
li small {{ color: var(--quiet); }}
.cells {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: 14px; }}
figure {{ margin: 0; border: 1px solid var(--line); border-top: 4px solid; border-radius: 8px; padding: 10px;
  display: grid; grid-template-columns: 96px 1fr; gap: 12px; break-inside: avoid; align-items: start; }}
.cells {{ grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); }}
figure img, .gone {{ width: 96px; height: 96px; object-fit: contain; border-radius: 4px; background: var(--panel); }}
.gone {{ color: var(--quiet); font-size: 13px; display: grid; place-items: center; text-align: center; }}
figcaption {{ font-size: 13.5px; line-height: 1.35; color: var(--quiet); min-width: 0; }}
figcaption span {{ display: block; overflow-wrap: anywhere; }}
figcaption b {{ color: var(--ink); font-size: 15px; }}
.agreement table {{ width: auto; min-width: 420px; margin: 4px 0 10px; font-size: 14px; }}
.agreement th, .agreement td {{ padding: 3px 12px; }}
.agreement th:first-child {{ padding-left: 0; }}
.agreement + .agreement {{ margin-top: 18px; }}
.caveats {{ background: var(--panel); border-radius: 8px; padding: 16px 20px; font-size: 15px; }}
.caveats h2 {{ font-size: 16px; margin-bottom: 6px; }}
footer {{ display: flex; justify-content: space-between; gap: 24px; color: var(--quiet); font-size: 14px;
  border-top: 1px solid var(--line); margin-top: 36px; padding-top: 12px; }}
.pages, .pages > tbody, .pages > tbody > tr, .pages > tbody > tr > td {{ display: block; padding: 0; border: 0;
  font-size: inherit; }}
.pages > thead {{ display: none; }}
@media screen and (max-width: 820px) {{
  main {{ padding: 20px 16px 32px; }}
  .titled, footer {{ flex-direction: column; gap: 10px; }}
  .state {{ text-align: left; }}
  .counts td.plot, .counts th.plot {{ display: none; }}
  .counts tbody th {{ white-space: normal; }}
  th, td {{ padding: 7px 6px; }}
  footer p {{ margin: 0; }}
}}
@media print {{
  @page {{ size: A4; margin: 16mm 14mm 18mm; }}
  body {{ font-size: 10.5pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; }}
  main {{ padding: 0; max-width: none; }}
  section {{ margin-top: 22px; }}
  h1 {{ font-size: 20pt; }} h2 {{ font-size: 13pt; break-after: avoid; }} h3 {{ break-after: avoid; }}
  table {{ font-size: 9.5pt; }} tr, li {{ break-inside: avoid; }}
  th, td {{ padding: 4px 6px; }}
  td.plot, th.plot {{ width: 130px; }}
  .cells {{ grid-template-columns: 1fr 1fr; }}
  .wide {{ overflow: visible; }}
  .pages {{ display: table; }} .pages > thead {{ display: table-header-group; break-inside: avoid; }}
  .pages > tbody {{ display: table-row-group; }} .pages > tbody > tr {{ display: table-row; break-inside: auto; }}
  .pages > tbody > tr > td {{ display: table-cell; }}
  .pages > thead td {{ color: {_AMBER}; font-weight: 600; font-size: 10pt; padding: 0 0 6px; border: 0; }}
  .facts, .facts.long {{ grid-template-columns: repeat(3, 1fr); break-inside: avoid; }}
  .facts.long {{ grid-template-columns: 1fr 1fr; }}
  .caveats, .open {{ break-inside: avoid; }}
}}
""".strip()
