"""Bytes sent as they are."""

import asyncio

from support.harness import Service


async def raw(service: Service, request: bytes) -> bytes:
    """Send bytes as they are: a client library would mend the paths."""
    server = service.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
