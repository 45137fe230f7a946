"""HTML pages: the templates, and the headers that isolate a page.

A page loads nothing: its style is inline and allowed by its hash, and there are no scripts.
"""

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any

import jinja2
from aiohttp import hdrs, web

from service.aiohttp_ext.response import Response, raw_response
from service.web.app_keys import CONFIG

HTML = "text/html; charset=utf-8"
_GZIP = "gzip"
_ACCEPTS_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0)", re.IGNORECASE)
_GZIP_LEVEL = 6  # a tenth of the size; higher levels take longer and gain 1 to 2 %

_folder = resources.files("service.web.pages") / "templates"
_styles = {name: (_folder / name).read_text(encoding="utf-8") for name in ("style.css", "docs.css")}
_hashes = " ".join(
    f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
    for style in _styles.values()
)
_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("service.web.pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


def load() -> None:
    """Compile all templates at the start, so that no request opens a file."""
    for template in _templates.list_templates(extensions=["html"]):
        _templates.get_template(template)


def render(template: str, *, style: str = "style.css", **values: Any) -> bytes:
    """Render ``template`` with an inline ``style``. Every value is escaped."""
    return _templates.get_template(template).render(values, style=_styles[style]).encode()


def content_encoding(request: web.Request) -> str:
    """Return the encoding in which a page is sent: ``gzip`` if the client accepts it."""
    accepted = request.headers.get(hdrs.ACCEPT_ENCODING, "")
    return _GZIP if _ACCEPTS_GZIP.search(accepted) else "identity"


def page_response(
    request: web.Request,
    body: bytes,
    *,
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """The response that shows a rendered page, in the request's ``content_encoding``.

    Compression takes 10 ms a MiB: large pages are for a thread.
    """
    policy = (
        "default-src 'none'",
        f"style-src {_hashes}",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        f"frame-ancestors {request.app[CONFIG].frame_ancestors}",
    )
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "Vary": hdrs.ACCEPT_ENCODING,
        **headers,
    }
    if content_encoding(request) == _GZIP:
        headers["Content-Encoding"] = _GZIP
        body = gzip.compress(body, _GZIP_LEVEL)
    return raw_response(body, status=status, content_type=HTML, headers=headers)
