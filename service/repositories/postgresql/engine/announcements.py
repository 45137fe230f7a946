"""Announcements between the instances on one database, by NOTIFY and LISTEN.

The connection for look-ups listens, so no further one is needed. An announcement is a statement of
its own, at most one a second and topic: PostgreSQL lets one transaction at a time commit that has a
NOTIFY in it, so as a part of each write it would put all writes in a line.
"""

import secrets
from collections import defaultdict
from collections.abc import Callable

import asyncpg

from service.repositories.base import Topic
from service.repositories.postgresql.engine.statements import Connection, read

_CHANNEL = "shared_reports"

ANNOUNCE = read(f"-- announce\nSELECT pg_notify('{_CHANNEL}', :payload)")


class Announcements:
    """What this instance says to the others, and hears from them."""

    def __init__(self) -> None:
        self._sender = secrets.token_hex(8)
        self._callbacks: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)

    def on_announced(self, topic: Topic, callback: Callable[[], None]) -> None:
        """Call ``callback`` on each announcement of another instance."""
        self._callbacks[topic].append(callback)

    def payload(self, topic: Topic) -> str:
        """Return the parameter of ``ANNOUNCE``."""
        return f"{self._sender} {topic}"

    async def listen(self, connection: Connection) -> None:
        """Listen on a connection that was opened just now. What was said before may be lost.

        A standby lets nobody listen, and an instance there does not sweep.
        """
        try:
            await connection.add_listener(_CHANNEL, self._receive)
        except asyncpg.ReadOnlySQLTransactionError:
            return
        for callbacks in self._callbacks.values():
            for callback in callbacks:
                callback()

    def _receive(
        self, _connection: object, _process_id: int, _channel: str, payload: object
    ) -> None:
        sender, _, topic = str(payload).partition(" ")
        if sender != self._sender:
            for callback in self._callbacks.get(topic, ()):
                callback()
