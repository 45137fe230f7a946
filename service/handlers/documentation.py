"""The API described: for programs as an OpenAPI document, for people as a page."""

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
    base = base_url(request)
    shown = reference(msgspec.json.decode(request.app[OPENAPI]), base)
    body = render("docs.html", style="docs.css", base=base, reference=shown)
    return respond_page(request, body)
