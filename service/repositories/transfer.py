"""A whole database, moved from one engine to another.

A source gives rows of neutral values, in the order of their keys: texts, numbers, bytes, true and
false; a time is text as everywhere. A target stores the rows and gives them back. Both sides are
counted and hashed, so what was stored is known to be what was read. A batch at a time is in memory.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from service.domain.errors import BackupError

Row = tuple[Any, ...]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many steps of how many are done: two for each row."""

BATCH_ROWS = 1_000
_BATCH_BYTES = 2**20  # of large values: a batch has at most one more than that


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its columns that both engines store, and the columns of its key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ("id",)
    truths: tuple[str, ...] = ()
    """The columns that are true or false."""
    has_large_column: bool = False
    """Whether the last column is bytes, up to a whole analysis: it is compared by its SHA-256."""
    numbers_ids: bool = False
    """Whether the engine gives out the ids."""


TABLES = (
    Table("signing_key", ("id", "key"), has_large_column=True),
    Table(
        "api_keys",
        (
            *("id", "user_id", "name", "key_prefix", "digest", "is_active", "last_used_at"),
            "created_at",
        ),
        truths=("is_active",),
        numbers_ids=True,
    ),
    Table(
        "videos",
        (
            *("id", "user_id", "job_id", "project_id", "name", "status", "selected_insights"),
            *("duration", "file_size", "processing_time", "storage_path", "created_at"),
            *("updated_at", "revision", "modules", "public_fields_json", "segments"),
        ),
        has_large_column=True,
        numbers_ids=True,
    ),
    Table(
        "shared_reports",
        (
            *("id", "user_id", "video_id", "share_hash", "expires_at", "is_active", "created_at"),
            *("not_before", "max_views", "view_count", "last_viewed_at", "password", "label"),
            *("modules", "switched_off_at", "max_views_changed_at", "access_revision", "note"),
            "bot_view_count",
        ),
        truths=("is_active",),
        numbers_ids=True,
    ),
    Table("revocations", ("video_id", "last_id", "previous_id"), key=("video_id",)),
    Table(
        "idempotency_keys",
        (
            *("user_id", "key", "request_digest", "share_hash", "report_id", "video_id"),
            "created_at",
        ),
        key=("user_id", "key"),
    ),
    # Last: the rows above are stored while nobody has asked for events, so they cause none.
    Table(
        "events",
        (
            *("id", "user_id", "type", "created_at", "new_views", "new_bot_views", "new_unlocks"),
            *("link_id", "video_id", "link_created_at", "expires_at", "not_before", "is_active"),
            *("switched_off_at", "max_views", "has_password", "label", "note", "modules"),
            *("view_count", "bot_view_count", "last_viewed_at", "job_id", "project_id", "name"),
            *("video_status", "selected_insights", "duration", "file_size", "processing_time"),
            *("storage_path", "video_created_at", "updated_at"),
        ),
        truths=("is_active", "has_password"),
        numbers_ids=True,
    ),
    Table("event_views", ("link_id", "tell_after", "view_count", "bot_view_count"), ("link_id",)),
    Table(
        "event_subscriptions",
        ("user_id", "is_enabled"),
        key=("user_id",),
        truths=("is_enabled",),
    ),
    # A trigger counts them for event_subscriptions. No dispatcher has claimed them there, and the
    # triggers of deliveries set when they are due.
    Table(
        "webhooks",
        (
            *("id", "user_id", "url", "events", "description", "is_active", "disabled_reason"),
            *("secret", "previous_secret", "previous_until", "created_at", "failures"),
            *("failing_since", "resume_at"),
        ),
        truths=("is_active",),
        numbers_ids=True,
    ),
    Table(
        "webhook_deliveries",
        (
            *("id", "webhook_id", "event_id", "type", "created_at", "status", "step", "attempts"),
            *("last_attempt_at", "status_code", "error", "next_attempt_at"),
        ),
        numbers_ids=True,
    ),
)
"""All tables, a table that others refer to before them."""


class Source(Protocol):
    """The database that is read, in one snapshot."""

    async def counts(self) -> Mapping[str, int]:
        """Return the number of rows of each table."""

    def rows(self, table: Table) -> AsyncIterator[Sequence[Row]]:
        """Return the rows of a table in batches, in the order of its key."""

    async def last_ids(self) -> Mapping[str, int]:
        """Return the largest id that each table has given out, by table."""


class Target(Protocol):
    """The database that is written, in one transaction."""

    async def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Store rows."""

    def stored(self, table: Table) -> AsyncIterator[Sequence[Row]]:
        """Return the stored rows likewise, a large value as its SHA-256."""

    async def set_last_ids(self, last_ids: Mapping[str, int]) -> None:
        """Let each new id be larger than these, and than all stored ones."""


class Checksum:
    """The number of rows, and the SHA-256 of their values."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows, a large value as its SHA-256."""
        self.count += len(rows)
        for row in rows:
            self._hash.update(msgspec.msgpack.encode(row))

    def __str__(self) -> str:
        return f"{self.count} rows, SHA-256 {self._hash.hexdigest()}"


async def transfer(source: Source, target: Target, progress: Progress) -> dict[str, int]:
    """Copy all rows, read them back and compare them. Return the rows by table.

    Raises BackupError if what is stored is not what was read: then the target keeps nothing.
    """
    counts = await source.counts()
    steps, done = 2 * sum(counts.values()), 0
    read: dict[str, Checksum] = {}
    for table in TABLES:
        checksum = read[table.name] = Checksum()
        async for rows in source.rows(table):
            await target.write(table, rows)
            checksum.add(_with_hashes(table, rows))
            done += len(rows)
            progress("Copying", done, steps)
        if checksum.count != counts[table.name]:
            raise BackupError(
                f"{checksum.count} of {counts[table.name]} rows of {table.name} could be read"
            )
    await target.set_last_ids(await source.last_ids())
    for table in TABLES:
        checksum = Checksum()
        async for rows in target.stored(table):
            checksum.add(rows)
            done += len(rows)
            progress("Checking", done, steps)
        if str(checksum) != str(read[table.name]):
            raise BackupError(
                f"{table.name} was not stored as it was read: {checksum}, not {read[table.name]}"
            )
    return dict(counts)


def _with_hashes(table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    if not table.has_large_column:
        return rows
    return [(*row[:-1], hashlib.sha256(row[-1]).digest()) for row in rows]


def in_batches(table: Table, rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Return rows in lists that are bounded by their number and by the bytes of large values."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row[-1]) if table.has_large_column else 0
        if len(batch) == BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
