"""Responses whose body is produced while it is sent."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from http import HTTPStatus

from aiohttp import HttpVersion10, hdrs, web

from service.aiohttp_ext.response import Response

_LENGTH = b"Content-Length: 0\r\n"  # as Response has it for an empty body
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


class StreamingResponse(Response):
    """A response whose body comes in parts, each sent before the next is asked for.

    The connection is closed without the last chunk if a part cannot be produced, so no client takes
    the body for a whole one. A client of HTTP/1.0, which has no chunks, sees a reset connection.
    """

    __slots__ = ("parts",)

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        content_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(b"", HTTPStatus.OK, content_type, headers or {})
        self.parts = parts

    async def stream(self, request: web.BaseRequest) -> None:
        """Send the whole response; wait where the client is slower than the parts.

        Call this once, before the request's handler returns. Raises what the parts raise, and
        ConnectionError if the client has gone.
        """
        is_chunked = request.version != HttpVersion10
        if not is_chunked:
            self.force_close()
        head = self._head(request).replace(_LENGTH, _CHUNKED if is_chunked else b"", 1)
        writer = request.writer
        if request.method == hdrs.METH_HEAD:
            await writer.write_eof(head)
            return
        try:
            await writer.write(head)
            async for part in self.parts:
                await writer.write(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
            await writer.write_eof(b"0\r\n\r\n" if is_chunked else b"")
        except BaseException:
            self.force_close()
            if request.transport is not None:
                request.transport.abort()
            raise

    def prepare(self, request: web.BaseRequest) -> Awaitable[None]:  # noqa: ARG002 - aiohttp's
        """Do nothing: ``stream`` has sent all."""
        return self.write_eof()
