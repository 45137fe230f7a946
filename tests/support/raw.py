"""Bytes sent as they are."""

import asyncio
from typing import Any

from structlog.testing import capture_logs

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


async def exchange(service: Service, request: bytes) -> tuple[bytes, list[Any]]:
    """Send bytes as they are; returns the answer and what was logged as a warning or worse."""
    with capture_logs() as logs:
        answer = await raw(service, request)
    return answer, [event for event in logs if event["log_level"] not in {"debug", "info"}]
