"""The catalog's database: its engine, its threads, and its migrations.

Reads from and writes to the database named by collector.database_url, or <data_dir>/collector.sqlite3. All work is done in
a few threads, so that the event loop never waits for it. Foreign errors become DatabaseFull or DatabaseError here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, Engine

from runyard.errors import ConfigError, RunyardError

P = ParamSpec("P")
R = TypeVar("R")

READERS = 3
# Writes that wait at the same time are committed together: one sync of the disk for all of them.
MOST_TOGETHER = 64
MIGRATIONS = str(Path(__file__).parent / "migrations")
# PostgreSQL's class 53: out of disk, memory or connections; 53100 is the disk.
_FULL_SQLSTATE = "53100"


class DatabaseError(RunyardError):
    """The database cannot do it now; trying again may help."""


class DatabaseFull(DatabaseError):  # noqa: N818 - the name tells the state
    """The database has no room left."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A write that waits, and where its outcome goes."""

    work: Callable[[Connection], Any]
    done: Future[Any]

    def settle(self, result: Any, error: BaseException | None) -> None:
        if error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(result)


def _attempt(connection: Connection, job: _Job) -> tuple[Any, BaseException | None]:
    """The work's result, or the error that it raised after what it did was taken back. The database's own go on."""
    try:
        with connection.begin_nested():
            return job.work(connection), None
    except exc.SQLAlchemyError:
        raise
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
        return None, error


class Database:
    """Runs functions of the form f(connection, …) in threads: `read` in one of several, `write` in a single one.

    One writer: SQLite knows no more, and so a transaction that reads before it writes never has to be repeated.
    """

    def __init__(self, engine: Engine, on_error: Callable[[], None]) -> None:
        self.engine = engine
        self._on_error = on_error
        self._readers = ThreadPoolExecutor(READERS, "database-read")
        self._writer = ThreadPoolExecutor(1, "database-write")
        self._jobs: deque[_Job] = deque()

    async def read(self, work: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `work(connection, …)` returns; nothing is committed."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: self._read(work, *args, **kwargs))

    async def write(self, work: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `work(connection, …)` returns, once it is committed. Not undone by a cancelled caller.

        `work` may be called a second time after the first was rolled back, and leaves nothing but in the database.
        """
        job = _Job(lambda connection: work(connection, *args, **kwargs), Future())
        self._jobs.append(job)
        self._writer.submit(self._write_waiting)
        result: R = await asyncio.shield(asyncio.wrap_future(job.done))
        return result

    def _read(self, work: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with self.engine.connect() as connection:
                return work(connection, *args, **kwargs)
        except exc.SQLAlchemyError as error:
            raise self._foreign(error) from error

    def _write_waiting(self) -> None:
        """In the writer's thread: everything that waits, unless an earlier call has taken it along."""
        jobs = [self._jobs.popleft() for _ in range(min(MOST_TOGETHER, len(self._jobs)))]
        if len(jobs) < 2 or not self._write_together(jobs):
            for job in jobs:
                self._write_alone(job)

    def _write_together(self, jobs: list[_Job]) -> bool:
        """One transaction for all of them; False where the database refused: then nothing has happened, and each is tried
        alone, so that one's failure is not another's."""
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            with self.engine.begin() as connection:
                for job in jobs:
                    outcomes.append(_attempt(connection, job))
        except BaseException:  # noqa: BLE001 - whatever it is, nobody is left waiting for ever
            return False
        for job, (result, error) in zip(jobs, outcomes, strict=True):
            job.settle(result, error)
        return True

    def _write_alone(self, job: _Job) -> None:
        try:
            with self.engine.begin() as connection:
                result = job.work(connection)
        except exc.SQLAlchemyError as error:
            job.settle(None, self._foreign(error))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            job.settle(None, error)
        else:
            job.settle(result, None)

    def _foreign(self, error: exc.SQLAlchemyError) -> DatabaseError:
        self._on_error()
        origin = getattr(error, "orig", None)
        if getattr(origin, "sqlite_errorname", "") == "SQLITE_FULL" or getattr(origin, "sqlstate", "") == _FULL_SQLSTATE:
            return DatabaseFull("the disk of the collector's database is full")
        return DatabaseError(f"the collector's database failed: {_sentence(error)}")

    def close(self) -> None:
        """Wait for what is under way and close all connections."""
        self._readers.shutdown()
        self._writer.shutdown()
        self.engine.dispose()


def open_database(url: str, data_dir: Path, on_error: Callable[[], None]) -> Database:
    """The database, migrated to the newest schema; `on_error` is called at each failure. Raises ConfigError. Blocks."""
    try:
        engine = _engine(url or f"sqlite:///{data_dir / 'collector.sqlite3'}")
        migrate(engine)
    except (exc.SQLAlchemyError, ImportError, ValueError) as error:
        place = "collector.database_url" if url else str(data_dir / "collector.sqlite3")
        raise ConfigError(f"the database at {place} cannot be opened: {_sentence(error)}") from error
    return Database(engine, on_error)


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision, in one transaction."""
    if revision(engine) == newest_revision():
        return
    # Alembic costs a third of a second to load, which most starts need not pay.
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", MIGRATIONS.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise ValueError(f"it was made by a newer version of this program ({error})") from error


def revision(engine: Engine) -> str | None:
    """The revision of the schema in the database; None where it is empty."""
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
        return found


def newest_revision() -> str:
    """The revision that the migrations lead to."""
    return max(path.name for path in Path(MIGRATIONS, "versions").glob("[0-9]*.py")).partition("_")[0]


def _engine(url: str) -> Engine:
    engine = sqlalchemy.create_engine(url, pool_size=READERS + 2, max_overflow=0, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own BEGIN comes late and leaves out DDL; _begin_sqlite says it instead.
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout=10000")
    connection.execute("PRAGMA journal_mode=WAL")
    # FULL: a commit (an opened stream, a seal, a gap) survives a power cut, as the bytes do.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _sentence(error: Exception) -> str:
    origin = getattr(error, "orig", None) or error
    return " ".join(str(origin).split()) or type(error).__name__
