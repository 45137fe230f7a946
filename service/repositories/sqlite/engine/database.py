"""The open database: its connections, and how they are opened and opened again.

There are three connections. One writes and one runs long reads, each in a worker with a thread of
its own; the third one looks rows up on the event loop. Nothing else uses them.
"""

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiosqlite
import structlog

from service.domain.clock import Now
from service.domain.errors import DatabaseRefusedError, UnavailableError
from service.repositories.sqlite.engine.errors import ErrorMonitor
from service.repositories.sqlite.engine.file import (
    BUSY_MS,
    DatabaseFiles,
    connect,
    is_writable,
    uri,
)
from service.repositories.sqlite.engine.lock import (
    ServeLock,
    index_is_open_elsewhere,
    refuse_ambiguous_file,
    refuse_hard_links,
    refuse_unserved_file,
    serve_lock,
)
from service.repositories.sqlite.engine.log import LogWatch, truncate_log
from service.repositories.sqlite.engine.migrate import SCHEMA, migrate
from service.repositories.sqlite.engine.read_connection import SNAPSHOT_SECONDS, ReadConnection
from service.repositories.sqlite.engine.worker import ConnectionRecovery, ConnectionWorker

SQLITE_VERSION = sqlite3.sqlite_version

# Pages in the write-ahead log from which on a commit moves them into the file: SQLite's default.
# With more, creates are no cheaper, as creates of one batch share pages, and a writer waits longer.
CHECKPOINT_PAGES = 1_000
_WAL_LIMIT_BYTES = 64 * 2**20
_WATCH_SECONDS = 1.0
"""Between two looks at whether the file was replaced while nothing is written."""
_PROBE_SECONDS = 0.2
"""How long a start waits for the lock file: a command locks it for microseconds to look at it."""
_IS_SERVED = "is being served by another process"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Database:
    """An open database."""

    path: Path
    """The file's own path: symbolic links were resolved when it was opened."""
    reader: ReadConnection
    """Look-ups, each of which takes microseconds."""
    read_worker: ConnectionWorker
    """Reads that may take long: a whole analysis, a list, a count."""
    writer: ConnectionWorker
    errors: ErrorMonitor
    on_replaced: list[Callable[[], None]] = field(default_factory=list)
    """Called when another file has become the database, before any statement runs on it. What is
    kept in memory by row ids is dropped here: in another file they are the ids of other rows."""


@asynccontextmanager
async def open_database(  # noqa: PLR0913 - all but the path are named, and each has a default or decides
    path: Path,
    *,
    serves: bool,
    creates: bool = False,
    checkpoints: bool = True,
    slow: float = math.inf,
    now: Now | None = None,
) -> AsyncIterator[Database]:
    """Open ``path``, migrating it if needed, and close it after the last task.

    A missing file is created if the process ``serves`` or ``creates``. Only one process may
    checkpoint: SQLite 3.7.0 to 3.51.2 can lose pages if one connection checkpoints while another
    commits. So only the process that ``serves`` does, unless a program beside it does
    (``checkpoints`` is false). Statements of ``slow`` seconds or more are logged. ``now`` is the
    clock of the schema's triggers; None for the system's.

    A process that does not serve leaves the context SNAPSHOT_SECONDS after its last write: from
    then on no look-up of the service misses it.

    Raises DatabaseRefusedError for a file that is missing, not ours, newer than this program,
    served already, not the one that the service has open at this path, or can't be opened;
    BackupError if an older one can't be copied before its migration.
    """
    async with AsyncExitStack() as stack:
        try:
            path = _prepare_file(path, serves=serves, creates=serves or creates)
            checks = serves and checkpoints
            manager = ConnectionManager(path, checkpoints=checks, slow=slow, now=now)
            if serves:
                manager.acquire_serve_lock(stack)
            database = await manager.open(stack)
            if not serves:
                refuse_unserved_file(path)  # it may have been replaced while it was opened
        except (sqlite3.Error, OSError) as error:
            raise DatabaseRefusedError(f"{path}: {error}") from error
        yield database
        if not serves and database.writer.statement_seconds.sum:
            await asyncio.sleep(SNAPSHOT_SECONDS)


