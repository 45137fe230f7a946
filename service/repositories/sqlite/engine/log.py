"""The write-ahead log of the service: when and how it is emptied.

A checkpoint leaves the log's content where it is until later writes overwrite it. So the service
truncates the log while nothing is written: deleted content is on disk for seconds, not until the
service ends.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import aiosqlite

from service.repositories.sqlite.engine.file import BUSY_MS

MAX_AGE = 60.0
"""Seconds after which the log is truncated although something is always being written."""


async def truncate_log(connection: aiosqlite.Connection, *, patience: int = BUSY_MS) -> bool:
    """Move the whole log into the file that it belongs to, and truncate it.

    Returns False if a connection reads from the log for longer than ``patience`` milliseconds.
    """
    await connection.execute_fetchall(f"PRAGMA busy_timeout = {patience}")
    try:
        [[is_busy, *_]] = await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        await connection.execute_fetchall(f"PRAGMA busy_timeout = {BUSY_MS}")
    return not is_busy


class LogWatch:
    """Finds out when the log of the file at ``path`` is to be truncated."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = f"{path}-wal"
        self._monotonic = monotonic
        self._seen = self._state()
        self._truncated_at = monotonic()

    def is_due(self) -> bool:
        """Return whether the log has content, and none that is new since the last call.

        Or whether it has had content for MAX_AGE.
        """
        seen, self._seen = self._seen, self._state()
        if self._seen is None:
            self._truncated_at = self._monotonic()
            return False
        return seen == self._seen or self._monotonic() - self._truncated_at >= MAX_AGE

    def _state(self) -> tuple[int, int] | None:
        """Return the log's size and time of the last write; None if it is empty or missing."""
        try:
            status = os.stat(self._path)  # noqa: PTH116 - as in file.identify
        except OSError:
            return None
        return (status.st_size, status.st_mtime_ns) if status.st_size else None
