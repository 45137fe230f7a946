"""The API described: for programs as an OpenAPI document, for people as a page."""

from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web

from service.context import OPENAPI
from service.pages import HTML, render, respond_page
from service.proxies import base_url
from service.reference import reference
from service.responses import respond_bytes
from service.routing import RouteTable

table = RouteTable()


@table.public("GET", "/openapi.json", operation="getApiDescription", returns=dict[str, Any])
async def openapi(request: web.Request) -> web.Response:
    """Get this API's description, an OpenAPI 3.1 document."""
    return respond_bytes(request.app[OPENAPI])


@table.public("GET", "/docs", operation="getApiReference", content_type=HTML, returns=str)
async def docs(request: web.Request) -> web.Response:
    """Read this page: the API's description for people."""
    return respond_page(request, _page(request.app[OPENAPI], base_url(request)))


# It takes some milliseconds, in which no other request is answered; a service has few addresses,
# and whoever makes more of them up shall not fill the memory.
@lru_cache(maxsize=8)
def _page(openapi: bytes, base: str) -> bytes:
    shown = reference(msgspec.json.decode(openapi), base)
    return render("docs.html", style="docs.css", base=base, reference=shown)
