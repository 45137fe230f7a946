"""The open database: its connections and their PRAGMAs.

One connection writes, one reads what may take long, each in a lane with a thread of its own; one
looks things up on the event loop itself. Nothing else touches them.
"""

import math
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import aiosqlite
import structlog

from service.domain.errors import DatabaseRefusedError, UnavailableError
from service.repositories.sqlite.engine.errors import ErrorMonitor
from service.repositories.sqlite.engine.file import (
    BUSY_MS,
    DatabaseFiles,
    Lock,
    alone,
    connect,
    is_writable,
    uri,
)
from service.repositories.sqlite.engine.migrate import SCHEMA, prepare
from service.repositories.sqlite.engine.read_connection import ReadConnection
from service.repositories.sqlite.engine.worker import ConnectionRecovery, ConnectionWorker

SQLITE_VERSION = sqlite3.sqlite_version


# Pages in the log from which on they are moved into the file: SQLite's own number. With more,
# creates are no cheaper, as those at the same time share pages, and a writer waits for longer.
CHECKPOINT_PAGES = 1_000


_WAL_LIMIT_BYTES = 64 * 2**20


log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Database:
    """The ways into an open database."""

    reader: ReadConnection
    """Look-ups, each of which takes microseconds."""
    read_worker: ConnectionWorker
    """Reads that may take long: a whole analysis, a list, a count."""
    writer: ConnectionWorker
    faults: ErrorMonitor


@asynccontextmanager
async def open_database(
    path: Path, *, serves: bool, checkpoints: bool = True, slow: float = math.inf
) -> AsyncIterator[Database]:
    """Open ``path``, creating or migrating it where need be, and close it behind the last trip.

    Only one process may checkpoint: SQLite 3.7.0 to 3.51.2 can lose pages when one connection
    checkpoints while another commits. So only the one that ``serves`` does, and it does not where
    a program beside it does that (``checkpoints`` is false). Statements that take ``slow`` seconds
    or longer are logged.

    Raises DatabaseRefusedError for a file that is not ours, newer than this program, being served
    already, or can't be opened at all; BackupError where one that is older can't be copied.
    """
    try:
        prepare(path)
    except sqlite3.Error as error:
        raise DatabaseRefusedError(f"{path}: {error}") from error
    checkpoint = f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES if serves and checkpoints else 0}"
    async with AsyncExitStack() as stack:
        ways = ConnectionManager(path, checkpoint, slow)
        if serves:
            ways.acquire_serve_lock(stack)
        try:
            database = await ways.open(stack)
        except sqlite3.Error as error:
            raise DatabaseRefusedError(f"{path}: {error}") from error
        yield database


class ConnectionManager:
    """The ways into the file at ``path``: how they are opened, and opened again when lost."""

    def __init__(self, path: Path, checkpoint: str, slow: float) -> None:
        self._path = path
        self._checkpoint = checkpoint
        self._slow = slow
        self._faults = ErrorMonitor()
        self._files = DatabaseFiles(path)
        self._lock: Lock | None = None

    def acquire_serve_lock(self, stack: AsyncExitStack) -> None:
        """Be the only one that serves. Raises DatabaseRefusedError where another process is."""
        if self._lock is None or not self._lock.holds():
            lock = alone(self._path, "is being served by another process")
            self._lock = stack.enter_context(lock)

    async def open(self, stack: AsyncExitStack) -> Database:
        """Open all three, which the ``stack`` closes again."""
        self._stack = stack
        self._writer = ConnectionWorker(
            await self._connect_writer(),
            "writer",
            self._slow,
            ConnectionRecovery(self._faults, self._files.replaced, self._reopen_writer),
        )
        stack.push_async_callback(self._writer.close)
        self._files.record()
        self._read_worker = ConnectionWorker(
            await self._connect("ro", _NO_WRITE),
            "read_worker",
            self._slow,
            ConnectionRecovery(self._faults, reopen=self._reopen_read_worker),
        )
        stack.push_async_callback(self._read_worker.close)
        self._reader = ReadConnection(self._connect_reader, "reader", self._slow, self._faults)
        stack.callback(self._reader.close)
        return Database(self._reader, self._read_worker, self._writer, self._faults)

    async def _connect_writer(self) -> aiosqlite.Connection:
        if self._lock is not None and not is_writable(self._path):
            raise DatabaseRefusedError(f"{self._path} may only be read")
        return await self._connect("rw", self._checkpoint)

    async def _connect(self, mode: str, pragma: str) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(uri(self._path, mode), uri=True, isolation_level=None)
        try:
            for each in (*_PRAGMAS, pragma, _CHECK_READING):  # a read makes the log, too
                await connection.execute_fetchall(each)
        except BaseException:
            await connection.close()
            raise
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        self._refuse_another_file()
        connection = sqlite3.connect(uri(self._path, "ro"), uri=True, isolation_level=None)
        try:
            for each in (*_PRAGMAS, _NO_WRITE, *_READER_PRAGMAS, _CHECK_READING):
                connection.execute(each).fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    async def _reopen_read_worker(self) -> aiosqlite.Connection:
        self._refuse_another_file()
        return await self._connect("ro", _NO_WRITE)

    async def _reopen_writer(self) -> aiosqlite.Connection:
        lost = self._files.replaced()
        if lost is not None:
            if self._writer.connection is not None:
                await _empty_log(self._writer.connection)
            if fault := self._files.successor_fault(SCHEMA.version):
                raise UnavailableError(fault)
            if self._lock is not None:
                self._reacquire_serve_lock()
            async with self._read_worker.paused():
                await self._writer.disconnect()
                await self._read_worker.disconnect()
                self._switch_to_new_file()
            log.warning("opened the database that is there now", because=lost)
        try:
            return await self._connect_writer()
        except DatabaseRefusedError:
            raise UnavailableError(f"{self._path.name} may only be read.") from None

    def _switch_to_new_file(self) -> None:
        """Take what is at the path for the database, once nothing of the old one is open.

        All at once, so that no look-up finds the reader closed.
        """
        self._reader.close()
        with closing(connect(self._path, "rw")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # a restored copy has another
            connection.execute(_CHECK_READING).fetchall()
            self._files.record()
            self._reader.reopen()
        self._faults.clear()

    def _reacquire_serve_lock(self) -> None:
        try:
            self.acquire_serve_lock(self._stack)
        except DatabaseRefusedError:
            raise UnavailableError(f"{self._path.name} is served by another process.") from None

    def _refuse_another_file(self) -> None:
        if lost := self._files.replaced():
            raise UnavailableError(lost)


async def _empty_log(connection: aiosqlite.Connection) -> None:
    """Move all of the log into the file it belongs to, wherever that is now.

    A log that stays behind at the path would be taken for that of the next file there; one that
    was deleted would be lost with the process.
    """
    [[is_busy, *_]] = await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
    if is_busy:
        raise UnavailableError("The write-ahead log is being read.")


_NO_WRITE = "PRAGMA query_only = ON"


_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_MS}",
    "PRAGMA synchronous = FULL",  # an acknowledged write survives a loss of power
    "PRAGMA foreign_keys = ON",
    f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}",
    "PRAGMA trusted_schema = OFF",
)


_READER_PRAGMAS = (
    "PRAGMA busy_timeout = 20",  # nothing else is answered meanwhile; a lock is hardly ever found
    "PRAGMA cache_size = -8192",  # KiB: to read a page costs as much as a look-up
)


_CHECK_READING = "-- check reading\nSELECT count(*) FROM sqlite_schema"
