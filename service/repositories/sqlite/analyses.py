"""Analyses of more than PART_BYTES: the tables ``analyses`` and ``analysis_parts``.

To store or to delete 32 MiB in one statement keeps all other writes waiting for 80 to 540 ms. So a
large analysis is written in parts, each a short transaction, before its video refers to it. The
statement that stores the video makes it current. Parts never change and no id is used twice, so a
reader gets one analysis whole, or finds that some of its parts are deleted. An analysis that no
video refers to is deleted in batches.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from service.domain.clock import Now
from service.domain.errors import UnavailableError
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.engine.statements import Row

PART_BYTES = 2**18
"""Of an analysis: what one statement writes, in about 0.5 ms of CPU."""

_PARTS_AT_ONCE = 4
"""Parts that one statement reads or deletes, in about 2 ms of CPU."""

ROWS_A_PART = 25
"""What a deleted part counts for: four of them are a batch of the smallest size, 100 rows."""

READ_TRIES = 3
"""Reads of a video whose analysis is replaced and deleted meanwhile, before a caller gets a 503."""

_ANALYSES_AT_ONCE = 100
"""Rows of ``analyses`` that one batch of a deletion looks at."""

_WRITE_TIME = "+15 minutes"
"""After that time an unfinished analysis is deleted. Each of 128 parts waits for 5 s at most."""

ANALYSIS_COLUMNS = """CAST(videos.segments AS BLOB), videos.analysis_id,
           (SELECT count(*) FROM analysis_parts WHERE analysis_id = videos.analysis_id)"""
"""The parameters of ``Analyses.read``."""

IS_WRITTEN = """(:analysis_id IS NULL OR :part_count = (
           SELECT count(*) FROM analysis_parts WHERE analysis_id = :analysis_id))"""
"""Whether every part that ``Analyses.written`` has written is there."""

# A random id, not the next number: the file may be replaced by a copy between two parts.
_BEGIN = f"""-- begin an analysis
    INSERT INTO analyses (id, delete_after)
    VALUES (:id, strftime('%Y-%m-%dT%H:%M:%S', :now, '{_WRITE_TIME}'))"""

_ADD_PART = """-- add a part of an analysis
    INSERT INTO analysis_parts (analysis_id, number, data)
    SELECT id, :number, :data FROM analyses WHERE id = :id AND delete_after <> ''"""

_DISCARD = """-- discard an analysis
    UPDATE analyses SET delete_after = '' WHERE id = :id AND delete_after IS NOT NULL"""

_READ_PARTS = """-- read parts of an analysis
    SELECT data FROM analysis_parts
     WHERE analysis_id = :id AND number >= :first AND number < :first + :count ORDER BY number"""

_HAS_UNUSED = """-- look for unused analyses
    SELECT 1 FROM analyses WHERE delete_after <= :now LIMIT 1"""

_NEXT_UNUSED = """(SELECT id FROM analyses WHERE delete_after <= :now
                    ORDER BY delete_after LIMIT :analyses)"""

_DELETE_PARTS = f"""-- delete parts of unused analyses
    DELETE FROM analysis_parts WHERE rowid IN (
           SELECT part.rowid FROM {_NEXT_UNUSED} AS unused
             CROSS JOIN analysis_parts AS part ON part.analysis_id = unused.id
            LIMIT :limit)"""

_DELETE_UNUSED = f"""-- delete unused analyses
    DELETE FROM analyses WHERE id IN (
           SELECT id FROM {_NEXT_UNUSED} AS unused
            WHERE NOT EXISTS (SELECT 1 FROM analysis_parts WHERE analysis_id = unused.id))"""


class Analyses:
    """Writes, reads and deletes analyses by statements of a few milliseconds each."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._writer = database.writer
        self._now = now

    @asynccontextmanager
    async def written(self, user_id: str, segments: bytes) -> AsyncIterator[dict[str, object]]:
        """Write an analysis, for a statement within the context that makes it a video's.

        Yields that statement's parameters ``segments``, ``analysis_id`` and ``part_count``. If no
        video has the analysis when the context ends, it is deleted. Raises UnavailableError.
        """
        if len(segments) <= PART_BYTES:
            yield {"segments": segments, "analysis_id": None, "part_count": 0}
            return
        analysis_id = secrets.randbits(62)
        try:
            count = await self._write(user_id, analysis_id, memoryview(segments))
            yield {"segments": b"[]", "analysis_id": analysis_id, "part_count": count}
        except BaseException:  # the caller may be cancelled, so nothing is awaited
            with suppress(UnavailableError):
                discarded = self._writer.execute(_DISCARD, caller=user_id, id=analysis_id)
                discarded.add_done_callback(lambda future: future.cancelled() or future.exception())
            raise

    async def _write(self, user_id: str, analysis_id: int, segments: memoryview) -> int:
        """Write the parts of an analysis one after the other. Return how many."""
        await self._writer.execute(_BEGIN, caller=user_id, id=analysis_id, now=self._now)
        starts = range(0, len(segments), PART_BYTES)
        for number, start in enumerate(starts):
            data = segments[start : start + PART_BYTES]
            if not await self._writer.execute(
                _ADD_PART, caller=user_id, id=analysis_id, number=number, data=data
            ):
                raise UnavailableError("The analysis could not be stored. Try again.")
        return len(starts)

    async def read(self, segments: bytes, analysis_id: int | None, part_count: int) -> bytes | None:
        """Return the analysis of a row of ANALYSIS_COLUMNS.

        None if the video has another one by now, and parts of this one are deleted.
        """
        if analysis_id is None:
            return segments
        rows: list[Row] = []
        for first in range(0, part_count, _PARTS_AT_ONCE):
            rows += await self._read_worker.fetch_all(
                _READ_PARTS, id=analysis_id, first=first, count=_PARTS_AT_ONCE
            )
        if len(rows) < part_count or not rows:
            return None
        # In a thread, without the interpreter lock: 32 MiB take 10 ms.
        return await asyncio.to_thread(b"".join, [data for (data,) in rows])

    async def delete_unused(self, limit: int) -> int:
        """Delete parts of analyses that no video has, few of them at once.

        Return how many, each part counted as ROWS_A_PART; 0 if none is left.
        """
        now = self._now()
        if not self._reader.fetch_all(_HAS_UNUSED, now=now):
            return 0
        parts = max(1, min(limit // ROWS_A_PART, _PARTS_AT_ONCE))
        count = await self._writer.execute(
            _DELETE_PARTS, now=now, limit=parts, analyses=_ANALYSES_AT_ONCE
        )
        if count == parts:
            return count * ROWS_A_PART
        return count * ROWS_A_PART + await self._writer.execute(
            _DELETE_UNUSED, now=now, analyses=_ANALYSES_AT_ONCE
        )
