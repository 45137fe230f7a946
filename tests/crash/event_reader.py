"""The caller of a storm that reads events."""

import asyncio
from typing import Any

from aiohttp import ClientConnectorError
from callers import Storm, to_seconds
from calls import Event, Reading, WholeList

_PATH = "/api/events?limit=200&after={}"


class EventReader:
    """Reads the events of a storm as they come, and keeps its position whatever happens."""

    def __init__(self, storm: Storm) -> None:
        self._storm = storm
        self._position = "0"

    async def follow(self) -> None:
        """Read events until the storm is over."""
        while not self._storm.over:
            try:
                if not await self._read_page():
                    await asyncio.sleep(0.02)
            except ClientConnectorError:
                await asyncio.sleep(0.005)  # nobody listens; nothing was sent

    async def read_the_rest(self) -> tuple[Event, ...]:
        """Read the events that are left, and then those up to here from the beginning."""
        while await self._read_page():
            pass
        events: list[Event] = []
        position, has_more = "0", True
        while has_more:
            times, status, answer = await self._storm.send("GET", _PATH.format(position))
            assert status == 200, status
            events += map(_event, answer["events"])
            position, has_more = answer["next"], answer["has_more"]
        last = int(self._position)  # links expire meanwhile
        known = tuple(event for event in events if event.id <= last)
        self._storm.calls.append(WholeList(**times, status=status, events=known))
        return known

    async def _read_page(self) -> bool:
        """Read the next page of events; returns whether it has any."""
        times, status, answer = await self._storm.send("GET", _PATH.format(self._position))
        events: tuple[Event, ...] = ()
        if status == 200:
            self._position = answer["next"]
            events = tuple(map(_event, answer["events"]))
        self._storm.calls.append(Reading(**times, status=status, events=events))
        return bool(events)


def _event(answer: dict[str, Any]) -> Event:
    data = answer["data"]
    return Event(int(answer["id"]), answer["type"], data, to_seconds(data.get("expires_at")))
