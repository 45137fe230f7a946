"""Helpers of the tests of events."""

from typing import Any

from service.web.app_keys import REPOSITORIES, VIEWS
from support.harness import Caller, Service

EVENTS = "/api/events"


async def enable(caller: Caller) -> None:
    """Ask for a caller's events."""
    answer = await caller.put(EVENTS, {"enabled": True})
    assert (answer.status, answer.json) == (200, {"enabled": True})


async def events_of(caller: Caller, **query: str) -> list[Any]:
    """A caller's events, at most 200."""
    answer = await caller.get(EVENTS, params={"limit": "200"} | query)
    assert answer.status == 200, answer.body
    events: list[Any] = answer.json["events"]
    return events


async def types_of(caller: Caller) -> list[str]:
    """The types of a caller's events, without their first part."""
    return [event["type"].partition(".")[2] for event in await events_of(caller)]


async def tell_views(service: Service) -> None:
    """Store all views, and tell of those whose minute is over."""
    await service.app[VIEWS].write()
    while await service.app[REPOSITORIES].events.tell_views(100):
        pass


def without_hash(report: Any) -> Any:
    """A link as an event shows it."""
    return {name: value for name, value in report.items() if name != "share_hash"}
