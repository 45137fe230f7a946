"""Unlocking a link over HTTP: the request's token or password, and the cookie of the response."""

import asyncio
from urllib.parse import urlsplit

from aiohttp import web

from service.domain.access import AccessGrant
from service.domain.errors import PasswordRequiredError
from service.web.app_keys import ACCESS, PASSWORD_LIMITER, PASSWORDS, VIEWS
from service.web.proxies import base_url, rate_limit_key

HEADER = "X-Share-Token"
_COOKIE = "share_token"


def token_of(request: web.Request) -> str | None:
    """Return the access token of a request: a program's header, or a browser's cookie."""
    return request.headers.get(HEADER) or request.cookies.get(_COOKIE)


async def unlock_link(
    request: web.Request, password: str | None, key: str | None, *, is_page: bool
) -> AccessGrant:
    """Unlock the request's link, once for all calls with the same key: see ``unlock_once``.

    Raises what ``_unlock`` raises.
    """
    if key is None:
        return await _unlock(request, password, is_page=is_page)
    share_hash = request.match_info["share_hash"]
    return await request.app[ACCESS].unlock_once(
        share_hash, key, password or "", lambda: _unlock(request, password, is_page=is_page)
    )


async def _unlock(request: web.Request, password: str | None, *, is_page: bool) -> AccessGrant:
    """Unlock the request's link: one view of it, on disk when this returns.

    The limit of wrong passwords is taken before a password is checked, so that a rejected one costs
    no hashing, and given back unless it was wrong. Raises what ``AccessService.requirements`` and
    ``AccessService.unlock`` raise, PasswordRequiredError, LimitedError and UnavailableError.
    """
    access = request.app[ACCESS]
    requirements = await access.requirements(request.match_info["share_hash"])
    if requirements.password is not None:
        if not password:
            raise PasswordRequiredError("This link asks for a password.")
        caller, passwords = rate_limit_key(request), request.app[PASSWORDS]
        limiter, key = request.app[PASSWORD_LIMITER], (caller, requirements.id)
        limiter.acquire(key)
        is_wrong = False
        try:
            is_wrong = not await passwords.is_right(password, requirements.password, caller=caller)
        except asyncio.CancelledError:
            is_wrong = True  # or a client that hangs up could have any number hashed
            raise
        finally:
            if not is_wrong:
                limiter.refund(key)
        if is_wrong:
            request.app[VIEWS].count(requirements.id, "failed_password")
            raise PasswordRequiredError("This is not the link's password.", is_wrong=True)
    return await access.unlock(requirements, is_page=is_page)


def cookie(request: web.Request, grant: AccessGrant) -> str:
    """Return the ``Set-Cookie`` of a grant, for the page of the request's link alone.

    It is a session cookie: on a shared computer it ends with the browser, and the token after 15
    minutes.

    Raises what ``base_url`` raises.
    """
    base = urlsplit(base_url(request))
    path = f"{base.path}/r/{request.match_info['share_hash']}"
    secure = "; Secure" if base.scheme == "https" else ""
    return f"{_COOKIE}={grant.token}; Path={path}; HttpOnly; SameSite=Lax{secure}"
