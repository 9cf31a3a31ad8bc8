"""Where a search keeps its trials while it goes on, so that several processes and machines can join it."""

import warnings
from pathlib import Path

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from core import paths
from core.errors import HemaLensError

HEARTBEAT = 10  # seconds between two signs of life of a trial
GRACE = 120  # seconds without one after which its process counts as dead; a busy machine must not seem dead
BUSY = 60  # seconds to wait for another process that is writing to the same SQLite file
ATTEMPTS = 5


class StorageUnavailable(HemaLensError):
    """The database of a search can't be opened; the message says why and what can be done."""


def default_storage() -> str:
    """Address of the SQLite file in the user's cache."""
    return f"sqlite:///{(paths.cache_root() / 'searches.sqlite3').as_posix()}"


def open_storage(address: str | None = None, heartbeat: int = HEARTBEAT, grace: int = GRACE) -> BaseStorage:
    """The database at ``address``: any that Optuna speaks to; None stands for `default_storage`.

    Where the database can tell (all but Redis), a trial whose process gives no sign of life for
    ``grace`` seconds counts as failed, and its settings are tried once more by whoever comes next.
    """
    address = address or default_storage()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if address.startswith("redis"):
            return optuna.storages.get_storage(address)
        sqlite = make_url(address).get_backend_name() == "sqlite"
        if sqlite and (file := make_url(address).database):
            Path(file).expanduser().parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = _open(address, sqlite, heartbeat, grace)
    except (SQLAlchemyError, StorageInternalError, ImportError, OSError, RuntimeError) as error:
        raise StorageUnavailable(
            f"the study's database {_without_password(address)} can't be opened ({str(error).splitlines()[0]}); "
            "check the address and that the database's Python driver is installed, or leave --storage out "
            "to use a file in your cache"
        ) from error
    if sqlite:
        _one_writer_at_a_time(storage)
    return storage


def _open(address: str, sqlite: bool, heartbeat: int, grace: int) -> RDBStorage:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return RDBStorage(
                address,
                engine_kwargs={"connect_args": {"timeout": BUSY}} if sqlite else {"pool_pre_ping": True},
                heartbeat_interval=heartbeat,
                grace_period=grace,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=1),
            )
        except SQLAlchemyError:
            # Two processes that create the tables at the same moment: the second one finds them on its next look.
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _one_writer_at_a_time(storage: RDBStorage) -> None:
    """Let every transaction take SQLite's write lock at its beginning, before it reads what it is going to change.

    Python's driver opens a transaction at the first write only. Two processes could both read that a
    waiting trial is free and both take it. See "Serializable isolation" in SQLAlchemy's SQLite manual.
    """
    storage.engine.dispose()

    @sqlalchemy.event.listens_for(storage.engine, "connect")
    def prepare(connection, record) -> None:
        connection.isolation_level = None
        # A trial makes dozens of small writes: a log ahead of the file spares each the wait for the disk.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @sqlalchemy.event.listens_for(storage.engine, "begin")
    def begin(connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _without_password(address: str) -> str:
    try:
        return make_url(address).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return address.rpartition("@")[2]
