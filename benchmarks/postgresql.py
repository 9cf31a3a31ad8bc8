"""A PostgreSQL server in a folder that goes again, for benchmarks and tests: needs Debian's ``postgresql``."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.formatting import natural_key

_STOP = 'cat; "$0" -D "$1/data" -m immediate -w stop; rm -rf "$1"'
_USER = "postgres"  # the server refuses to run as root


def find_postgresql() -> Path | None:
    """The folder of the newest server's programs; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: natural_key(str(path)))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


@contextmanager
def postgresql(durable: bool = True) -> Iterator[str]:
    """The URL of a server that takes connections by a socket in its folder only, up to and without the database's name;
    ``durable``: whether it waits for the disk. Raises OSError, CalledProcessError where it can't be started.
    """
    programs = find_postgresql()
    if programs is None:
        raise FileNotFoundError("no PostgreSQL server is installed")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # the path of a socket is short
    as_user = ["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []

    def run(program: str, *words: str) -> None:
        subprocess.run(
            [*as_user, str(programs / program), *words],
            check=True, cwd=folder, timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    data = folder / "data"
    try:
        if as_user:
            shutil.chown(folder, _USER)
        run("initdb", "-D", str(data), "-A", "trust", "-U", _USER, "-E", "UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c max_connections=60"
        options += "" if durable else " -c fsync=off -c synchronous_commit=off"
        run("pg_ctl", "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
        # Ends with the pipe to it, however this process ends, so that no server is left behind.
        watch = [*as_user, "sh", "-c", _STOP, str(programs / "pg_ctl"), str(folder)]
        with subprocess.Popen(watch, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True):
            yield f"postgresql+psycopg://{_USER}@/{{database}}?host={folder}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_schema(server: str, name: str) -> str:
    """The URL of a new, empty schema at ``server`` (of `postgresql`): as good as a database, and made at once."""
    import sqlalchemy as sa

    url = server.format(database=_USER)
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')
    return f"{url}&options=-csearch_path%3D{name}"
