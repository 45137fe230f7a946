"""API keys: a user manages their own."""

from aiohttp import web

from service.aiohttp_ext.response import Response, json_response
from service.domain.api_keys import KEY_NAME_MAX, ApiKey, ApiKeyChange, CreatedApiKey, NewApiKey
from service.domain.errors import ConflictError, NotFoundError
from service.domain.normal_form import bounded_nfc
from service.domain.types import Done, Owner
from service.web.app_keys import REPOSITORIES
from service.web.request_body import read_json
from service.web.routing import RouteTable

table = RouteTable("API keys")


@table.owned("GET", "/api/keys", operation="listApiKeys", returns=list[ApiKey])
async def list_all(request: web.Request, owner: Owner) -> Response:
    """List the API keys, newest first.

    Inactive ones are included. The keys themselves are not shown, only their first characters.
    """
    return json_response(await request.app[REPOSITORIES].api_keys.list_all(owner.user_id))


@table.owned(
    "POST",
    "/api/keys",
    operation="createApiKey",
    creates=True,
    body=NewApiKey,
    returns=CreatedApiKey,
    status=201,
    problems=(ConflictError,),
)
async def create(request: web.Request, owner: Owner) -> Response:
    """Create an API key. The answer is the only place where it is shown.

    The new key acts for the same user as the key that creates it.
    """
    new = await read_json(request, NewApiKey)
    name = bounded_nfc("name", new.name, KEY_NAME_MAX)
    return json_response(
        await request.app[REPOSITORIES].api_keys.create(owner.user_id, name), status=201
    )


@table.owned(
    "PATCH",
    "/api/keys/{key_id}",
    operation="changeApiKey",
    body=ApiKeyChange,
    returns=ApiKey,
    problems=(NotFoundError,),
)
async def change(request: web.Request, owner: Owner) -> Response:
    """Switch an API key on or off, from the next request on.

    A key that is off is rejected as an unknown one.
    """
    wanted = await read_json(request, ApiKeyChange)
    key = await request.app[REPOSITORIES].api_keys.set_active(
        owner.user_id, request.match_info["key_id"], is_active=wanted.is_active
    )
    return json_response(key)


@table.owned(
    "DELETE",
    "/api/keys/{key_id}",
    operation="deleteApiKey",
    returns=Done,
    problems=(NotFoundError,),
)
async def delete(request: web.Request, owner: Owner) -> Response:
    """Delete an API key.

    It is rejected from the next request on.
    """
    await request.app[REPOSITORIES].api_keys.delete(owner.user_id, request.match_info["key_id"])
    return json_response(Done())
