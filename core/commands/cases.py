"""``python -m core cases``: cases from the shell, from a drop of pictures to a signed differential and its log."""

import argparse
import getpass
import json
import sys
import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cases.case import Action, Case, CellReading, Decision, NewDecision, Reader
from core.cases.documents import DOCUMENTS, document, file_name
from core.cases.limits import current_limits
from core.cases.table import case_document
from core.commands.predict import add_predictor_options, chosen_predictor
from core.errors import HemaLensError
from core.formatting import RESEARCH_LINE, counted, printable, text_table
from core.images.archives import SYSTEM_FILE
from core.inference.predictor import Predictor
from core.inference.specimen import ADULT_BLOOD, find_specimen
from core.progress import TerminalBar
from core.storage import write_bytes

if TYPE_CHECKING:
    from core.cases.store import CaseStore

NO_CELL = "none"  # how the shell writes the class of what is no cell


def add_parser(subparsers: Any) -> None:
    """Add ``cases`` to the command line."""
    parser = subparsers.add_parser(
        "cases",
        help="keep cases: take pictures in, decide, sign, verify, give away",
        description="A case keeps the pictures of a sample, what a model said of each cell, and every decision since, "
        "which are only ever added. Cases lie in the user's data folder (HEMALENS_CASES), or in a database that a "
        f"laboratory shares (HEMALENS_DATABASE=postgresql+psycopg://...). CASE is an id, the beginning of one, or a "
        f"sample's id. {RESEARCH_LINE}",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    action = _action(actions, "list", show_list, "all cases, the one changed last first")

    action = _action(actions, "add", add, "make a case of pictures, folders or ZIP archives, and print its id")
    action.add_argument("files", nargs="+", metavar="FILE", type=Path, help="pictures, folders (searched below), ZIPs")
    action.add_argument("--sample", required=True, metavar="ID", help="the sample's id: an id, not a name")
    action.add_argument("--slide", default="", metavar="ID", help="of all pictures (default: folders tell)")
    action.add_argument("--note", default="", help="free text")
    action.add_argument("--kind", choices=("crop", "field"), help="what pictures show (default: they tell)")
    action.add_argument("--um-per-px", type=float, metavar="UM", help="what a pixel spans, in micrometres")
    _reader_option(action)
    add_predictor_options(action)

    action = _action(actions, "show", show, "what a case comes to by now")
    action.add_argument("case", metavar="CASE")
    action.add_argument("--cells", action="store_true", help="a line for each cell")
    action.add_argument("--log", action="store_true", help="a line for each decision")

    action = _action(actions, "decide", decide, "name cells, put them back, skip them, or take a decision back")
    action.add_argument("case", metavar="CASE")
    action.add_argument(
        "--cells", nargs="+", type=int, default=[], metavar="N", help="which, by the numbers of `show --cells`"
    )
    what = action.add_mutually_exclusive_group(required=True)
    what.add_argument("--class", dest="code", metavar="CODE", help=f"the class of these cells; {NO_CELL}: no cell")
    what.add_argument("--confirm", action="store_true", help="each is what the model says")
    what.add_argument("--unidentified", action="store_true", help="put back: somebody must look")
    what.add_argument("--skip", action="store_true", help="looked at, left undecided")
    what.add_argument("--undo", type=int, metavar="DECISION", help="take a decision back, by its number in the log")
    what.add_argument("--review", action="store_true", help="the case is reviewed")
    what.add_argument("--reopen", action="store_true", help="a reviewed case is open again")
    what.add_argument("--note", metavar="TEXT", help="write a note into the log")
    action.add_argument("--reason", default="", help="why, in a word or two")
    action.add_argument("--text", default="", help="why, in free text")
    action.add_argument("--client", default="", metavar="UUID", help="an id: the same one is written down once")
    _reader_option(action)

    action = _action(actions, "sign", sign, "sign a case, which is read-only from then on")
    action.add_argument("case", metavar="CASE")
    action.add_argument("--text", default="", help="a remark")
    _reader_option(action)

    action = _action(actions, "amend", amend, "open a new version of a signed case")
    action.add_argument("case", metavar="CASE")
    action.add_argument("--reason", required=True, help="why")
    _reader_option(action)

    action = actions.add_parser(
        "report",
        help="write the report of a case, its cells, or the whole of it as files",
        description="Write what is kept of a case as files: without a choice the report as a web page and as PDF. What "
        "isn't signed is a draft and says so. Prints where each file lies.",
    )
    action.add_argument("case", metavar="CASE")
    for key, kind in DOCUMENTS.items():
        action.add_argument(f"--{key}", dest="kinds", action="append_const", const=key, help=kind.title)
    action.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where to (default: here)")
    action.add_argument(
        "--printed-at",
        type=_moment,
        metavar="TIME",
        help="the date on it, ISO 8601 (default: now)",
    )
    action.set_defaults(handler=report)

    action = _action(actions, "verify", verify, "whether cases are what was written down; 1 where one is not")
    action.add_argument("cases", nargs="*", metavar="CASE", help="(default: all)")

    action = _action(actions, "export", export, "write a case with its pictures into one ZIP")
    action.add_argument("case", metavar="CASE")
    action.add_argument("target", type=Path, metavar="FILE", help="a file or a folder")

    action = _action(actions, "import", take_over, "take over an exported case, everything in it checked")
    action.add_argument("file", type=Path, metavar="FILE")
    action.add_argument("--as-copy", action="store_true", help="under a new id, where it is here already")
    _reader_option(action)

    action = _action(actions, "delete", delete, "delete a case and the pictures that only it uses")
    action.add_argument("case", metavar="CASE")
    action.add_argument("--even-if-signed", action="store_true", help="also a signed one")
    _reader_option(action)


def _action(actions: Any, name: str, handler: Any, text: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    action.add_argument("--json", action="store_true", help="print one JSON document")
    action.set_defaults(handler=handler)
    return action


def _reader_option(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--reader", metavar="NAME", help="who decides (default: the name you are logged in by); not verified"
    )


def _reader(options: argparse.Namespace) -> Reader:
    try:
        return Reader(options.reader or getpass.getuser())
    except (KeyError, OSError) as error:
        raise HemaLensError("Say who decides: --reader NAME.") from error


def _store() -> "CaseStore":
    from core.cases.store import open_store

    return open_store()


def _print_json(content: object) -> None:
    print(json.dumps(content, indent=1, ensure_ascii=False))


def show_list(options: argparse.Namespace) -> int:
    """A line a case."""
    summaries = _store().list()
    if options.json:
        _print_json([asdict(summary) for summary in summaries])
        return 0
    rows = [("id", "sample", "slides", "cells", "state", "alarms", "unidentified", "reader", "changed (UTC)")]
    for s in summaries:
        version = f" v{s.version}" if s.version > 1 else ""
        rows.append(
            (
                s.id[:8],
                printable(s.sample),
                printable(", ".join(s.slides)),
                f"{s.cells:,}",
                f"{s.state}{version}",
                str(s.open_alarms),
                str(s.unidentified),
                printable(s.reader),
                s.changed[:16].replace("T", " "),
            )
        )
    print(text_table(rows) if len(rows) > 1 else "no cases yet: python -m core cases add FILE... --sample ID")
    return 0


def add(options: argparse.Namespace) -> int:
    """Take pictures in; 1 where some could not be used."""
    from PIL import Image

    from core.cases.intake import take_in

    if not (options.lab or options.specimen):
        options.specimen = ADULT_BLOOD.key
        predictor = _predictor_without_word(options)
    else:
        predictor = chosen_predictor(options)
    predictor.load()
    store = _store()
    with TerminalBar(options.sample) as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # fields are large, within limits of our own
        case_id = take_in(
            store,
            predictor,
            options.files,
            sample=options.sample,
            slide=options.slide,
            note=options.note,
            reader=_reader(options),
            kind=options.kind,
            pixel_size=options.um_per_px,
            report=bar,
        )
    case = store.case(case_id)
    unused = [file for file in case.unused if file.reason != SYSTEM_FILE]
    for file in unused:
        print(f"not used: {printable(file.name)}: {file.reason}. {file.way_out}", file=sys.stderr)
    if options.json:
        _print_json(_document(case))
    else:
        print(case_id)
    return int(bool(unused))


def _predictor_without_word(options: argparse.Namespace) -> Predictor:
    """For the blood of an adult, or, where that says nothing of the model's classes, for anything."""
    try:
        return chosen_predictor(options)
    except HemaLensError:
        options.specimen = None
        return chosen_predictor(options)


def show(options: argparse.Namespace) -> int:
    """The case, its differential, on demand its cells and its log."""
    store = _store()
    case = store.case(store.full_id(options.case))
    if options.json:
        _print_json(_document(case, cells=options.cells, log=options.log))
        return 0
    version = f", version {case.version}" if case.version > 1 else ""
    print(f"{printable(case.sample)}: {case.state}{version} ({case.id})")
    if case.note:
        print(printable(case.note))
    profile = f", profile {printable(case.profile)} {case.profile_hash}" if case.profile else ""
    print(
        f"{case.run} {case.run_hash}{profile}; {find_specimen(case.specimen).title}; taken in {case.created[:16]} UTC"
    )
    for line in (case.laboratory, case.scale, f"imported {case.imported}" if case.imported else ""):
        if line:
            print(printable(line))
    print(f"{counted(len(case.pictures), 'picture')}, {counted(len(case.counted), 'cell')}")
    _print_differential(case)
    if case.open_cells:
        print(f"{counted(len(case.open_cells), 'cell')} to look at before it can be signed")
    for file in case.unused:
        print(f"not used: {printable(file.name)}: {file.reason}")
    if options.cells:
        for reading in case.counted:
            print(_cell_line(case, reading))
    if options.log:
        for decision in case.decisions:
            print(_log_line(decision))
    return 0


def _print_differential(case: Case) -> None:
    found = case.differential()
    rows = [
        (one.code, str(one.count), f"{one.percent:.1f} %", f"{one.exact[0]:.1f} to {one.exact[1]:.1f}")
        for one in found.classes
        if one.count
    ]
    if rows:
        print(text_table(rows))
    if found.erythroblasts:
        rate = f", {found.erythroblasts.percent:.1f} per 100 white cells" if found.white else ""
        print(f"erythroblasts: {found.erythroblasts.count}{rate}")
    print(
        f"platelets: {found.platelets}; no cells: {found.not_cells}; alarms nobody looked at: {found.alarms}; "
        f"unidentified: {found.unidentified}"
    )


def _cell_line(case: Case, reading: CellReading) -> str:
    cell = reading.cell
    by = f" by {printable(reading.by)}" if reading.by else ""
    why = f" ({reading.open_reason})" if reading.open_reason else ""
    name, said = printable(case.picture(cell.picture).name), printable(cell.prediction.text)
    return f"{cell.number:>6}  {reading.code or NO_CELL:<5} {reading.status}{by}{why}  {name}  {said}"


def _log_line(decision: Decision) -> str:
    cell = f" cell {decision.cell}" if decision.cell is not None else ""
    change = f" {decision.old or NO_CELL} -> {decision.new or NO_CELL}" if decision.cell is not None else ""
    undoes = f" of {decision.undoes}" if decision.undoes else ""
    why = "; ".join(printable(text) for text in (decision.reason, decision.text) if text)
    return (
        f"{decision.seq:>6}  {decision.at}  {printable(decision.reader.text)}: {decision.action}{undoes}{cell}{change}"
        f"{f' ({why})' if why else ''}  {decision.hash[:12]}"
    )


def _document(case: Case, *, cells: bool = False, log: bool = False) -> dict[str, Any]:
    """What `cases report --json` writes, its cells and its log where asked for."""
    left_out = {name for name, wanted in (("cells", cells), ("decisions", log)) if not wanted}
    document = case_document(case, current_limits(), datetime.now(UTC))
    return {name: part for name, part in document.items() if name not in left_out}


def decide(options: argparse.Namespace) -> int:
    """Write decisions down, all of them or none."""
    store = _store()
    case_id = store.full_id(options.case)
    said = {"reason": options.reason, "text": options.text}
    on_case: dict[Action, bool] = {
        "review": options.review,
        "reopen": options.reopen,
        "note": options.note is not None,
    }
    chosen = next((name for name, there in on_case.items() if there), None)
    undoes = options.undo is not None
    if bool(options.cells) == bool(chosen or undoes):
        raise HemaLensError(
            "This is about no cell: leave --cells out." if options.cells else "Say which: --cells N ..."
        )
    if chosen:
        new = [NewDecision(chosen, text=options.note or options.text, reason=options.reason, client=options.client)]
    elif undoes:
        new = [NewDecision("undo", undoes=options.undo, client=options.client, **said)]
    else:
        case = store.case(case_id)
        new = []
        for place, number in enumerate(dict.fromkeys(options.cells)):
            client = f"{options.client}/{place}" if options.client and len(options.cells) > 1 else options.client
            if options.skip or options.unidentified:
                action: Action = "skip" if options.skip else "unidentified"
                new.append(NewDecision(action, cell=number, client=client, **said))
                continue
            code = "" if options.code == NO_CELL else options.code
            if options.confirm and number in case.readings:
                code = case.readings[number].cell.prediction.code
            new.append(NewDecision("assign", cell=number, new=code or "", client=client, **said))
    written = store.decide(case_id, _reader(options), new)
    if options.json:
        _print_json([asdict(decision) for decision in written])
    else:
        print("\n".join(_log_line(decision) for decision in written))
    return 0


def sign(options: argparse.Namespace) -> int:
    """Sign, or say which cells stop it."""
    store = _store()
    return _print_decision(options, store.sign(store.full_id(options.case), _reader(options), options.text))


def amend(options: argparse.Namespace) -> int:
    """Open a new version."""
    store = _store()
    return _print_decision(options, store.amend(store.full_id(options.case), _reader(options), options.reason))


def _print_decision(options: argparse.Namespace, decision: Decision) -> int:
    if options.json:
        _print_json(asdict(decision))
    else:
        print(_log_line(decision))
    return 0


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)  # a ValueError is wrong usage
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def report(options: argparse.Namespace) -> int:
    """Write the files, and print where each lies."""
    store = _store()
    case = store.case(store.full_id(options.case), verified=True)
    options.out.mkdir(parents=True, exist_ok=True)
    printed_at = options.printed_at or datetime.now(UTC)
    for key in dict.fromkeys(options.kinds or ("html", "pdf")):
        path = options.out / file_name(case, key)
        write_bytes(path, document(case, key, store.picture_bytes, printed_at))
        print(path)
    return 0


def verify(options: argparse.Namespace) -> int:
    """A line a case; 1 where any is altered."""
    store = _store()
    ids = [store.full_id(name) for name in options.cases] or store.ids()
    found = {case_id: store.verify(case_id, files=True) for case_id in ids}
    if options.json:
        _print_json(
            [
                {"id": str(case_id), "altered": asdict(altered) if altered else None}
                for case_id, altered in found.items()
            ]
        )
    else:
        for case_id, altered in found.items():
            print(f"{case_id}  {printable(altered.text) if altered else 'as it was written down'}")
    return int(any(found.values()))


def export(options: argparse.Namespace) -> int:
    """Write the ZIP and print where it lies."""
    store = _store()
    path = store.export(store.full_id(options.case), options.target)
    if options.json:
        _print_json({"file": str(path)})
    else:
        print(path)
    return 0


def take_over(options: argparse.Namespace) -> int:
    """Import, and print the id."""
    case_id = _store().load(options.file, _reader(options), as_copy=options.as_copy)
    if options.json:
        _print_json({"id": case_id})
    else:
        print(case_id)
    return 0


def delete(options: argparse.Namespace) -> int:
    """Delete, and say so."""
    store = _store()
    case_id = store.full_id(options.case)
    store.delete(case_id, _reader(options), even_if_signed=options.even_if_signed)
    if options.json:
        _print_json({"deleted": case_id})
    else:
        print(f"{case_id} is deleted")
    return 0
