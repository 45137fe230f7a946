"""HTML pages: the templates, and the headers that keep a page to itself.

A page loads nothing: its style is inline and allowed by its hash, and there are no scripts.
"""

import base64
import hashlib
from importlib import resources
from typing import Any

import jinja2
from aiohttp import web

from service.context import CONFIG
from service.responses import respond_bytes

HTML = "text/html; charset=utf-8"

_folder = resources.files("service") / "templates"
_styles = {name: (_folder / name).read_text(encoding="utf-8") for name in ("style.css", "docs.css")}
_hashes = " ".join(
    f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
    for style in _styles.values()
)
_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("service"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, *, style: str = "style.css", **values: Any) -> bytes:
    """``template`` in its ``style``, filled with ``values``, every one of them escaped."""
    return _templates.get_template(template).render(values, style=_styles[style]).encode()


def respond_page(request: web.Request, body: bytes, *, status: int = 200) -> web.Response:
    """The answer that shows a rendered page."""
    policy = (
        "default-src 'none'",
        f"style-src {_hashes}",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        f"frame-ancestors {request.app[CONFIG].frame_ancestors}",
    )
    headers = {"Content-Security-Policy": "; ".join(policy)}
    response = respond_bytes(body, status=status, content_type=HTML, headers=headers)
    response.enable_compression()
    return response
