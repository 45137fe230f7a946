"""Authentication by API key, and the limit on guesses."""

from aiohttp import hdrs, web

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
    return await app[REPOSITORIES].api_keys.owner_of(raw_key)


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
