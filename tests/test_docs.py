"""The documents are true: their tables, examples, commands, paths and links."""

import ast
import dataclasses
import json
import os
import re
import shlex
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.docs import DOCUMENTS, README, ROOT, blocks, code, document, rows, section
from support.harness import Service
from support.process import run, serving

import service as package
from service import __version__
from service.app import ROUTES
from service.cli.main import cli
from service.config import RENAMED_VARIABLES, Config, variable
from service.repositories.sqlite.link_sql import status_sql
from service.web.problems import STATUS

PACKAGE = Path(package.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
_COMMAND = re.compile(r"^\$ shared-reports ([a-z -]+?)(?= -|$| [A-Z0-9])", re.MULTILINE)
COMMANDS = sorted(set(_COMMAND.findall(section("cli", "Examples"))))
SETTINGS = {variable(setting) for setting in dataclasses.fields(Config)}

each_document = pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)


# -- times --------------------------------------------------------------------


def test_bare_date_is_explained_wherever_a_time_is_taken(tmp_path: Path) -> None:
    """A link with a bare date is dead as that day begins: nobody is to find out by a dead link."""
    texts = [README, *(section("links", "Fields"), section("api", "Lists"), document("cli"))]
    for command in ("create", "list", "stats"):
        help_text = " ".join(run("links", command, "--help", folder=tmp_path).stdout.split())
        texts += re.findall(r"[^.]*\(ISO 8601\)\..*?(?= --|$)", help_text)
    published = json.dumps(json.loads((ROOT / "docs/openapi.json").read_text()))
    texts += re.findall(r'"description": "([^"]*ISO 8601\)[^"]*)"', published)
    assert len(texts) == 4 + 5 + 10
    assert [text for text in texts if "2030-01-15" not in text or "midnight" not in text] == []


# -- configuration ------------------------------------------------------------


def test_configuration_table_lists_every_setting() -> None:
    expected = [
        (
            variable(setting),
            "-" if setting.default is None else f"`{setting.default}`",
            setting.metadata["meaning"],
        )
        for setting in dataclasses.fields(Config)
    ]
    table = re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", section("configuration", "Settings"), re.MULTILINE
    )
    assert table == [
        (name, re.sub(r"`([0-9]+)\.0`", r"`\1`", default), meaning)
        for name, default, meaning in expected
    ]


def test_configuration_table_lists_every_renamed_setting() -> None:
    table = {code(old)[0]: code(new)[0] for old, new in rows("configuration", "Renamed settings")}
    assert table == dict(RENAMED_VARIABLES)


@each_document
def test_settings_that_a_document_names_exist(file: Path) -> None:
    named = set(re.findall(r"SHARED_REPORTS_[A-Z_]*[A-Z]", file.read_text()))
    old = set(RENAMED_VARIABLES) if file.name in {"CHANGELOG.md", "configuration.md"} else set()
    assert named <= SETTINGS | old
    if file.name == "SECURITY.md":
        assert len(named) > 5


# -- the API and the commands -------------------------------------------------


def test_api_table_lists_every_route() -> None:
    table = re.findall(r"^\| `([A-Z]+) (\S+)` \| (\w*)", section("api", "Routes"), re.MULTILINE)
    assert table == [(route.method, route.path, "key" if route.owned else "") for route in ROUTES]


def test_api_table_lists_every_error() -> None:
    table = {(code(name)[0], int(status)) for status, name, _ in rows("api", "Errors")}
    domain = {(error.code, int(status)) for error, status in STATUS.items()}
    assert table == domain | {("method-not-allowed", 405), ("internal-server-error", 500)}


def test_getting_started_example_works_as_written(tmp_path: Path) -> None:
    """In a shell, except the port and the start of the service itself."""
    text = section("getting-started", "An example")
    block = text.split("```")[1].removeprefix("console\n")
    commands = re.findall(r"^\$ (.*(?:\\\n.*|\n {4,}.*)*)", block, re.MULTILINE)
    [create_key, serve, *curls] = commands
    assert serve == "shared-reports serve &"
    [revoke] = blocks("getting-started", "sh")
    key = run(*shlex.split(create_key.partition("$(shared-reports ")[2][:-1]), folder=tmp_path)
    with serving(tmp_path) as server:
        answers: list[dict[str, object]] = [{}]
        for curl in (*curls, revoke, curls[-1]):
            line = curl.replace("localhost:8080", server.url)
            line = line.replace(
                "xK9mP2qR7wLnY4vB", str(answers[min(2, len(answers) - 1)].get("share_hash"))
            )
            shell = subprocess.run(
                ["sh", "-c", line],
                env=os.environ | {"LVZ_KEY": key.stdout.strip()},
                capture_output=True,
                text=True,
                check=True,
            )
            answers.append(json.loads(shell.stdout))
    shown = json.loads(block[block.index('{"id"') : block.index("}\n$ curl") + 1])
    assert list(answers[2]) == list(shown)
    assert answers[3]["share_hash"] == answers[2]["share_hash"]
    assert answers[4] == {"ok": True}
    assert answers[5]["status"] == 404


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_cli_examples_exist(command: str, tmp_path: Path) -> None:
    result = run(*command.split(), "--help", folder=tmp_path)
    assert result.returncode == 0, result.stderr


def test_cli_examples_and_table_have_every_command() -> None:
    every = [
        f"{name} {child}".strip()
        for name, command in cli.commands.items()
        for child in (command.commands if isinstance(command, click.Group) else [""])
    ]
    table = [code(name)[0] for name, _ in rows("cli", "Commands")]
    assert sorted(table) == sorted(every)
    assert set(every) == set(COMMANDS)


