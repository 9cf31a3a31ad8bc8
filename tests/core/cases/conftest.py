"""Stores of cases on both databases: SQLite in a folder, PostgreSQL on a server that is started once."""

import itertools
import subprocess

import pytest

from benchmarks.postgresql import find_postgresql, new_schema, postgresql
from core.cases.store import CaseStore
from tests.stored_cases import Stored

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server of its own, for all tests."""
    if find_postgresql() is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    try:
        with postgresql(durable=False) as url:
            yield url
    except subprocess.CalledProcessError as error:
        pytest.skip(f"PostgreSQL can't be started here: {error.stderr.decode(errors='replace').strip()[-200:]}")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database, or a schema that is as good as one."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'cases.sqlite3'}"
    return new_schema(request.getfixturevalue("server"), f"t{next(_NUMBERS)}")


@pytest.fixture
def store(url, tmp_path):
    """An empty store."""
    return CaseStore(url, tmp_path / "cases")


@pytest.fixture
def other(url, tmp_path):
    """The same store as another process sees it."""
    return CaseStore(url, tmp_path / "cases")


@pytest.fixture
def stored(store):
    """A case in ``store``: crops with alarms and doubts, and a field."""
    return Stored(store)


@pytest.fixture
def signed(stored):
    """``stored``, every cell looked at, signed."""
    stored.confirm_all()
    stored.store.sign(stored.id, stored.reader)
    return stored
