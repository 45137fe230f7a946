"""Sessions of the console: the cookies, and the tokens of forms.

A session is a row of the database under the digest of a random token, which only the browser's
cookie holds. So it ends where it is to end, at sign-out or with its key, for all instances of the
service, and it outlives a restart. A signed cookie would need a stored list of what has ended.
"""

import hmac
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from service.domain.errors import UnauthorizedError
from service.domain.types import Owner
from service.security.credentials import new_token
from service.web.app_keys import REPOSITORIES
from service.web.proxies import base_url

_SESSION, _FORM = "shared_reports_console", "shared_reports_form"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in."""

    owner: Owner
    token: str

    @property
    def form_token(self) -> str:
        """The token that each form of this browser carries."""
        return form_token(self.token)


def form_token(secret: str) -> str:
    """Return the token of the forms of a browser whose cookie holds ``secret``.

    It shows nothing of the secret, and no other browser has the same one.
    """
    return hmac.digest(secret.encode(), b"form of the console", "sha256").hex()


async def find_session(request: web.Request) -> Session:
    """Return the request's session. Raises UnauthorizedError if it has none, or it has ended."""
    token = _cookie(request, _SESSION)
    if token is None:
        raise UnauthorizedError("Sign in first.")
    return Session(await request.app[REPOSITORIES].sessions.find(token), token)


async def start_session(request: web.Request, owner: Owner) -> str:
    """Start a session of a key; returns the ``Set-Cookie`` that brings it to the browser.

    Raises UnauthorizedError if the key does not work any more, and what ``base_url`` raises.
    """
    token = new_token()
    line = _set_cookie(request, _SESSION, token)
    await request.app[REPOSITORIES].sessions.start(owner, token)
    return line


def forget_session(request: web.Request) -> str:
    """Return the ``Set-Cookie`` that removes the session from the browser."""
    return f"{_set_cookie(request, _SESSION, '')}; Max-Age=0"


def visitor_secret(request: web.Request) -> str | None:
    """Return the secret of a browser that is not signed in, behind its form's token."""
    return _cookie(request, _FORM)


def new_visitor(request: web.Request) -> tuple[str, str]:
    """Return a new secret for such a browser, and its ``Set-Cookie``."""
    secret = new_token()
    return secret, _set_cookie(request, _FORM, secret)


def _cookie(request: web.Request, name: str) -> str | None:
    value = request.cookies.get(_full_name(request, name), "")
    return value if _TOKEN.fullmatch(value) else None


def _full_name(request: web.Request, name: str) -> str:
    """A browser takes a cookie with this prefix over https only, and of this very host only."""
    return f"__Host-{name}" if base_url(request).startswith("https:") else name


def _set_cookie(request: web.Request, name: str, value: str) -> str:
    """Return a ``Set-Cookie`` until the browser is closed; the session itself ends after 12 h."""
    base = urlsplit(base_url(request))
    scope = "Path=/; Secure" if base.scheme == "https" else f"Path={base.path}/console"
    return f"{_full_name(request, name)}={value}; {scope}; HttpOnly; SameSite=Strict"
