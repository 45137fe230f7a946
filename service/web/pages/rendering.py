"""HTML pages: the templates, and the headers that isolate a page.

A page loads nothing: its style is inline and allowed by its hash, and there are no scripts.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any

import jinja2
from aiohttp import web

from service.aiohttp_ext.response import Response, raw_response
from service.domain.piece_writer import PieceWriter
from service.web.app_keys import CONFIG

HTML = "text/html; charset=utf-8"

_PIECES = 2_000  # of a template that are joined at once, some 100 KiB
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\f\r"))

_folder = resources.files("service.web.pages") / "templates"
_SPACE = re.compile(r"\s*([{};,]|\n)\s*")


def environment(*packages: str) -> jinja2.Environment:
    """Return the templates of packages; those of the first one hide others of the same name.

    Their files are read now, so that no request opens one.
    """
    sources = {
        file.name: file.read_text(encoding="utf-8")
        for package in reversed(packages)
        for file in (resources.files(package) / "templates").iterdir()
        if file.name.endswith(".html")
    }
    return jinja2.Environment(
        loader=jinja2.DictLoader(sources),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style_source(style: str) -> str:
    """Return the source by which a Content-Security-Policy allows an inline style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


def _style(name: str) -> str:
    """A style sheet without the blanks that only its readers need: it is on every page."""
    style = (_folder / name).read_text(encoding="utf-8")
    return _SPACE.sub(lambda mark: mark[1].strip(), style)


STYLES = {name: _style(name) for name in ("style.css", "docs.css")}
_sources = " ".join(map(style_source, STYLES.values()))
_templates = environment("service.web.pages")


def load() -> None:
    """Compile the small templates at the start: their pages are rendered on the event loop.

    The others are compiled by the first thread that renders them, and take it up to 35 ms.
    """
    for template in ("gone.html", "index.html", "open.html"):
        _templates.get_template(template)


def render(template: str, *, style: str = "style.css", **values: Any) -> bytes:
    """Render ``template`` with an inline ``style``. Every value is escaped."""
    return fill(_templates.get_template(template), values | {"style": STYLES[style]})


def fill(template: jinja2.Template, values: Mapping[str, Any]) -> bytes:
    """Render a template with these values.

    Control characters are left out: HTML allows none of them, not even as a reference.
    """
    stream = template.stream(values)
    stream.enable_buffering(_PIECES)
    page = PieceWriter()
    for text in stream:
        page.write(text.encode().translate(None, _CONTROLS))
    return page.getvalue()


def page_response(
    request: web.Request,
    body: bytes,
    *,
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """The response that shows a rendered page, not compressed yet."""
    policy = (
        "default-src 'none'",
        f"style-src {_sources}",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        f"frame-ancestors {request.app[CONFIG].frame_ancestors}",
    )
    headers = {"Content-Security-Policy": "; ".join(policy), **headers}
    return raw_response(body, status=status, content_type=HTML, headers=headers)
