"""Opening a link: what a request brings for it, and what it gets."""

import asyncio
from urllib.parse import urlsplit

from aiohttp import web

from service.domain.access import AccessGrant
from service.domain.errors import PasswordRequiredError
from service.security.access_tokens import SECONDS
from service.web.app_keys import ACCESS, PASSWORD_LIMITER, PASSWORDS
from service.web.proxies import base_url, rate_limit_key

HEADER = "X-Share-Token"
_COOKIE = "share_token"


def token_of(request: web.Request) -> str | None:
    """The token that a program brings in a header, or a browser in its cookie for the link."""
    return request.headers.get(HEADER) or request.cookies.get(_COOKIE)


async def open_link(request: web.Request, password: str | None) -> AccessGrant:
    """Open the request's link: a view of it, on disk when this returns.

    A guess is counted before it is looked at, so that those that are too many cost nothing, and
    forgotten unless it was wrong. Raises what Openings.requirements and Openings.open do,
    PasswordRequiredError, LimitedError, and UnavailableError.
    """
    access = request.app[ACCESS]
    requirements = await access.requirements(request.match_info["share_hash"])
    if requirements.password is not None:
        if not password:
            raise PasswordRequiredError("This link asks for a password.")
        caller, passwords = rate_limit_key(request), request.app[PASSWORDS]
        guesses, who = request.app[PASSWORD_LIMITER], (caller, requirements.id)
        guesses.acquire(who)
        is_wrong = False
        try:
            is_wrong = not await passwords.is_right(password, requirements.password, caller=caller)
        except asyncio.CancelledError:
            is_wrong = True  # or a client that hangs up could have any number hashed
            raise
        finally:
            if not is_wrong:
                guesses.refund(who)
        if is_wrong:
            raise PasswordRequiredError("This is not the link's password.", is_wrong=True)
    return await access.unlock(requirements)


def cookie(request: web.Request, opened: AccessGrant) -> str:
    """The ``Set-Cookie`` that lets a browser see the request's link again, and nothing else.

    Raises what base_url does.
    """
    base = urlsplit(base_url(request))
    path = f"{base.path}/r/{request.match_info['share_hash']}"
    secure = "; Secure" if base.scheme == "https" else ""
    return (
        f"{_COOKIE}={opened.token}; Path={path}; Max-Age={SECONDS}; HttpOnly; SameSite=Lax{secure}"
    )
