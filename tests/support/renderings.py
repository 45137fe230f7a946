"""Rendered responses of a link, and a gate that holds them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.concurrency.bounded_pool import Place
from support.harness import Response, Service
from support.link_changes import OLD, analysis
from support.links import ROUTES

RENDERED = ROUTES[1:]
"""The routes whose responses are rendered: segments, page, downloads, QR code."""
PAGE, CSV, QR = "/r/{}", "/r/{}/analysis.csv", "/r/{}/qr.svg"
EXPIRY = "2025-01-15T11:00:00"


async def link_of_old_analysis(service: Service) -> Any:
    await service.alice.put_video(segments=analysis(OLD))
    return await service.alice.share(expires_at=EXPIRY)


class Gate:
    """Holds all renderings when they are finished, before anyone gets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = asyncio.Event()
        self.opened.set()
        self.finished = asyncio.Semaphore(0)
        run_in_thread = Place.run

        async def run(place: Place, *call: Any) -> Any:
            result = await run_in_thread(place, *call)
            if place._pool.name in {"rendering", "downloads"} and not self.opened.is_set():
                self.finished.release()
                await self.opened.wait()
            return result

        monkeypatch.setattr(Place, "run", run)


async def gate_of_renderings(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gate]:
    assert service.client.server.started
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


def open_all(service: Service, share_hash: str, routes: list[str]) -> list[asyncio.Task[Response]]:
    return [asyncio.create_task(service.public.get(route.format(share_hash))) for route in routes]
