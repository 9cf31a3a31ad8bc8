"""How cases lie in the database: what was taken in, the log, and one row a case that says where its log ends."""

from sqlalchemy import Double, ForeignKey, ForeignKeyConstraint, Index, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What all tables are known by."""

    type_annotation_map = {str: Text, float: Double}


class CaseRow(Base):
    """A case as it was taken in; never changed. ``codes``, ``slides``, ``unused``, ``errors`` are JSON. ``imported``:
    when and by whom, '' for a case that was made here; no hash covers it.
    """

    __tablename__ = "cases"

    id: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[str]
    sample: Mapped[str]
    note: Mapped[str]
    slides: Mapped[str]
    specimen: Mapped[str]
    dataset: Mapped[str]
    codes: Mapped[str]
    run: Mapped[str]
    run_hash: Mapped[str]
    profile: Mapped[str]
    profile_hash: Mapped[str]
    software: Mapped[str]
    created: Mapped[str]
    laboratory: Mapped[str]
    scale: Mapped[str]
    errors: Mapped[str]
    unused: Mapped[str]
    imported: Mapped[str]


class PictureRow(Base):
    """A picture of a case; ``hash`` covers the row."""

    __tablename__ = "pictures"

    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    slide: Mapped[str]
    sha256: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    notes: Mapped[str]
    pixel_size: Mapped[float | None]
    hash: Mapped[str]


class CellRow(Base):
    """A cell of a picture; ``prediction`` is JSON, ``tile`` the SHA-256 of its picture where no sheet of the intake has
    it; ``hash`` covers the row.
    """

    __tablename__ = "cells"
    __table_args__ = (ForeignKeyConstraint(["case_id", "picture"], ["pictures.case_id", "pictures.number"]),)

    case_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    picture: Mapped[int]
    left: Mapped[int]
    top: Mapped[int]
    right: Mapped[int]
    bottom: Mapped[int]
    prediction: Mapped[str]
    added_by: Mapped[str]
    tile: Mapped[str]
    hash: Mapped[str]


class SheetRow(Base):
    """A sheet of the cells' tiles, made at the intake."""

    __tablename__ = "sheets"

    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str]


class DecisionRow(Base):
    """A row of the log, see `core.cases.case.Decision`; ``reader_verified`` is 0 or 1."""

    __tablename__ = "decisions"
    __table_args__ = (
        Index("decisions_client", "case_id", "client", unique=True),
        Index(
            "decisions_signatures",
            "case_id",
            "seq",
            sqlite_where=text("action IN ('sign', 'amend')"),
            postgresql_where=text("action IN ('sign', 'amend')"),
        ),
    )

    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str]
    reader_name: Mapped[str]
    reader_verified: Mapped[int]
    reader_subject: Mapped[str]
    action: Mapped[str]
    cell: Mapped[int | None]
    old: Mapped[str]
    new: Mapped[str]
    reason: Mapped[str]
    text: Mapped[str]
    model: Mapped[str]
    profile: Mapped[str]
    client: Mapped[str]
    undoes: Mapped[int | None]
    digest: Mapped[str]
    previous: Mapped[str]
    hash: Mapped[str]


class HeadRow(Base):
    """Where the log of a case ends: ``count`` rows, the last with the hash ``head``; and what it comes to."""

    __tablename__ = "heads"

    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    head: Mapped[str]
    count: Mapped[int]
    state: Mapped[str]
    version: Mapped[int]
    cells: Mapped[int]
    open_alarms: Mapped[int]
    unidentified: Mapped[int]
    reader: Mapped[str]
    changed: Mapped[str]


class DeletionRow(Base):
    """That a case was deleted; its id isn't used again. ``was_signed``: 0 or 1."""

    __tablename__ = "deletions"

    case_id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[str]
    reader: Mapped[str]
    was_signed: Mapped[int]
    head: Mapped[str]


class PendingRow(Base):
    """A file that an intake under way (``draft``) is about to use, so that no deletion takes it away; or one that the
    case needed which ``draft`` deletes, so that it goes.
    """

    __tablename__ = "pending"

    draft: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True, index=True)
    at: Mapped[str]
