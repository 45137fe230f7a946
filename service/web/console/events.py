"""Events: what has happened to the links and videos, and whether it is written down."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from service.aiohttp_ext.response import Response
from service.domain.errors import InvalidError
from service.domain.events import EVENT_TYPES, Event, EventPage
from service.domain.videos import Video
from service.web.api.events import requested_range
from service.web.app_keys import CONFIG, REPOSITORIES
from service.web.console.forms import Form
from service.web.console.rendering import redirect, show
from service.web.console.routing import ConsoleTable
from service.web.console.sessions import Session
from service.web.console.settings import Errors, errors_of

table = ConsoleTable()

_COUNTS = {"new_views": "views", "new_bot_views": "bot views", "new_unlocks": "unlocks"}


@table.page("/console/events")
async def list_events(request: web.Request, session: Session) -> Response:
    """List the events, oldest first, from a position on."""
    repositories, user_id = request.app[REPOSITORIES], session.owner.user_id
    query = {name: text for name, text in request.query.items() if text}
    errors: Errors = {}
    page = EventPage((), 0, has_more=False)
    try:
        page = await repositories.events.list_after(user_id, requested_range(query))
    except InvalidError as error:
        errors = errors_of(error)
    kept: dict[str, str] = {name: query[name] for name in ("type", "limit") if name in query}
    following = request.rel_url.with_query(kept | {"after": str(page.next)})
    return await show(
        request,
        session,
        "events.html",
        rows=[event_row(event) for event in page.events],
        following=f"?{following.raw_query_string}" if page.has_more else "",
        first=f"?{request.rel_url.with_query(kept).raw_query_string}" if "after" in query else "",
        enabled=await repositories.events.is_enabled(user_id),
        query=query,
        types=EVENT_TYPES,
        errors=errors,
        kept_days=request.app[CONFIG].event_days,
        done=request.query.get("done"),
    )


def event_row(event: Event) -> Mapping[str, Any]:
    """Return an event as a list shows it."""
    data = event.data
    if isinstance(data, Video):
        return {"event": event, "name": data.name, "path": f"videos/{data.id}", "counts": ""}
    counts = ", ".join(
        f"{count} {words}"
        for name, words in _COUNTS.items()
        if isinstance(count := getattr(data, name), int)
    )
    name = data.label or f"Link {data.id}"
    return {"event": event, "name": name, "path": f"links/{data.id}", "counts": counts}


@table.action("/console/events")
async def switch_events(request: web.Request, session: Session, form: Form) -> Response:
    """Switch events on or off."""
    enabled = form.text("enabled") == "on"
    events = request.app[REPOSITORIES].events
    await events.set_enabled(session.owner.user_id, is_enabled=enabled)
    return redirect(request, f"events?done=switched-{'on' if enabled else 'off'}")
