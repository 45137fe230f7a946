"""Events: a user asks for them and reads them."""

import re
from collections.abc import Mapping

from aiohttp import web

from service.aiohttp_ext.response import Response, json_response, raw_response
from service.domain.errors import InvalidError, MalformedError
from service.domain.events import (
    EVENT_TYPES,
    POSITION_PATTERN,
    EventList,
    EventRange,
    EventSettings,
    EventType,
)
from service.domain.paging import encode_rows
from service.domain.types import Owner
from service.web.app_keys import REPOSITORIES
from service.web.paging import link_to_next, requested_limit
from service.web.proxies import base_url
from service.web.request_body import read_json
from service.web.routing import RouteTable

table = RouteTable("Events")

_JSON = {False: b"false", True: b"true"}


@table.owned(
    "GET",
    "/api/events",
    operation="listEvents",
    query=("after", "type", "limit"),
    returns=EventList,
    headers=("Link-Next",),
    problems=(InvalidError, MalformedError),
)
async def list_events(request: web.Request, owner: Owner) -> Response:
    """List the events of your links and videos, oldest first.

    `next` is the position behind them: kept, and sent as `after`, it leads to the events that come
    later, also if the ones before it are deleted by then. Events are written once they are
    switched on, and kept for some days.
    """
    wanted = requested_range(request.query)
    events = request.app[REPOSITORIES].events
    enabled = await events.is_enabled(owner.user_id)
    page = await events.list_after(owner.user_id, wanted)
    base = base_url(request)
    link = link_to_next(request, base, after=str(page.next)) if page.has_more else {}
    body = b'{"events":[%b],"next":"%d","has_more":%b,"enabled":%b}' % (
        b",".join(await encode_rows(page.events)),
        page.next,
        _JSON[page.has_more],
        _JSON[enabled],
    )
    return raw_response(body, headers=link)


@table.owned(
    "PUT",
    "/api/events",
    operation="setEvents",
    body=EventSettings,
    returns=EventSettings,
)
async def set_events(request: web.Request, owner: Owner) -> Response:
    """Switch your events on or off.

    What happens after the answer is told, or is not. Stored events stay until they are old.
    """
    settings = await read_json(request, EventSettings)
    await request.app[REPOSITORIES].events.set_enabled(owner.user_id, is_enabled=settings.enabled)
    return json_response(settings)


def requested_range(query: Mapping[str, str]) -> EventRange:
    """Return the events that a query asks for. Raises InvalidError."""
    return EventRange(
        after=_position(query.get("after", "0")),
        limit=requested_limit(query),
        type=_type(query.get("type")),
    )


def _position(text: str) -> int:
    if not re.fullmatch(POSITION_PATTERN, text):
        raise InvalidError("`after` is not a position of this list: take it from `next`.")
    return int(text)


def _type(text: str | None) -> EventType | None:
    for event_type in EVENT_TYPES:
        if event_type == text:
            return event_type
    if text is not None:
        raise InvalidError(f"`type` is one of {', '.join(EVENT_TYPES)}.")
    return None
