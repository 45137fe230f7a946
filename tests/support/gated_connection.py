"""A connection that can be held, and statements for a worker on it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiosqlite

from service.repositories.sqlite.engine.batch import Batch, BatchStatement


class Connection:
    """A real connection that counts its tasks and can be held at the gate."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self.tasks: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    @property
    def in_transaction(self) -> bool:
        return self.connection.in_transaction

    async def close(self) -> None:
        await self.connection.close()

    async def execute_fetchall(self, sql: str, parameters: Any) -> Any:
        self.tasks.append(parameters)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await self.connection.execute_fetchall(sql, parameters)


def rows(items: Sequence[str]) -> list[tuple[str]]:
    return [(item,) for item in items]


DOUBLE = Batch(
    BatchStatement(
        "double", "item", ("key",), "SELECT key, key || key FROM item WHERE key <> 'none'"
    ),
    rows,
)
INSERT = Batch(
    BatchStatement(
        "insert",
        "item",
        ("key",),
        "INSERT INTO t SELECT key FROM item WHERE TRUE ON CONFLICT DO NOTHING RETURNING key",
    ),
    rows,
)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
