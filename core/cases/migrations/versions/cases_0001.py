"""The first tables, and the triggers that keep the log and what was taken in as they are."""

import sqlalchemy as sa
from alembic import op

revision = "cases_0001"
down_revision = None

_SIGNED = (
    "(SELECT action FROM decisions WHERE case_id = {row}.case_id AND action IN ('sign', 'amend') "
    "ORDER BY seq DESC LIMIT 1) = 'sign'"
)
_HAS_LOG = "EXISTS (SELECT 1 FROM decisions WHERE case_id = {row}.case_id)"
_IS_DELETED = "EXISTS (SELECT 1 FROM deletions WHERE case_id = {row}.{key})"


def _rules() -> list[tuple[str, str, str, list[tuple[str, str]]]]:
    """Name, table, event and (condition, message) of all that is refused. A row of what was taken in comes before its
    case's log begins, but for cells, of which readers add some.
    """
    new_deleted, new_signed = _IS_DELETED.format(row="NEW", key="case_id"), _SIGNED.format(row="NEW")
    rules = [
        (
            "decisions_insert",
            "decisions",
            "INSERT",
            [
                (new_deleted, "the case was deleted"),
                (
                    "NEW.seq <> COALESCE((SELECT MAX(seq) FROM decisions WHERE case_id = NEW.case_id), 0) + 1",
                    "a decision follows the last one",
                ),
                (
                    "NEW.previous <> COALESCE((SELECT hash FROM decisions WHERE case_id = NEW.case_id AND "
                    "seq = NEW.seq - 1), '')",
                    "a decision names the one before it",
                ),
                (f"NEW.action <> 'amend' AND {new_signed}", "the case is signed"),
                (
                    "EXISTS (SELECT 1 FROM decisions WHERE case_id = NEW.case_id AND client = NEW.client)",
                    "the decision is there already",
                ),
            ],
        ),
        (
            "cases_insert",
            "cases",
            "INSERT",
            [
                (_IS_DELETED.format(row="NEW", key="id"), "the case was deleted"),
                ("EXISTS (SELECT 1 FROM cases WHERE id = NEW.id)", "the case is there already"),
            ],
        ),
        (
            "cells_insert",
            "cells",
            "INSERT",
            [
                (new_deleted, "the case was deleted"),
                (f"NEW.added_by = '' AND {_HAS_LOG.format(row='NEW')}", "the case was taken in already"),
                (new_signed, "the case is signed"),
                (
                    "EXISTS (SELECT 1 FROM cells WHERE case_id = NEW.case_id AND number = NEW.number)",
                    "the cell is there already",
                ),
            ],
        ),
        (
            "heads_insert",
            "heads",
            "INSERT",
            [("EXISTS (SELECT 1 FROM heads WHERE case_id = NEW.case_id)", "the case is there already")],
        ),
        (
            "heads_update",
            "heads",
            "UPDATE",
            [
                (
                    "NEW.case_id <> OLD.case_id OR NEW.count <= OLD.count OR NEW.count <> "
                    "(SELECT MAX(seq) FROM decisions WHERE case_id = NEW.case_id) OR NOT EXISTS (SELECT 1 FROM "
                    "decisions WHERE case_id = NEW.case_id AND seq = NEW.count AND hash = NEW.head)",
                    "the log ends elsewhere",
                )
            ],
        ),
        (
            "deletions_insert",
            "deletions",
            "INSERT",
            [
                (f"NEW.was_signed <> 1 AND {new_signed}", "the case is signed"),
                ("EXISTS (SELECT 1 FROM deletions WHERE case_id = NEW.case_id)", "the case was deleted"),
            ],
        ),
    ]
    for table in ("pictures", "sheets"):
        rules.append(
            (f"{table}_insert", table, "INSERT", [(_HAS_LOG.format(row="NEW"), "the case was taken in already")])
        )
    for table in ("cases", "pictures", "cells", "sheets", "decisions"):
        key = "id" if table == "cases" else "case_id"
        rules.append((f"{table}_update", table, "UPDATE", [("TRUE", "what was written down stays")]))
        rules.append(
            (
                f"{table}_delete",
                table,
                "DELETE",
                [(f"NOT {_IS_DELETED.format(row='OLD', key=key)}", "what was written down stays")],
            )
        )
    rules.append(
        (
            "heads_delete",
            "heads",
            "DELETE",
            [(f"NOT {_IS_DELETED.format(row='OLD', key='case_id')}", "what was written down stays")],
        )
    )
    for event in ("UPDATE", "DELETE"):
        rules.append((f"deletions_{event.lower()}", "deletions", event, [("TRUE", "what was written down stays")]))
    return rules


