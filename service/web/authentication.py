"""Authentication by API key, and the limit on guesses."""

from aiohttp import hdrs, web

from service.aiohttp_ext.request_handler import RequestHandler
from service.domain.errors import (
    LimitedError,
    ServiceError,
    UnauthorizedError,
)
from service.domain.types import Owner
from service.security import credentials
from service.web.app_keys import LOOKUP_LIMITER, REPOSITORIES
from service.web.proxies import rate_limit_key


async def authenticate(request: web.Request, app: web.Application) -> Owner:
    """Return the owner whose API key the request has. Raises UnauthorizedError."""
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is None:
        raise UnauthorizedError("This call needs an API key in the Authorization header.")
    raw_key = credentials.parse_authorization(authorization)
    if raw_key is None:
        raise UnauthorizedError("An API key is lvz_live_ and 64 hex digits.")
    owner = await app[REPOSITORIES].api_keys.owner_of(raw_key)
    if isinstance(request.protocol, RequestHandler):
        request.protocol.known_key = authorization, owner.user_id
    return owner


def caller_of(request: web.Request) -> str:
    """Return whose request this is, before it is authenticated: a user or a client's address.

    The user is known if an earlier request of the connection had the same valid key. An invalid
    key, of which anyone has many, makes no caller of its own.
    """
    known = getattr(request.protocol, "known_key", None)
    if known is not None and known[0] == request.headers.get(hdrs.AUTHORIZATION):
        return f"user {known[1]}"
    return rate_limit_key(request)


def apply_guess_limit(request: web.Request, error: ServiceError) -> ServiceError:
    """Return ``error``, or LimitedError if the client has guessed too often.

    Only an unknown share hash or key counts as a guess. So a client with a valid one is never
    limited, even if it shares its address with one that guesses.
    """
    if error.guessed:
        try:
            request.app[LOOKUP_LIMITER].acquire(rate_limit_key(request))
        except LimitedError as limited:
            return limited
    return error
