"""API keys: a list, a new one, switching off, deleting."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from service.aiohttp_ext.response import Response
from service.domain.api_keys import KEY_NAME_MAX, ApiKey, NewApiKey
from service.domain.errors import ConflictError, InvalidError, NotFoundError
from service.domain.normal_form import bounded_nfc
from service.domain.paging import Page
from service.web.app_keys import REPOSITORIES
from service.web.console.forms import Form
from service.web.console.lists import list_view
from service.web.console.rendering import redirect, show
from service.web.console.routing import ConsoleTable
from service.web.console.sessions import Session
from service.web.console.settings import GENERAL, FormError, decode_settings, errors_of

table = ConsoleTable()

_OWN_KEY = (
    "You are signed in with this key: you will be signed out, and so will its other sessions."
)


@table.page("/console/keys")
async def list_keys(request: web.Request, session: Session) -> Response:
    """List the API keys, and show the form that creates one."""
    return await _keys_page(request, session)


async def _keys_page(
    request: web.Request, session: Session, *, status: int = 200, **values: Any
) -> Response:
    async def fetch(page: Page, _query: Mapping[str, str]) -> tuple[list[ApiKey], Page | None]:
        keys = await request.app[REPOSITORIES].api_keys.list_all(session.owner.user_id)
        rows = [key for key in keys if int(key.id) < page.before][: page.rows]
        shown = rows[: page.limit]
        following = Page(page.limit, int(shown[-1].id)) if len(rows) > page.limit else None
        return shown, following

    shown = {"name": "", "message": "", "raw_key": "", **values}
    return await show(
        request,
        session,
        "keys.html",
        status=status,
        list=await list_view(request, fetch, ()),
        own=str(session.owner.key_id),
        name_length=KEY_NAME_MAX,
        done=request.query.get("done"),
        **shown,
    )


@table.action("/console/keys", creates=True)
async def create_key(request: web.Request, session: Session, form: Form) -> Response:
    """Create a key. The answer is the only page that shows it."""
    try:
        new = decode_settings({"name": form.text("name").strip()}, NewApiKey)
        name = bounded_nfc("name", new.name, KEY_NAME_MAX)
        keys = request.app[REPOSITORIES].api_keys
        created = await keys.create(session.owner.user_id, name)
    except (FormError, InvalidError, ConflictError) as error:
        if isinstance(error, ConflictError):
            errors = {GENERAL: error.detail}
        else:
            errors = error.errors if isinstance(error, FormError) else errors_of(error)
        status = 409 if isinstance(error, ConflictError) else 422
        [message] = errors.values()
        return await _keys_page(
            request, session, status=status, name=form.text("name"), message=message
        )
    return await _keys_page(request, session, status=201, raw_key=created.raw_key)


@table.action("/console/keys/{key_id}/switch")
async def switch_key(request: web.Request, session: Session, form: Form) -> Response:
    """Switch a key off or on, from the next request on."""
    key = await _key(request, session)
    is_active = form.text("is_active") == "on"
    await request.app[REPOSITORIES].api_keys.set_active(
        session.owner.user_id, key.id, is_active=is_active
    )
    return redirect(request, f"keys?done=switched-{'on' if is_active else 'off'}")


@table.page("/console/keys/{key_id}/switch")
async def ask_to_switch_off(request: web.Request, session: Session) -> Response:
    """Ask once before a key is switched off."""
    return await _ask(
        request,
        session,
        "Switch this key off?",
        "Programs that use it are rejected from now on, until you switch it on again.",
        "Switch the key off",
    )


@table.page("/console/keys/{key_id}/delete")
async def ask_to_delete(request: web.Request, session: Session) -> Response:
    """Ask once before a key is deleted."""
    return await _ask(
        request,
        session,
        "Delete this key?",
        "Programs that use it are rejected from now on. It cannot be brought back.",
        "Delete the key",
    )


@table.action("/console/keys/{key_id}/delete")
async def delete_key(request: web.Request, session: Session, _form: Form) -> Response:
    """Delete a key."""
    key = await _key(request, session)
    await request.app[REPOSITORIES].api_keys.delete(session.owner.user_id, key.id)
    return redirect(request, "keys?done=deleted")


async def _ask(
    request: web.Request, session: Session, title: str, consequence: str, button: str
) -> Response:
    key = await _key(request, session)
    is_own = key.id == str(session.owner.key_id)
    return await show(
        request,
        session,
        "confirm.html",
        title=title,
        subject=f"{key.name} ({key.key_prefix})",
        consequences=(consequence, _OWN_KEY) if is_own else (consequence,),
        button=button,
        back="../../keys",
    )


async def _key(request: web.Request, session: Session) -> ApiKey:
    """Return the key that the path names. Raises NotFoundError."""
    keys = await request.app[REPOSITORIES].api_keys.list_all(session.owner.user_id)
    for key in keys:
        if key.id == request.match_info["key_id"]:
            return key
    raise NotFoundError("There is no such API key.")
