"""The open database: its connections, divided into workers by how long their statements take.

``lookups`` reads by key: the calls of many requests share a statement. ``writer`` makes small
writes, likewise. ``long`` does what may take longer: lists, whole analyses, counts, large writes,
sweeps. So nothing long is in the way of anything short.
"""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from service.domain.clock import Now
from service.repositories.postgresql.engine.connector import Connector
from service.repositories.postgresql.engine.errors import ErrorMonitor
from service.repositories.postgresql.engine.migrate import migrate
from service.repositories.postgresql.engine.session import Session
from service.repositories.postgresql.engine.statements import write
from service.repositories.postgresql.engine.worker import Worker

CONFIRM = write("-- confirm\nUPDATE schema_version SET version = version", repeats=True)
"""Changes nothing, and is a write."""

_SHORT = 2  # connections for look-ups and small writes; all others are for what is long


@dataclass(frozen=True, slots=True)
class Database:
    """An open database."""

    lookups: Worker
    writer: Worker
    long: Worker
    errors: ErrorMonitor
    version: str
    """The server's version."""
    now: Callable[[], str | None]
    """Returns the parameter ``now`` of a statement: None, so that the server's clock decides, or
    the time of an injected clock."""

    async def confirm(self) -> None:
        """Return when all commits so far are where a commit has to be: on disk, and at replicas.

        What is found done after an answer was lost may not be there yet, and only a write waits.
        """
        await self.writer.execute(CONFIRM)

    @property
    def workers(self) -> tuple[Worker, Worker, Worker]:
        """All workers."""
        return self.lookups, self.writer, self.long


@asynccontextmanager
async def open_database(
    connector: Connector,
    *,
    connections: int,
    now: Now | None,
    creates: bool,
    slow: float = math.inf,
) -> AsyncIterator[Database]:
    """Open the database, migrating it if needed, and close it after the last task.

    A schema is created in an empty database if the process ``creates``. Without ``now`` the
    server's clock decides. Statements of ``slow`` seconds or more are logged. Raises
    DatabaseRefusedError if the database can't be used.
    """
    version = await migrate(connector, creates=creates)
    errors = ErrorMonitor()

    def worker(name: str, count: int) -> Worker:
        sessions = [Session(connector, name, errors, now) for _ in range(count)]
        worker = Worker(name, sessions, errors, slow)
        stack.push_async_callback(worker.close)
        return worker

    async with AsyncExitStack() as stack:
        yield Database(
            worker("lookups", 1),
            worker("writer", 1),
            worker("long", connections - _SHORT),
            errors,
            version,
            now or _server_decides,
        )


def _server_decides() -> None:
    return None
