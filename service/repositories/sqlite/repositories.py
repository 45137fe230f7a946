"""All repositories of one SQLite file."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from service.config import Config
from service.domain.clock import Now
from service.repositories.base import Engine, Topic
from service.repositories.sqlite.access import SqliteAccess
from service.repositories.sqlite.api_keys import SqliteApiKeys
from service.repositories.sqlite.engine.database import (
    SQLITE_VERSION,
    Database,
    open_database,
)
from service.repositories.sqlite.engine.file import size
from service.repositories.sqlite.engine.health import (
    check_readable,
    check_schema,
    check_writable,
    used_by_litestream,
    wal_excess,
    wal_race,
    wal_size,
)
from service.repositories.sqlite.events import SqliteEvents
from service.repositories.sqlite.link_counts import LinkCounter
from service.repositories.sqlite.link_lists import SqliteLinkLists
from service.repositories.sqlite.links import SqliteLinks
from service.repositories.sqlite.retention import SqliteRetention
from service.repositories.sqlite.sessions import SqliteSessions
from service.repositories.sqlite.statistics import SqliteStatistics
from service.repositories.sqlite.summaries import SqliteSummaries
from service.repositories.sqlite.usage import SqliteUsage
from service.repositories.sqlite.videos import SqliteVideos
from service.repositories.sqlite.webhook_queue import SqliteWebhookQueue
from service.repositories.sqlite.webhooks import SqliteWebhooks
from service.telemetry.request_counts import METRIC_PREFIX
from service.telemetry.tracing import Tracing

_LITESTREAM = (
    "Litestream has used this file. If it still runs, set SHARED_REPORTS_CHECKPOINTER=litestream: "
    "only one process may checkpoint."
)


class SqliteRepositories:
    """All repositories of one open SQLite file: see ``base.Repositories``."""

    engine: Engine = "sqlite"
    engine_version = SQLITE_VERSION

    def __init__(self, database: Database, config: Config, now: Now) -> None:
        self.database = database
        self._config = config
        self.usage = SqliteUsage(database, config.quotas)
        self.links = SqliteLinks(database, now, self.usage)
        self.link_counts = LinkCounter(database, now)
        self.link_lists = SqliteLinkLists(database, now)
        self.access = SqliteAccess(database, now)
        self.sessions = SqliteSessions(database, now)
        self.summaries = SqliteSummaries(database)
        self.videos = SqliteVideos(database, now, self.usage)
        self.api_keys = SqliteApiKeys(database, now)
        self.retention = SqliteRetention(database, now)
        self.statistics = SqliteStatistics(database)
        self.events = SqliteEvents(database, now)
        self.webhooks = SqliteWebhooks(database, now)
        self.webhook_queue = SqliteWebhookQueue(database, now)

    def on_replaced(self, callback: Callable[[], None]) -> None:
        """Call this when another file becomes the database: see ``Database.on_replaced``."""
        self.database.on_replaced.append(callback)

    async def announce(self, topic: Topic) -> None:
        """Do nothing: one process serves a file."""

    def on_announced(self, topic: Topic, callback: Callable[[], None]) -> None:
        """Do nothing: one process serves a file."""

    def health(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the checks of the database by name; each raises if it fails."""
        return {
            "database_read": partial(check_readable, self.database),
            "schema_version": partial(check_schema, self.database),
            "database_write": partial(check_writable, self.database),
        }

    def notes(self) -> list[str]:
        """Return what an operator should know and what does not stop the work."""
        notes = (wal_race(), wal_excess(self.database.path))
        return [note for note in notes if note is not None]

    async def startup_warnings(self) -> list[str]:
        """Return what is to be logged once at the start."""
        if self._config.checkpointer == "service" and await used_by_litestream(self.database):
            return [_LITESTREAM]
        return []

    def trace(self, tracing: Tracing) -> None:
        """Make spans of look-ups and statements, from now on."""
        for connection in (self.database.reader, self.database.read_worker, self.database.writer):
            connection.trace(tracing)

    def metrics(self) -> Iterator[Metric]:
        """Return the metrics of the connections and of the files."""
        queue = GaugeMetricFamily(
            f"{METRIC_PREFIX}_db_queue_length",
            "Calls that wait for their statement to start.",
            labels=["connection"],
        )
        sizes = HistogramMetricFamily(
            f"{METRIC_PREFIX}_db_batch_size",
            "Calls that shared one statement, or one turn of the loop.",
            labels=["connection"],
        )
        seconds = HistogramMetricFamily(
            f"{METRIC_PREFIX}_db_statement_duration_seconds",
            "Duration of statements, waiting for the thread included.",
            labels=["connection"],
        )
        database = self.database
        for connection in (database.reader, database.read_worker, database.writer):
            labels = [connection.name]
            queue.add_metric(labels, connection.waiting)
            batch_sizes, durations = connection.batch_sizes, connection.statement_seconds
            sizes.add_metric(labels, batch_sizes.buckets(), batch_sizes.sum)
            seconds.add_metric(labels, durations.buckets(), durations.sum)
        yield from (queue, sizes, seconds)
        path = database.path
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}_database_size_bytes", "The database file.", size(path)
        )
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}_wal_size_bytes", "The write-ahead log.", wal_size(path)
        )


@asynccontextmanager
async def open_sqlite(
    config: Config, now: Now, *, serves: bool, creates: bool = False, decides: bool = False
) -> AsyncIterator[SqliteRepositories]:
    """Open the SQLite file of ``config``: see ``engine.database.open_database``.

    ``now`` is the clock of the schema's triggers, too, if it ``decides``; else the system's is.
    """
    async with open_database(
        config.sqlite_file,
        serves=serves,
        creates=creates,
        checkpoints=config.checkpointer == "service",
        slow=config.slow_query_seconds,
        now=now if decides else None,
    ) as database:
        yield SqliteRepositories(database, config, now)
