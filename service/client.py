"""A client of the API for internal callers: over TCP, or over the service's Unix socket.

A call is repeated only where a second one cannot do harm, see ``SharedReports``. docs/client.md has
examples.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from service.domain.access import AccessGrant, UnlockRequest
from service.domain.links import NewSharedReport, PublicReport, SharedReport, SharedReportChange

T = TypeVar("T")

_UNIX = "unix:"
_FIRST_PAUSE = 0.1  # seconds, at most; each further one is at most twice as long
_REPORTS = "/api/shared-reports"
_SUCCESS = range(200, 300)
_NOT_FOUND = 404
_UNAVAILABLE = 503


class ProblemError(Exception):
    """The service has rejected a call, with a problem document (RFC 9457)."""

    def __init__(self, type_: str, status: int, detail: str, expired_at: str | None = None) -> None:
        super().__init__(f"{detail} ({status}, {type_})")
        self.type = type_
        """Such as ``urn:shared-reports:problem:expired``; docs/api.md lists them."""
        self.code = type_.rpartition(":")[2]
        """The last part of the type, such as ``expired``."""
        self.status = status
        self.detail = detail
        self.expired_at = expired_at
        """When the link expired, of ``expired`` only."""


class UnreachableError(Exception):
    """The service was not reached, or its answer was lost."""

    def __init__(self, detail: str, *, nothing_sent: bool = False) -> None:
        super().__init__(detail)
        self.nothing_sent = nothing_sent
        """Whether no connection could be opened; if one was, the call may have been done."""


class _Problem(msgspec.Struct):
    type: str
    status: int
    detail: str = ""
    expired_at: str | None = None


class SharedReports:
    """The API at an address: ``http://HOST:PORT``, or ``unix:PATH`` for a Unix socket.

    At most ``attempts`` calls are made for one. A call is repeated if no connection could be
    opened. ``create``, ``unlock``, ``list`` and ``revoke`` are repeated as well after a
    503 or a lost answer: they read, or carry an idempotency key, or find their work done. ``view``
    is so with a token only: without one it may have taken one of a link's last views. ``change`` is
    not: a second one could undo what somebody else has changed meanwhile.

    A call takes at most ``timeout`` seconds each time, and raises ProblemError or UnreachableError.
    """

    def __init__(
        self,
        address: str,
        api_key: str = "",
        *,
        attempts: int = 4,
        timeout: float = 30.0,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        path = address.removeprefix(_UNIX) if address.startswith(_UNIX) else None
        self._base = "http://localhost" if path is not None else address.rstrip("/")
        self._attempts = attempts
        self._pause = pause
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector() if path is None else aiohttp.UnixConnector(path),
            headers={"Authorization": api_key} if api_key else None,
            timeout=aiohttp.ClientTimeout(total=timeout),
            middlewares=(_send_visibly,),
        )

    async def __aenter__(self) -> Self:
        """Return the client, which the context closes."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def create(
        self, report: NewSharedReport, *, idempotency_key: str | None = None
    ) -> SharedReport:
        """Create a link.

        With a key of the caller's that it has stored, a create may be repeated after a crash of the
        caller as well, for 24 hours.
        """
        given = {name: value for name, value in _fields(report).items() if value is not None}
        key = idempotency_key or str(uuid.uuid4())
        call = _Call("POST", _REPORTS, given, {"Idempotency-Key": key}, repeats=True)
        return await self._read(call, SharedReport)

    async def view(self, share_hash: str, token: str = "") -> PublicReport:
        """View a link's report as the public does, with the token of ``unlock`` if it is protected.

        Without one, a link whose views are limited loses a view.
        """
        headers = {"X-Share-Token": token} if token else {}
        call = _Call("GET", _path(share_hash), headers=headers, repeats=bool(token))
        return await self._read(call, PublicReport)

    async def unlock(self, share_hash: str, password: str | None = None) -> AccessGrant:
        """Unlock a protected link, which takes a view; the token is valid for 15 minutes."""
        body = _fields(UnlockRequest(password=password))
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        call = _Call("POST", f"{_path(share_hash)}/unlock", body, headers, repeats=True)
        return await self._read(call, AccessGrant)

    async def list(self, *, limit: int = 200, **filters: str) -> AsyncIterator[SharedReport]:
        """Yield the caller's links, newest first, in pages of ``limit``.

        The filters are those of the API: ``status``, ``video_id``, ``label``, ``expires_before``.
        """
        query = filters | {"limit": str(limit)}
        while query:
            body, query = await self._send(_Call("GET", _REPORTS, query=query, repeats=True))
            for report in msgspec.json.decode(body, type=list[SharedReport]):
                yield report

    async def change(self, report_id: str, change: SharedReportChange) -> SharedReport:
        """Change a link; fields of ``change`` that are not given stay as they are."""
        return await self._read(_Call("PATCH", _path(report_id), _fields(change)), SharedReport)

    async def revoke(self, report_id: str) -> None:
        """Delete a link. It is dead when this returns."""
        await self._send(_Call("DELETE", _path(report_id), repeats=True))

    async def _read(self, call: "_Call", kind: type[T]) -> T:
        body, _ = await self._send(call)
        return msgspec.json.decode(body, type=kind)

    async def _send(self, call: "_Call") -> tuple[bytes, dict[str, str]]:
        """Return the body and the query of the next page, and repeat the call where it may be."""
        may_be_done = False  # by an attempt whose answer was lost
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._send_once(call)
            except UnreachableError as error:
                failure: Exception = error
                if not (call.repeats or error.nothing_sent):
                    raise
                may_be_done |= not error.nothing_sent
            except ProblemError as error:
                failure = error
                if call.method == "DELETE" and error.status == _NOT_FOUND and may_be_done:
                    return b"", {}
                if not (call.repeats and error.status == _UNAVAILABLE):
                    raise
                may_be_done = True
            if attempt < self._attempts:
                await self._pause(random.uniform(0, _FIRST_PAUSE * 2**attempt))  # noqa: S311 - no secret
        raise failure

    async def _send_once(self, call: "_Call") -> tuple[bytes, dict[str, str]]:
        try:
            async with self._session.request(
                call.method,
                f"{self._base}{call.path}",
                params=call.query,
                json=call.body,
                headers=call.headers,
                allow_redirects=False,
            ) as response:
                body = await response.read()
                following = response.links.get("next")
        except aiohttp.ClientConnectorError as error:
            raise UnreachableError(f"{self._base}: {error}", nothing_sent=True) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnreachableError(f"{self._base}: {error!r}") from error
        if response.status not in _SUCCESS:
            raise _problem(response.status, body)
        return body, dict(URL(following["url"]).query) if following else {}


class _Call(msgspec.Struct, frozen=True):
    method: str
    path: str
    body: dict[str, Any] | None = None
    headers: dict[str, str] | None = None
    query: dict[str, str] | None = None
    repeats: bool = False
    """Whether a second call does no harm if the first one may have been carried out."""


async def _send_visibly(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once: aiohttp itself repeats a GET or DELETE whose connection is lost."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise UnreachableError(f"The answer was lost: {error!r}") from error


def _fields(value: msgspec.Struct) -> dict[str, Any]:
    """Return the fields that are given: UNSET stands for one that is not."""
    fields: dict[str, Any] = msgspec.to_builtins(value)
    return fields


def _path(name: str) -> str:
    """Return the path of a link, by its id or its share hash."""
    return f"{_REPORTS}/{quote(name, '')}"


def _problem(status: int, body: bytes) -> ProblemError:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:  # something between answered, such as a proxy
        return ProblemError("about:blank", status, "The answer is no problem document.")
    return ProblemError(problem.type, problem.status, problem.detail, problem.expired_at)