def test_make_targets_that_documents_name_exist() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^  make (\S+)", listed.stdout, re.MULTILINE))
    text = "".join(file.read_text() for file in DOCUMENTS)
    assert set(re.findall(r"[`$] ?make ([a-z-]+)", text)) <= targets
    assert {"run", "test", "bench"} <= targets


# -- operations ---------------------------------------------------------------


def test_status_table_has_the_order_of_the_decision() -> None:
    """docs/links.md says that the lowest row of several that hold is reported."""
    documented = [row[0].strip("`") for row in rows("links", "Status")]
    decided = re.findall(r"(?:THEN|ELSE) '(\w+)'", status_sql("link", ":now"))
    assert documented[::-1] == decided


@pytest.mark.engine("sqlite")
async def test_metrics_table_is_what_metrics_exposes(service: Service) -> None:
    await service.alice.put_video()
    await service.alice.share()
    await service.sweep()
    text = (await service.public.get("/metrics")).body.decode()
    exposed = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for sample, names in re.findall(r"^([a-z_]+)(?:\{(.*)\})? ", text, re.MULTILINE):
        name = sample if sample in exposed else re.sub("_(bucket|count|sum)$", "", sample)
        labels[name] |= set(re.findall(r'(\w+)="', names)) - {"le"}
    table = {
        code(name)[0]: (kind, set(code(names)))
        for name, kind, names, _ in rows("operations", "Metrics")
    }
    assert table == {name: (kind, labels[name]) for name, kind in exposed.items()}


def log_calls() -> Iterator[ast.Call]:
    """Every call of a logger's method in the service."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                logger = ast.unparse(node.func.value)
                if node.func.attr in LEVELS and re.fullmatch(r"(self\._?)?_?log(ger)?", logger):
                    yield node


def test_log_table_is_what_the_service_logs() -> None:
    levels: defaultdict[str, set[str]] = defaultdict(set)
    fields: defaultdict[str, set[str]] = defaultdict(set)
    for call in log_calls():
        assert isinstance(call.func, ast.Attribute)
        event = ast.literal_eval(call.args[0])  # an event is a constant, so that it can be searched
        levels[event].add(call.func.attr.replace("exception", "error"))
        fields[event] |= {keyword.arg for keyword in call.keywords if keyword.arg}
    logged = {event: (levels[event], fields[event] - {"exc_info"}) for event in levels}
    table = {
        code(event)[0]: (set(level.split(", ")), set(code(names)) - {"request_id", "trace_id"})
        for event, level, names, _ in rows("operations", "Logs")
    }
    logged = {
        event: (level, names - {"request_id", "trace_id"})
        for event, (level, names) in logged.items()
    }
    assert table == logged


# -- the documents themselves -------------------------------------------------


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(file: Path) -> list[tuple[Path, str]]:
    """The relative links of a document: the file, and the anchor if there is one."""
    targets = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)", file.read_text())
    return [((file.parent / path).resolve() if path else file, anchor) for path, anchor in targets]


@each_document
def test_relative_links_of_a_document_resolve(file: Path) -> None:
    for target, anchor in links(file):
        assert target.is_file(), target
        assert not anchor or anchor in anchors(target.read_text()), f"{target}#{anchor}"


@each_document
def test_paths_that_a_document_names_exist(file: Path) -> None:
    text = file.read_text()
    for path in re.findall(r"`((?:service|tests|docs)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert re.search(rf"def {name}\b", (ROOT / path).read_text()), f"{path}::{name}"


def test_reliability_names_its_tests() -> None:
    assert len(re.findall(r"`(tests/[\w/]+\.py)(?:::\w+)?`", document("reliability"))) > 20


def test_sdist_contains_the_documents_and_their_links() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = config["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    for file in DOCUMENTS:
        for path in (file, *(target for target, _ in links(file))):
            assert path.relative_to(ROOT).parts[0] in included, path


def test_readme_is_short_and_maps_documents_and_packages() -> None:
    assert len(README.splitlines()) <= 120
    linked = {target for target, _ in links(ROOT / "README.md")}
    assert {file for file in DOCUMENTS if file.name != "README.md"} <= linked
    packages = {
        f"{path.parent.relative_to(PACKAGE)}/"
        for path in PACKAGE.rglob("__init__.py")
        if path.parent != PACKAGE and any(path.parent.glob("[a-z]*.py"))
    }
    mapped = set(re.findall(r"^\| `([a-z_/]+/)` \|", README, re.MULTILINE))
    assert mapped == packages


def test_architecture_order_names_every_package() -> None:
    [order] = blocks("architecture", "text")
    entries = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("_")}
    assert set(re.findall(r"\w+", order)) == entries


def test_changelog_speaks_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    unreleased, released = versions[0] == "Unreleased", versions[versions[0] == "Unreleased"]
    assert unreleased if "dev" in __version__ else released == __version__


def test_changelog_lists_renamed_settings_and_metrics() -> None:
    unreleased = (ROOT / "CHANGELOG.md").read_text().split("\n## [")[1]
    table = dict(re.findall(r"^  \| `(\w+)[^|]*` \| `(\w+)[^|]*` \|$", unreleased, re.MULTILINE))
    assert table.items() >= RENAMED_VARIABLES.items()
    metrics = {code(name)[0] for name, *_ in rows("operations", "Metrics")}
    renamed = {new for old, new in table.items() if old.startswith("shared_reports_")}
    assert renamed
    assert renamed <= metrics
