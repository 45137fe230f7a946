"""The client of webhooks: one POST to an address that someone else has chosen.

The address is hostile input. ``_Connector`` checks the address that is connected to, after the name
was resolved, in the function that makes the socket: no later answer of a name server, no spelling
of an address and no redirect can lead past it. The certificate is verified by the URL's host name.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientOSError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
    TraceConfig,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

IsAllowed = Callable[[str], bool]
"""Whether a connection may go to an IP address."""

_ANSWER_MAX = 2**16  # bytes of an answer that are read, so that its connection can be used again
_HEADER_MAX = 8190  # bytes
_IDLE_SECONDS = 3.0  # that a connection stays open without a request
_REFUSED = "an address that webhooks may not call"


class Reply(NamedTuple):
    """What became of a request."""

    status: int | None = None
    """The status of the answer; None if there was none."""
    retry_after: str | None = None
    """The answer's ``Retry-After``."""
    error: str | None = None
    """Why there was no answer, in words that are safe to show: nothing that the receiver sent."""


class WebhookClient:
    """Sends requests to https URLs at addresses that ``is_allowed`` accepts.

    http URLs may only lead to addresses that ``is_named`` accepts.
    """

    def __init__(
        self,
        is_allowed: IsAllowed,
        is_named: IsAllowed,
        user_agent: str,
        timeout: float,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """``timeout``: seconds for all of a request, from the look-up of the name on."""
        self._timeout = timeout
        self._resolver = resolver or _ThreadResolver()
        headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._sessions = {
            "https": self._session(is_allowed, headers),
            "http": self._session(is_named, headers),
        }

    def _session(self, accepts: IsAllowed, headers: dict[str, str]) -> ClientSession:
        return ClientSession(
            connector=_connector(accepts, self._resolver),
            headers=headers,
            timeout=ClientTimeout(total=None),
            auto_decompress=False,  # 64 KiB may be a gigabyte
            cookie_jar=DummyCookieJar(),
            max_line_size=_HEADER_MAX,
            max_field_size=_HEADER_MAX,
            trace_configs=[_reuse_trace()],
        )

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Send ``body`` as JSON. Every failure is a Reply, too; only cancellation is raised."""
        try:
            target = URL(url, encoded=True)
            if target.scheme not in self._sessions or target.raw_user or target.raw_password:
                return Reply(error="The URL is not one that may be called.")
            async with asyncio.timeout(self._timeout):
                return await self._post(target, body, headers)
        except TimeoutError:
            return Reply(error=f"No answer within {self._timeout:g} s.")
        except (ClientError, OSError, ValueError) as error:
            return Reply(error=_reason(error))

    async def _post(self, url: URL, body: bytes, headers: dict[str, str]) -> Reply:
        """Send the request; once more if it was sent on a connection that had been closed."""
        used_before: list[bool] = []
        try:
            return await self._post_once(url, body, headers, used_before)
        except (ServerDisconnectedError, ClientOSError):
            if not used_before:
                raise
        return await self._post_once(url, body, headers, [])

    async def _post_once(
        self, url: URL, body: bytes, headers: dict[str, str], used_before: list[bool]
    ) -> Reply:
        async with self._sessions[url.scheme].post(
            url,
            data=body,
            headers={"Content-Type": "application/json"} | headers,
            allow_redirects=False,
            trace_request_ctx=used_before,
        ) as response:
            reply = Reply(response.status, response.headers.get("Retry-After"))
            with suppress(ClientError, OSError):  # the status is known, and it is what counts
                size = 0
                async for chunk in response.content.iter_any():
                    size += len(chunk)
                    if size > _ANSWER_MAX:
                        response.close()
                        break
            return reply

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        await self._resolver.close()


def _reuse_trace() -> TraceConfig:
    """Return what notes in the context of a request that its connection was used before."""

    async def note(_session: object, context: Any, _parameters: object) -> None:  # noqa: ANN401 - a namespace of aiohttp
        context.trace_request_ctx.append(True)

    trace = TraceConfig()
    trace.on_connection_reuseconn.append(note)
    return trace


def _connector(accepts: IsAllowed, resolver: AbstractResolver) -> TCPConnector:
    def make_socket(address: Any) -> socket.socket:  # noqa: ANN401 - a tuple of getaddrinfo
        family, kind, protocol, _, destination = address
        if not accepts(str(destination[0])):
            raise OSError(_REFUSED)
        return socket.socket(family, kind, protocol)

    return TCPConnector(
        resolver=resolver,
        socket_factory=make_socket,
        limit=0,  # the dispatcher has the bound
        keepalive_timeout=_IDLE_SECONDS,
        use_dns_cache=False,  # connections are kept; a new one goes where the name leads now
    )


def _reason(error: Exception) -> str:
    """Return why a request failed. The texts of the errors may hold what the receiver sent."""
    cause = error.os_error if isinstance(error, ClientConnectorError) else error
    if _REFUSED in str(cause):
        return "The host's address is not public, or not one that may be called."
    return next(text for cls, text in _REASONS if isinstance(error, cls) or isinstance(cause, cls))


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ClientConnectorCertificateError, "The certificate is not valid for this host."),
    (ClientConnectorSSLError, "No TLS connection could be made."),
    (socket.gaierror, "The host name could not be resolved."),
    (ConnectionRefusedError, "The connection was refused."),
    (ServerDisconnectedError, "The connection was closed without an answer."),
    (ConnectionError, "The connection was closed without an answer."),
    (ClientConnectorError, "No connection could be made."),
    (ClientError, "The answer was not valid HTTP."),
    (Exception, "The request could not be made."),
)


class _ThreadResolver(AbstractResolver):
    """Resolves each name in a thread of its own.

    A name server that never answers holds a thread for minutes. In the pool of the event loop
    it would keep other work waiting, and the process from exiting.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()

        def finish(result: list[Any] | OSError) -> None:
            if future.done():
                return
            if isinstance(result, OSError):
                future.set_exception(result)
            else:
                future.set_result(result)

        def look_up() -> None:
            result: list[Any] | OSError
            try:
                result = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
            except OSError as error:
                result = error
            except UnicodeError:  # a label that is too long
                result = socket.gaierror(socket.EAI_NONAME, "not a host name")
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish, result)

        threading.Thread(target=look_up, name="webhook name", daemon=True).start()
        return [
            ResolveResult(
                hostname=host,
                host=destination[0],
                port=destination[1],
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for family, _, protocol, _, destination in await future
        ]

    async def close(self) -> None:
        """Do nothing: threads end by themselves."""