def _prepare_file(path: Path, *, serves: bool, creates: bool) -> Path:
    """Return the file's own path once the file there may be opened and has this schema.

    Symbolic links are resolved here and never again: SQLite names the log after the resolved path.
    """
    path = path.resolve()
    refuse_hard_links(path)
    if refuse_ambiguous_file(path) and serves:
        raise DatabaseRefusedError(f"{path} {_IS_SERVED}")
    migrate(path, creates=creates)
    return path


class ConnectionManager:
    """Opens the connections to the file at ``path``, and opens them again if they are lost.

    If the process serves, it switches to the file that replaces the database. A command does not:
    it fails.
    """

    def __init__(
        self, path: Path, *, checkpoints: bool, slow: float, now: Now | None = None
    ) -> None:
        self._path = path
        self._checkpoints = checkpoints
        self._checkpoint = f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES if checkpoints else 0}"
        self._slow = slow
        self._now = now
        self._errors = ErrorMonitor()
        self._files = DatabaseFiles(path)
        self._lock: ServeLock | None = None

    def acquire_serve_lock(self, stack: AsyncExitStack) -> None:
        """Take the locks of the process that serves. Raises DatabaseRefusedError if it can't."""
        if not is_writable(self._path):
            raise DatabaseRefusedError(f"{self._path} may only be read")
        self._lock = stack.enter_context(serve_lock(self._path, _IS_SERVED, _PROBE_SECONDS))

    async def open(self, stack: AsyncExitStack) -> Database:
        """Open all connections; the ``stack`` closes them."""
        self._writer = ConnectionWorker(
            await self._connect_writer(),
            "writer",
            self._slow,
            ConnectionRecovery(self._errors, self._replaced, self._reopen_writer),
            caller_limit=math.inf,  # each has a connection of its own, and a batch counts for one
        )
        stack.push_async_callback(self._writer.close)
        self._files.record()
        self._read_worker = ConnectionWorker(
            await self._connect("ro", _NO_WRITE),
            "read_worker",
            self._slow,
            ConnectionRecovery(self._errors, reopen=self._reopen_read_worker),
        )
        stack.push_async_callback(self._read_worker.close)
        self._reader = ReadConnection(self._connect_reader, "reader", self._slow, self._errors)
        stack.callback(self._reader.close)
        self._database = Database(
            self._path, self._reader, self._read_worker, self._writer, self._errors
        )
        if self._lock is not None:
            watch = asyncio.create_task(self._watch(), name="database watch")
            stack.callback(watch.cancel)
        return self._database

    async def _watch(self) -> None:
        """Have the writer switch to a new file, or lock a new lock file, without a write's help.

        And truncate the log while nothing is written.
        """
        log_watch = LogWatch(self._path)
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self._replaced():
                with suppress(UnavailableError, RuntimeError):  # the worker has logged it
                    await self._writer.fetch_all(CHECK_READING)
            elif self._checkpoints and log_watch.is_due():
                with suppress(sqlite3.Error, ValueError):  # the next statement meets it, too
                    await self._empty_log()

    async def _empty_log(self) -> None:
        """Truncate the log unless it is being read: writes must not wait for a long read."""
        async with self._writer.paused():
            connection = self._writer.connection
            if connection is not None and not self._replaced():
                await truncate_log(connection, patience=0)

    async def _connect_writer(self) -> aiosqlite.Connection:
        if self._lock is not None and not is_writable(self._path):
            raise DatabaseRefusedError(f"{self._path} may only be read")
        connection = await self._connect("rw", self._checkpoint)
        if self._now is not None:
            await _set_clock(connection, self._now)
        return connection

    async def _connect(self, mode: str, pragma: str) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(uri(self._path, mode), uri=True, isolation_level=None)
        try:
            for statement in (*_PRAGMAS, pragma, CHECK_READING):  # a read opens the log, too
                await connection.execute_fetchall(statement)
        except BaseException:
            await connection.close()
            raise
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        self._refuse_replaced_file()
        connection = sqlite3.connect(uri(self._path, "ro"), uri=True, isolation_level=None)
        try:
            for statement in (*_PRAGMAS, _NO_WRITE, *_READER_PRAGMAS, CHECK_READING):
                connection.execute(statement).fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    async def _reopen_read_worker(self) -> aiosqlite.Connection:
        self._refuse_replaced_file()
        return await self._connect("ro", _NO_WRITE)

    async def _reopen_writer(self) -> aiosqlite.Connection:
        if self._lock is None:
            self._refuse_replaced_file()
        elif not self._lock.holds() or self._files.replaced():
            await self._follow_replacement(self._lock)
        if self._writer.connection is not None:  # only the lock file was replaced
            return self._writer.connection
        try:
            return await self._connect_writer()
        except DatabaseRefusedError:
            raise UnavailableError(f"{self._path.name} may only be read.") from None

    async def _follow_replacement(self, lock: ServeLock) -> None:
        """Lock the lock file now at its path, and switch to the file now at the database's path."""
        if not self._locked(lock.lock_path_again):
            raise UnavailableError(f"{self._path.name} is served by another process.")
        reason = self._files.replaced()
        if reason is None:
            return
        # SQLite would take a log left at the path for that of the next file there. A deleted log
        # would be lost with the process.
        connection = self._writer.connection
        if connection is not None and not await truncate_log(connection):
            raise UnavailableError("The write-ahead log is being read.")
        if fault := self._files.successor_fault(SCHEMA.version):
            raise UnavailableError(fault)
        if not self._locked(lock.lock_new_file):
            raise UnavailableError(f"{self._path.name} is served by another process.")
        async with self._read_worker.paused():
            await self._writer.disconnect()
            await self._read_worker.disconnect()
            self._switch_to_new_file(lock)
        log.warning("database file was replaced; reopened", reason=reason)

    def _locked(self, take: Callable[[], bool]) -> bool:
        try:
            return take()
        except (DatabaseRefusedError, OSError) as error:
            raise UnavailableError(f"{self._path.name} can't be locked: {error}.") from error

    def _switch_to_new_file(self, lock: ServeLock) -> None:
        """Make the file at the path the database. No worker has a connection to the old one.

        Nothing is awaited, so that no look-up finds the reader closed.
        """
        self._reader.close()
        if index_is_open_elsewhere(self._path):
            raise UnavailableError("Another process still has the replaced file's log open.")
        with closing(connect(self._path, "rw")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # a copy made by backup has no log
            connection.execute(CHECK_READING).fetchall()
            if self._files.is_another_database():
                self._errors.clear()
                for callback in self._database.on_replaced:
                    callback()
            self._files.record()
            lock.switch()
            self._reader.reopen()

    def _replaced(self) -> str | None:
        """Return why a write would be lost, or another process may serve; None if all is well."""
        if self._lock is not None and not self._lock.holds():
            return f"The lock file of {self._path.name} was deleted or replaced."
        return self._files.replaced()

    def _refuse_replaced_file(self) -> None:
        if reason := self._files.replaced():
            raise UnavailableError(reason)


async def _set_clock(connection: aiosqlite.Connection, now: Now) -> None:
    """Let CURRENT_TIMESTAMP of a connection, and so that of the triggers, be an injected clock."""
    await connection.create_function("current_timestamp", 0, lambda: now().replace("T", " "))
    await connection.execute_fetchall("PRAGMA trusted_schema = ON")  # or no trigger may call it


_NO_WRITE = "PRAGMA query_only = ON"

_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_MS}",
    "PRAGMA synchronous = FULL",  # an acknowledged write survives a loss of power
    "PRAGMA foreign_keys = ON",
    f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA secure_delete = ON",  # what is deleted is overwritten, however SQLite was compiled
)

_READER_PRAGMAS = (
    "PRAGMA busy_timeout = 20",  # ms, during which the event loop is blocked; rarely needed
    "PRAGMA cache_size = -8192",  # KiB; reading a page costs as much as a look-up
)

CHECK_READING = "-- check reading\nSELECT count(*) FROM sqlite_schema"
