"""The commands ``completion`` and ``man``: what a shell and a reader need, made from the parser."""

import re
from collections.abc import Iterator
from dataclasses import fields

import click
from click.shell_completion import get_completion_class

from service import __version__
from service.cli.output import echo
from service.config import Config, variable

_PROGRAM = "shared-reports"
_COMPLETE = "_SHARED_REPORTS_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion for SHELL, to be sourced or installed where it looks for such files.

    For bash: shared-reports completion bash > /etc/bash_completion.d/shared-reports
    """
    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    script = maker(context.find_root().command, {}, _PROGRAM, _COMPLETE)
    for line in (script.source_template % script.source_vars()).strip().split("\n"):
        echo(line)


@click.command()
@click.pass_context
def man(context: click.Context) -> None:
    """Print the manual page, as `man -l` and `mandoc` read it."""
    for line in manual_page(context.find_root().command).rstrip("\n").split("\n"):
        echo(line)


def manual_page(command: click.Command) -> str:
    """Return the manual page in the format of man(7)."""
    return "\n".join(_lines(command)) + "\n"


def _lines(command: click.Command) -> Iterator[str]:
    yield f'.TH {_PROGRAM.upper()} 1 "" "{_PROGRAM} {__version__}" "User commands"'
    yield from (".SH NAME", f"{_PROGRAM} \\- {_text((command.help or '').partition('.')[0])}")
    yield from (".SH SYNOPSIS", f".B {_PROGRAM}", ".I COMMAND", "[\\fIOPTION\\fR]...")
    yield from (".SH DESCRIPTION", *_paragraphs(command.help or ""))
    yield ".SH COMMANDS"
    yield from _commands(command, click.Context(command, info_name=_PROGRAM))
    yield ".SH ENVIRONMENT"
    yield "Settings are environment variables, read once at the start."
    for setting in fields(Config):
        default = "" if setting.default is None else f" Default: {setting.default}."
        meaning = setting.metadata["meaning"].replace("`", "")
        yield from (".TP", f".B {variable(setting)}", _text(meaning + default))
    yield ".SH EXIT STATUS"
    yield "0 on success, 1 for an error that an operator can mend, 2 for wrong arguments."


def _commands(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield a section for each command below ``command``, by its full name."""
    for name in sorted(getattr(command, "commands", {})):
        child = command.commands[name]  # type: ignore[attr-defined] # a group, as it has some
        own = click.Context(child, info_name=name, parent=context)
        if isinstance(child, click.Group):
            yield from _commands(child, own)
            continue
        usage = " ".join(child.collect_usage_pieces(own))
        yield f".SS {_text(f'{own.command_path} {usage}'.removeprefix(f'{_PROGRAM} '))}"
        yield from _paragraphs(child.help or "")
        for parameter in child.params:
            record = parameter.get_help_record(own)
            if record is not None and record[1]:
                yield from (".TP", f".B {_text(record[0])}", _text(record[1]))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        yield _text(paragraph)


def _text(text: str) -> str:
    """Return a text on one line, without what roff would take for its own."""
    line = re.sub(r"\s+", " ", text).strip().replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line
