"""The command line, and the only reader of the environment.

Commands other than ``serve`` work on the database itself, with or without a service running on it.
"""

import faulthandler
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, TextIO, cast

import click
import structlog

from service import __version__
from service.cli.common import errors_printed
from service.cli.events import events
from service.cli.keys import keys
from service.cli.link_statistics import link_statistics
from service.cli.links import links
from service.cli.maintenance import (
    back_up,
    check,
    copy,
    healthcheck,
    import_files,
    migrate,
    purge,
    sweep,
)
from service.cli.manual import completion, man
from service.cli.webhooks import webhooks
from service.config import Config, deprecation_warning
from service.server.systemd import Supervisor
from service.telemetry import logs
from service.telemetry.log_sink import BackgroundLogSink, LogSink
from service.telemetry.tracing import open_tracing

_LOG_FLUSH_TIMEOUT = 1.0  # seconds
_STANDARD_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))

log = structlog.get_logger()


class _Commands(click.Group):
    """A group whose errors are printed in one way."""

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        with errors_printed():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - what a command returns
        with errors_printed():
            return super().invoke(ctx)


def main() -> None:
    """Run the command line and exit."""
    _open_standard_streams()
    cli(prog_name="shared-reports")


def _open_standard_streams() -> None:
    """Open /dev/null for standard streams that are closed.

    Otherwise the next file to be opened, such as the database, would get the descriptor of
    standard error, and other libraries would write to it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < len(_STANDARD_STREAMS):
        pass
    os.close(descriptor)
    for number, (name, mode) in enumerate(_STANDARD_STREAMS):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - a descriptor that stays open


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="shared-reports")
@click.pass_context
def cli(context: click.Context) -> None:
    """Public links to video analysis results.

    Environment variables that begin with SHARED_REPORTS_ configure it; `shared-reports man` lists
    them with their units and defaults.
    """
    config = Config.from_env(os.environ)
    logs.configure(config.log_format, config.log_level, LogSink(sys.stderr))
    if warning := deprecation_warning(os.environ):
        log.warning("renamed settings", detail=warning)
    context.obj = config


@cli.command()
@click.option("--demo", is_flag=True, help="On an empty database, make something to click on.")
@click.pass_obj
def serve(config: Config, *, demo: bool) -> None:
    """Serve until SIGTERM or SIGINT."""
    # The other commands need no application, whose modules take 0.2 s to import.
    from service.cli.demo import demonstrate  # noqa: PLC0415 - see above
    from service.server.run import run  # noqa: PLC0415 - see above

    faulthandler.enable()  # a crash below Python prints the names of functions only
    supervisor = Supervisor.from_env(os.environ, os.getpid())
    with _background_logs(config) as sink:
        run(config, supervisor, demonstrate if demo else None, sink, open_tracing(os.environ))


@contextmanager
def _background_logs(config: Config) -> Iterator[LogSink]:
    """Write all logs from a thread of their own, so that a reader that stalls stops nothing.

    At the end the lines that wait are written. If standard error does not take them in time, it
    is replaced by /dev/null, so that nothing that is printed at exit can block.
    """
    stream = sys.stderr
    sink = BackgroundLogSink(stream)
    logs.configure(config.log_format, config.log_level, sink)
    try:
        with redirect_stderr(cast("TextIO", sink)):
            yield sink
    finally:
        if not sink.close(_LOG_FLUSH_TIMEOUT):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        logs.configure(config.log_format, config.log_level, LogSink(stream))


for command in (
    links,
    events,
    keys,
    webhooks,
    import_files,
    sweep,
    purge,
    back_up,
    copy,
    check,
    migrate,
    healthcheck,
    completion,
    man,
):
    cli.add_command(command)
links.add_command(link_statistics)