def upgrade() -> None:
    """Make the tables and triggers."""
    op.create_table(
        "cases",
        sa.Column("id", sa.Text, primary_key=True),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in (
                *("origin", "sample", "note", "slides", "specimen", "dataset", "codes", "run", "run_hash", "profile"),
                *("profile_hash", "software", "created", "laboratory", "scale", "errors", "unused", "imported"),
            )
        ),
    )
    op.create_table(
        "pictures",
        sa.Column("case_id", sa.Text, sa.ForeignKey("cases.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("slide", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("pixel_size", sa.Double),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_index("ix_pictures_sha256", "pictures", ["sha256"])
    op.create_table(
        "cells",
        sa.Column("case_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("picture", "left", "top", "right", "bottom")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("prediction", "added_by", "tile", "hash")),
        sa.ForeignKeyConstraint(["case_id", "picture"], ["pictures.case_id", "pictures.number"]),
    )
    op.create_table(
        "sheets",
        sa.Column("case_id", sa.Text, sa.ForeignKey("cases.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.Text, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("case_id", sa.Text, sa.ForeignKey("cases.id"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("reader_name", sa.Text, nullable=False),
        sa.Column("reader_verified", sa.Integer, nullable=False),
        sa.Column("reader_subject", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("cell", sa.Integer),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("old", "new", "reason", "text", "model", "profile", "client")
        ),
        sa.Column("undoes", sa.Integer),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("digest", "previous", "hash")),
    )
    op.create_index("decisions_client", "decisions", ["case_id", "client"], unique=True)
    signatures = sa.text("action IN ('sign', 'amend')")
    op.create_index(
        "decisions_signatures",
        "decisions",
        ["case_id", "seq"],
        sqlite_where=signatures,
        postgresql_where=signatures,
    )
    op.create_table(
        "heads",
        sa.Column("case_id", sa.Text, sa.ForeignKey("cases.id"), primary_key=True),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("version", "cells", "open_alarms", "unidentified")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("reader", "changed")),
    )
    op.create_table(
        "deletions",
        sa.Column("case_id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("at", "reader")),
        sa.Column("was_signed", sa.Integer, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
    )
    op.create_table(
        "pending",
        sa.Column("draft", sa.Text, primary_key=True),
        sa.Column("sha256", sa.Text, primary_key=True),
        sa.Column("at", sa.Text, nullable=False),
    )
    op.create_index("ix_pending_sha256", "pending", ["sha256"])
    make = _postgresql_trigger if op.get_bind().dialect.name == "postgresql" else _sqlite_trigger
    for rule in _rules():
        make(*rule)


def _sqlite_trigger(name: str, table: str, event: str, refused: list[tuple[str, str]]) -> None:
    raised = " ".join(f"SELECT RAISE(ABORT, '{message}') WHERE {condition};" for condition, message in refused)
    op.execute(sa.text(f"CREATE TRIGGER {name} BEFORE {event} ON {table} BEGIN {raised} END"))


def _postgresql_trigger(name: str, table: str, event: str, refused: list[tuple[str, str]]) -> None:
    raised = " ".join(f"IF {condition} THEN RAISE EXCEPTION '{message}'; END IF;" for condition, message in refused)
    row = "OLD" if event == "DELETE" else "NEW"
    op.execute(
        sa.text(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {raised} RETURN {row}; END $$")
    )
    op.execute(sa.text(f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"))
    if event == "DELETE":
        op.execute(
            sa.text(
                f"CREATE FUNCTION {table}_truncate() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'what was written down stays'; END $$"
            )
        )
        op.execute(
            sa.text(f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION {table}_truncate()")
        )
