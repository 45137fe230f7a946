"""A proxy before a PostgreSQL server that takes the request and loses the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from service.domain.postgresql_url import PostgresqlUrl

_SOCKET = ".s.PGSQL.5432"
_CHUNK = 2**16


class _Pipe:
    """One connection through the proxy."""

    def __init__(self) -> None:
        self.sent = b""
        """All that the client has sent: the text of a statement, once, and how it is called."""
        self.cuts = False
        """Whether the next answer is lost, and the connection with it."""


class CuttingProxy:
    """Passes on what client and server say, until an answer is to be lost."""

    def __init__(self, server: Path) -> None:
        self._server = server / _SOCKET
        self._pipes: list[_Pipe] = []

    def lose_next_answer(self, statement: str) -> None:
        """Lose the next answer on the connections that have run the statement of this name."""
        pipes = [pipe for pipe in self._pipes if statement.encode() in pipe.sent]
        assert pipes, f"{statement} has not run yet"
        for pipe in pipes:
            pipe.cuts = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pipe = _Pipe()
        self._pipes.append(pipe)
        from_server, to_server = await asyncio.open_unix_connection(self._server)

        async def ask() -> None:
            while data := await reader.read(_CHUNK):
                pipe.sent += data
                to_server.write(data)

        async def answer() -> None:
            while (data := await from_server.read(_CHUNK)) and not pipe.cuts:
                writer.write(data)

        tasks = [asyncio.create_task(ask()), asyncio.create_task(answer())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pipes.remove(pipe)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in (writer, to_server):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()


@asynccontextmanager
async def cutting_proxy(
    url: PostgresqlUrl, folder: Path
) -> AsyncIterator[tuple[CuttingProxy, PostgresqlUrl]]:
    """Run a proxy in ``folder`` before the server of ``url``; yields it and the address there."""
    address, _, server = url.text.partition("?host=")
    proxy = CuttingProxy(Path(server.replace("%2F", "/")))
    listener = await asyncio.start_unix_server(proxy.serve, folder / _SOCKET)
    try:
        yield proxy, PostgresqlUrl(f"{address}?host={quote(str(folder), safe='')}")
    finally:
        listener.close()
