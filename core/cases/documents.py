"""What can be kept of a case: every kind of file by its key, for the shell and for the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from core.cases.case import Case
from core.cases.fhir import to_fhir
from core.cases.limits import Limit, current_limits
from core.cases.report import PictureBytes, report_of
from core.cases.table import to_csv, to_json
from core.formatting import file_stem

_Make = Callable[[Case, PictureBytes, Sequence[Limit], datetime], bytes]


@dataclass(frozen=True)
class Document:
    """A kind of file: its ``title`` for a person, how its name ends, its media type, and how it is made."""

    title: str
    suffix: str
    mime: str
    make: _Make


def _html(case: Case, picture_bytes: PictureBytes, limits: Sequence[Limit], printed_at: datetime) -> bytes:
    from core.cases.report_html import to_html

    return to_html(report_of(case, picture_bytes, limits, printed_at))


def _pdf(case: Case, picture_bytes: PictureBytes, limits: Sequence[Limit], printed_at: datetime) -> bytes:
    from core.cases.report_pdf import to_pdf

    return to_pdf(report_of(case, picture_bytes, limits, printed_at))


DOCUMENTS: dict[str, Document] = {
    "html": Document("Report (HTML)", ".html", "text/html", _html),
    "pdf": Document("Report (PDF)", ".pdf", "application/pdf", _pdf),
    "csv": Document("Cells (CSV)", ".csv", "text/csv", lambda case, _pictures, _limits, _at: to_csv(case)),
    "json": Document("Case (JSON)", ".json", "application/json", lambda case, _, limits, at: to_json(case, limits, at)),
    "fhir": Document(
        "FHIR R4", ".fhir.json", "application/fhir+json", lambda case, _pictures, limits, _at: to_fhir(case, limits)
    ),
}


def document(case: Case, key: str, picture_bytes: PictureBytes, printed_at: datetime | None = None) -> bytes:
    """The file ``key`` (of `DOCUMENTS`) of ``case`` by the limits in force; ``picture_bytes``: as
    `CaseStore.picture_bytes`; ``printed_at``: None for now. Raises `LimitsError`, and `HemaLensError` where that file
    can't be made of the case.
    """
    limits = () if key == "csv" else current_limits()  # a table of cells needs none
    return DOCUMENTS[key].make(case, picture_bytes, limits, printed_at or datetime.now(UTC))


def file_name(case: Case, key: str) -> str:
    """How the file is called: after its sample, version and state, with letters that every file system takes."""
    state = "" if case.state == "signed" else "-draft"
    return f"{file_stem(case.sample)}-{case.id[:8]}-v{case.version}{state}{DOCUMENTS[key].suffix}"
