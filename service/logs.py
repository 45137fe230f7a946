"""Logs: one line an event on standard error, JSON for machines or colours for people.

A share hash is the whole secret of a link and a key is one by name, so whatever is written,
exceptions and other libraries' records included, passes one mask on its way out.
"""

import logging
import re
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_SECRETS = re.compile(
    r"(?P<key>lvz_live_[0-9a-f]{6})[0-9a-f]+|(?P<path>/(?:shared-reports|r)/)[A-Za-z0-9]{16,64}"
)


def mask(text: str) -> str:
    """``text`` without the share hashes and API keys in it."""
    return _SECRETS.sub(lambda found: f"{found['key'] or found['path']}…", text)


def configure(log_format: str, level: str, stream: TextIO = sys.stderr) -> None:
    """Send all logs, the standard library's too, to ``stream``; formats as Config has them."""
    as_json = log_format == "json" or (log_format == "auto" and not stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
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


def _mask(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    return mask(str(line))
