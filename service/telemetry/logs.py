"""Logs: one line an event on standard error, JSON for machines or colours for people.

A share hash is the whole secret of a link and a key is one by name, so whatever is written,
exceptions and other libraries' records included, passes one mask on its way out. A request's own
line is put together from parts that can't hold either.
"""

import logging
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_SECRETS = re.compile(
    r"(?P<key>lvz_live_[0-9a-f]{6})[0-9a-f]+|(?P<path>/(?:shared-reports|r)/)[A-Za-z0-9%]{16,192}"
)


def mask(text: str) -> str:
    """``text`` without the share hashes and API keys in it."""
    return _SECRETS.sub(lambda found: f"{found['key'] or found['path']}…", text)


def describe(error: BaseException) -> str:
    """A fault in words for the operator; they hold no value of a statement's."""
    if error.__cause__ is not None:
        return describe(error.__cause__)
    name = getattr(error, "sqlite_errorname", None)
    return f"{error} ({name})" if name else str(error)


def as_json(log_format: str, stream: TextIO) -> bool:
    """Whether Config's ``log_format`` means JSON on this stream."""
    return log_format == "json" or (log_format == "auto" and not stream.isatty())


def configure(log_format: str, level: str, stream: TextIO = sys.stderr) -> None:
    """Send all logs, the standard library's too, to ``stream``; formats as Config has them."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _in_order,
    ]
    render: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json(log_format, stream)
        # The other formatters of tracebacks show local variables, and so secrets.
        else [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    final: list[Processor] = [*render, _mask]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Sink(stream))),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.getLevelName(level.upper()), logging.WARNING))


class _Sink:
    """A stream that may be unable to take anything, on a full disk as likely as not.

    What it can't take is dropped: no work is left undone because nobody can be told of it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = {key: event.pop(key) for key in ("timestamp", "level", "event")}
    return first | dict(event)


def _mask(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    return mask(str(line))


RequestRecord = tuple[float, str, str, int, float, str, str, str | None]
"""A request: when it was answered, method, route, status, seconds, client, its id and its trace."""


class RequestLog:
    """One line a request: by structlog for people, all at once for machines.

    A view takes 25 µs: too few for a chain of processors beside it.
    """

    def __init__(self, log_format: str, level: str, stream: TextIO) -> None:
        self._log = structlog.get_logger()
        self._stream = _Sink(stream)
        self._wanted = level in {"debug", "info"}
        self._as_json = as_json(log_format, stream)

    def write(self, notes: Iterable[RequestRecord]) -> None:
        """Log requests. No text of theirs may need escaping or masking: nothing looks at it."""
        if not self._wanted:
            return
        if self._as_json:
            self._stream.write("".join(_lines(notes)))
            self._stream.flush()
            return
        for _, method, route, status, seconds, client, request_id, trace_id in notes:
            self._log.info(
                "request",
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                client=client,
                request_id=request_id,
                **{"trace_id": trace_id} if trace_id else {},
            )


def _lines(notes: Iterable[RequestRecord]) -> Iterator[str]:
    last, timestamp = -1, ""
    for moment, method, route, status, seconds, client, request_id, trace_id in notes:
        if (millisecond := int(moment * 1000)) != last:
            last, timestamp = millisecond, _timestamp(millisecond)
        trace = f', "trace_id": "{trace_id}"' if trace_id else ""
        yield (
            f'{{"timestamp": "{timestamp}", {_what(method, route, status)}, '
            f'"ms": {seconds * 1000:.2f}, "client": "{client}", '
            f'"request_id": "{request_id}"{trace}}}\n'
        )


@lru_cache(maxsize=1024)
def _what(method: str, route: str, status: int) -> str:
    return (
        f'"level": "info", "event": "request", "method": "{method}", "route": "{route}", '
        f'"status": {status}'
    )


def _timestamp(millisecond: int) -> str:
    second, rest = divmod(millisecond, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{rest:03}Z"
