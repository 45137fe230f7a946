"""The log lines of a database's faults, each at most every 10 s."""

import math
import time

import structlog

_LOG_INTERVAL = 10.0  # seconds between two lines of one error, which may meet thousands of calls

log = structlog.get_logger()


class FaultLog:
    """Logs the faults of all connections to one database."""

    def __init__(self) -> None:
        self._logged_at: dict[str, float] = {}
        self.write_failed = False
        """Whether a write has failed, and no write was tried since to see whether one succeeds."""

    def record_fault(self, text: str, connection: str, statement: str) -> None:
        """Log an environmental error, each text at most every 10 s."""
        self.write_failed |= connection == "writer"
        if self._is_due(text):
            log.error("database fault", error=text, connection=connection, statement=statement)

    def record_late(self, connection: str, statement: str) -> None:
        """Log that a statement waited too long for its turn, at most every 10 s a connection.

        That is no fault of the database: more is asked for than the connection can do.
        """
        if self._is_due(f"late {connection}"):
            log.warning("database queue too long", connection=connection, statement=statement)

    def _is_due(self, text: str) -> bool:
        now = time.monotonic()
        if now - self._logged_at.get(text, -math.inf) < _LOG_INTERVAL:
            return False
        self._logged_at[text] = now
        return True
