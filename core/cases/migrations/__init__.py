"""How the database of cases came to be as it is: one module a step in ``versions``, run by `upgrade` in their order."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from core.cases.case import CaseError

LATEST = "cases_0001"
FOLDER = Path(__file__).resolve().parent
_LOCK = 0x48656D61  # of PostgreSQL: whoever comes second waits, and finds the work done


def is_current(connection: Connection) -> bool:
    """Whether the database has all tables as they are now."""
    return inspect(connection).has_table("alembic_version") and _revision(connection) == LATEST


def upgrade(connection: Connection) -> None:
    """Take the steps that the database lacks, within the transaction of ``connection``.

    Raises `CaseError` for a database that a newer version of HemaLens made.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.script.revision import RevisionError
    from alembic.util import CommandError

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    context, scripts = MigrationContext.configure(connection), ScriptDirectory(str(FOLDER))
    try:
        steps = list(scripts.iterate_revisions("head", context.get_current_revision() or "base"))
    except (CommandError, RevisionError) as error:
        raise CaseError(
            f"The database of cases was made by a newer version of HemaLens ({error}). Update HemaLens."
        ) from error
    with Operations.context(context):
        for step in reversed(steps):
            step.module.upgrade()
            context.stamp(scripts, step.revision)


def _revision(connection: Connection) -> str | None:
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
