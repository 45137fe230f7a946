"""Pages of the console: their templates, and the headers that isolate them."""

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any

from aiohttp import web

from service.aiohttp_ext.response import Response, raw_response
from service.web.app_keys import NOW, POOLS
from service.web.console.sessions import Session
from service.web.console.words import bucket_words, date_words, distance_words, label_words
from service.web.pages.rendering import HTML, STYLES, environment, fill, style_source
from service.web.proxies import rate_limit_key
from service.web.report_responses import is_connected

_folder = resources.files("service.web.console") / "templates"
_STYLE = STYLES["style.css"] + (_folder / "console.css").read_text(encoding="utf-8")
_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"style-src {style_source(_STYLE)}",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_templates = environment("service.web.console", "service.web.pages")
_templates.filters |= {
    "date": date_words,
    "distance": distance_words,
    "bucket": bucket_words,
    "label": label_words,
}


async def show(
    request: web.Request,
    session: Session | None,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
    **values: Any,
) -> Response:
    """Return a page, rendered in a thread. Raises UnavailableError if too many calls wait.

    The thread compiles a template at its first use: all of them would add 130 ms to every start.
    """
    common = {
        "style": _STYLE,
        "home": home_of(request),
        "form_token": session.form_token if session else "",
        "is_signed_in": session is not None,
        "now": request.app[NOW](),
        "here": request.path.removeprefix("/console/").partition("/")[0],
    }
    caller = f"user {session.owner.user_id}" if session else rate_limit_key(request)
    body = await request.app[POOLS].console.run(
        _render,
        template,
        common | values,
        caller=caller,
        is_wanted=is_connected(request),
    )
    return raw_response(body, status=status, content_type=HTML, headers=_HEADERS | dict(headers))


def _render(template: str, values: Mapping[str, Any]) -> bytes:
    return fill(_templates.get_template(template), values)


def home_of(request: web.Request) -> str:
    """Return the relative address of ``/console/``: a proxy may add a path before it."""
    depth = request.rel_url.raw_path.count("/") - 1
    return "../" * (depth - 1) if depth else "console/"


def redirect(
    request: web.Request, to: str, headers: Mapping[str, str] = MappingProxyType({})
) -> Response:
    """Return the redirect to a page of the console, named as below ``/console/``."""
    return raw_response(
        b"",
        status=303,
        content_type=HTML,
        headers=_HEADERS | {"Location": home_of(request) + to} | dict(headers),
    )
