"""Logs: one line an event on standard error, JSON for machines or colours for people.

A share hash is the whole secret of a link, and an API key is one by name. One mask removes both
from every line, including exceptions and the records of other libraries.
"""

import logging
import re
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.telemetry.log_sink import LogSink
from service.telemetry.printable import printable

_SECRETS = re.compile(
    r"(?P<key>lvz_live_[0-9a-f]{6})[0-9a-f]+|(?P<path>/(?:shared-reports|r)/)[A-Za-z0-9%]{16,192}"
)


def mask(text: str) -> str:
    """``text`` without the share hashes and API keys in it."""
    return _SECRETS.sub(lambda match: f"{match['key'] or match['path']}…", text)


def describe(error: BaseException) -> str:
    """An error in words for the operator; they hold no value of a statement's."""
    if error.__cause__ is not None:
        return describe(error.__cause__)
    name = getattr(error, "sqlite_errorname", None)
    return f"{error} ({name})" if name else str(error)


def is_json(log_format: str, sink: LogSink) -> bool:
    """Whether Config's ``log_format`` means JSON for this sink."""
    return log_format == "json" or (log_format == "auto" and not sink.isatty())


def configure(log_format: str, level: str, sink: LogSink) -> None:
    """Send all logs, the standard library's too, to ``sink``; formats as Config has them."""
    stream = cast("TextIO", sink)  # has what the loggers call of one
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Other formatters of tracebacks show local variables, and so secrets.
        structlog.processors.format_exc_info,
        _in_order,
    ]
    render: list[Processor] = (
        [structlog.processors.JSONRenderer()]  # escapes all that is not ASCII
        if is_json(log_format, sink)
        else [
            _make_printable,
            structlog.dev.ConsoleRenderer(
                colors=sink.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
    final: list[Processor] = [*render, _mask]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
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


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = {key: event.pop(key) for key in ("timestamp", "level", "event")}
    return first | dict(event)


def _make_printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make texts safe for a terminal; a traceback keeps its line breaks."""
    return {
        key: "\n".join(map(printable, str(value).split("\n")))
        if key == "exception"
        else printable(value)
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def _mask(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    return mask(str(line))
