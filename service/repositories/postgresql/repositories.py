"""All repositories of one PostgreSQL database."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from service.config import Config
from service.domain.clock import Now
from service.domain.postgresql_url import PostgresqlUrl
from service.domain.usage import Quotas
from service.repositories.base import Engine, Topic
from service.repositories.postgresql.access import PostgresqlAccess
from service.repositories.postgresql.api_keys import PostgresqlApiKeys
from service.repositories.postgresql.engine.announcements import ANNOUNCE
from service.repositories.postgresql.engine.connector import Connector
from service.repositories.postgresql.engine.database import Database, open_database
from service.repositories.postgresql.engine.health import (
    check_readable,
    check_schema,
    check_writable,
    durability_warnings,
)
from service.repositories.postgresql.engine.migrate import pending_migrations
from service.repositories.postgresql.events import PostgresqlEvents
from service.repositories.postgresql.link_counts import LinkCounter
from service.repositories.postgresql.link_lists import PostgresqlLinkLists
from service.repositories.postgresql.links import PostgresqlLinks
from service.repositories.postgresql.retention import PostgresqlRetention
from service.repositories.postgresql.sessions import PostgresqlSessions
from service.repositories.postgresql.statistics import PostgresqlStatistics
from service.repositories.postgresql.summaries import PostgresqlSummaries
from service.repositories.postgresql.usage import PostgresqlUsage
from service.repositories.postgresql.videos import PostgresqlVideos
from service.repositories.postgresql.webhook_queue import PostgresqlWebhookQueue
from service.repositories.postgresql.webhooks import PostgresqlWebhooks
from service.telemetry.request_counts import METRIC_PREFIX
from service.telemetry.tracing import Tracing


class PostgresqlRepositories:
    """All repositories of one open PostgreSQL database: see ``base.Repositories``."""

    engine: Engine = "postgresql"

    def __init__(self, database: Database, quotas: Quotas) -> None:
        self.database = database
        self.usage = PostgresqlUsage(database, quotas)
        self.links = PostgresqlLinks(database, self.usage)
        self.link_counts = LinkCounter(database)
        self.link_lists = PostgresqlLinkLists(database)
        self.access = PostgresqlAccess(database)
        self.sessions = PostgresqlSessions(database)
        self.summaries = PostgresqlSummaries(database)
        self.videos = PostgresqlVideos(database, self.usage)
        self.api_keys = PostgresqlApiKeys(database)
        self.retention = PostgresqlRetention(database)
        self.statistics = PostgresqlStatistics(database)
        self.events = PostgresqlEvents(database)
        self.webhooks = PostgresqlWebhooks(database)
        self.webhook_queue = PostgresqlWebhookQueue(database)

    @property
    def engine_version(self) -> str:
        """The version of the server."""
        return self.database.version

    def on_replaced(self, callback: Callable[[], None]) -> None:
        """Do nothing: a server's database is not replaced while an instance runs."""

    async def announce(self, topic: Topic) -> None:
        """Wake the other instances on this database: see ``base.Repositories``."""
        payload = self.database.announcements.payload(topic)
        await self.database.writer.execute(ANNOUNCE, payload=payload)

    def on_announced(self, topic: Topic, callback: Callable[[], None]) -> None:
        """Call ``callback`` when another instance announces ``topic``, or may have done so."""
        self.database.announcements.on_announced(topic, callback)

    def health(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the checks of the database by name; each raises if it fails."""
        return {
            "database_read": partial(check_readable, self.database),
            "schema_version": partial(check_schema, self.database),
            "database_write": partial(check_writable, self.database),
        }

    def notes(self) -> list[str]:
        """Return what an operator should know and what does not stop the work."""
        return []

    async def startup_warnings(self) -> list[str]:
        """Return what is to be logged once at the start."""
        return await durability_warnings(self.database)

    def trace(self, tracing: Tracing) -> None:
        """Make spans of statements, from now on."""
        for worker in self.database.workers:
            worker.trace(tracing)

    def metrics(self) -> Iterator[Metric]:
        """Return the metrics of the connections."""
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
        for worker in self.database.workers:
            labels = [worker.name]
            queue.add_metric(labels, worker.waiting)
            batch_sizes, durations = worker.batch_sizes, worker.statement_seconds
            sizes.add_metric(labels, batch_sizes.buckets(), batch_sizes.sum)
            seconds.add_metric(labels, durations.buckets(), durations.sum)
        yield from (queue, sizes, seconds)


@asynccontextmanager
async def open_postgresql(
    config: Config, url: PostgresqlUrl, now: Now | None, *, creates: bool
) -> AsyncIterator[PostgresqlRepositories]:
    """Open the database at ``url``: see ``engine.database.open_database``."""
    async with open_database(
        connector_for(config, url),
        connections=config.postgresql_connections,
        now=now,
        creates=creates,
        slow=config.slow_query_seconds,
    ) as database:
        yield PostgresqlRepositories(database, config.quotas)


async def schema_versions(config: Config, url: PostgresqlUrl) -> tuple[int, int]:
    """Return the schema version of the database, 0 for none, and this release's."""
    return await pending_migrations(connector_for(config, url))


def connector_for(config: Config, url: PostgresqlUrl) -> Connector:
    """Return what opens connections to ``url``, with the configured timeouts."""
    return Connector(
        url, config.connect_timeout, config.statement_timeout, config.statement_cache_size
    )
