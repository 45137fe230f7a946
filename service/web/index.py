"""The service's own address: what it is, and where its parts are."""

from typing import Annotated

import msgspec
from aiohttp import hdrs, web
from msgspec import Meta

from service import __version__
from service.aiohttp_ext.response import Response, json_response, raw_response
from service.domain.errors import MalformedError
from service.web.app_keys import CONFIG
from service.web.content_negotiation import prefers_html
from service.web.pages.rendering import HTML, page_response, render
from service.web.proxies import base_url
from service.web.routing import RouteTable

table = RouteTable("Documentation")

_VARY = {"Vary": hdrs.ACCEPT}


class Index(msgspec.Struct, frozen=True):
    """What this service is, and the addresses of its parts."""

    name: Annotated[str, Meta(description="The name of the service.")]
    version: Annotated[str, Meta(description="The version of the service.")]
    documentation: Annotated[str, Meta(description="The API's reference for people.")]
    openapi: Annotated[str, Meta(description="The API's description, an OpenAPI document.")]
    health: Annotated[str, Meta(description="Whether the service can do its work.")]
    shared_reports: Annotated[str, Meta(description="The links of the caller; needs an API key.")]
    videos: Annotated[str, Meta(description="The videos of the caller; needs an API key.")]
    events: Annotated[str, Meta(description="The events of the caller; needs an API key.")]
    webhooks: Annotated[str, Meta(description="The webhooks of the caller; needs an API key.")]
    api_keys: Annotated[str, Meta(description="The API keys of the caller; needs one of them.")]


@table.public(
    "GET",
    "/",
    operation="getIndex",
    returns=Index,
    has_page=True,
    redirects="A browser, whose `Accept` prefers HTML, is sent to the console, if that is on.",
    problems=(MalformedError,),
)
async def index(request: web.Request) -> Response:
    """Get the addresses of the service's parts.

    A browser, whose `Accept` prefers HTML, is sent to the owners' console if it is switched on, and
    gets a page with links to the parts otherwise.
    """
    base = base_url(request)
    is_for_people = prefers_html(request.headers.get(hdrs.ACCEPT, ""))
    if is_for_people and request.app[CONFIG].console == "on":
        headers = _VARY | {"Location": f"{base}/console"}
        return raw_response(b"", status=302, content_type=HTML, headers=headers)
    value = Index(
        name="Shared Reports",
        version=__version__,
        documentation=f"{base}/docs",
        openapi=f"{base}/openapi.json",
        health=f"{base}/readyz",
        shared_reports=f"{base}/api/shared-reports",
        videos=f"{base}/api/videos",
        events=f"{base}/api/events",
        webhooks=f"{base}/api/webhooks",
        api_keys=f"{base}/api/keys",
    )
    if is_for_people:
        return page_response(request, render("index.html", index=value), headers=_VARY)
    return json_response(value, headers=_VARY)
