"""The description of the API: an OpenAPI document for programs, a page for people."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web

from service.aiohttp_ext.response import Response, raw_response
from service.domain.errors import MalformedError
from service.web.app_keys import OPENAPI, POOLS
from service.web.openapi.reference import reference
from service.web.pages.rendering import HTML, page_response, render
from service.web.proxies import base_url
from service.web.routing import RouteTable

table = RouteTable("Documentation")

_BASE = "http://the-address-of-the-request.invalid"


@table.public("GET", "/openapi.json", operation="getApiDescription", returns=dict[str, Any])
async def openapi(request: web.Request) -> Response:
    """Get this API's description, an OpenAPI 3.1 document.

    It is generated from the routes of the running service.
    """
    document = await request.app[POOLS].rendering.run(request.app[OPENAPI])
    return raw_response(document)


@table.public(
    "GET",
    "/docs",
    operation="getApiReference",
    content_type=HTML,
    returns=str,
    problems=(MalformedError,),
)
async def docs(request: web.Request) -> Response:
    """Read this page: the API's description for people.

    It says what `/openapi.json` says, with lines to paste into a shell.
    """
    base = base_url(request)
    body = await request.app[POOLS].rendering.run(_docs_page, request.app[OPENAPI], base)
    return page_response(request, body)


def _docs_page(make_document: Callable[[], bytes], base: str) -> bytes:
    """The page for a service at this address, whose characters need no escaping: see base_url."""
    return _any_docs_page(make_document()).replace(_BASE.encode(), base.encode())


@lru_cache(maxsize=4)
def _any_docs_page(document: bytes) -> bytes:
    """The page for this document, with an address that each request replaces by its own."""
    page = reference(msgspec.json.decode(document), _BASE)
    return render("docs.html", style="docs.css", base=_BASE, reference=page)
