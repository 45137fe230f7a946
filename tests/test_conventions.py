"""The rules of docs/contributing.md that a program can check, for the service and its tests."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from support.docs import ROOT

FILES = sorted([*ROOT.glob("service/**/*.py"), *ROOT.glob("tests/**/*.py")])

# Each exception has its reason. One that is needed no more fails its test, too.
LONG_MODULES = {
    "tests/crash/test_history.py": "a table of histories, each with what it proves",
}
LONG_FUNCTIONS = {
    "service/web/middleware.py::wrap": "each further call takes 0.1 us of every request",
    "tests/test_deployment.py::test_nginx_in_front_of_two_instances": "one scenario, in its order",
}

SUPPRESSION = re.compile(r"# (noqa|type: ignore)")
EXPLAINED = re.compile(
    r"# (noqa: [A-Z]+\d+(, [A-Z]+\d+)* - |type: ignore\[[a-z, -]+\]\s+# )\w.{5,}"
)
NO_UNIT = {
    "a",
    "an",
    "every",
    "if",
    "it",
    "no",
    "that",
    "the",
    "there",
    "this",
    "what",
    "when",
    "which",
}
"""Words that cannot name the unit under test."""


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield file, node


def test_modules_have_at_most_350_lines() -> None:
    long = {name_of(file) for file in FILES if len(file.read_text().splitlines()) > 350}
    assert long == LONG_MODULES.keys()


def test_functions_have_at_most_45_lines() -> None:
    long = {
        f"{name_of(file)}::{function.name}"
        for file, function in functions()
        if (function.end_lineno or 0) - function.lineno >= 45
    }
    assert long == LONG_FUNCTIONS.keys()


def test_suppressions_state_their_reason() -> None:
    unexplained = set()
    for file in FILES:
        with file.open("rb") as source:
            comments = [
                token.string
                for token in tokenize.tokenize(source.readline)
                if token.type == tokenize.COMMENT and SUPPRESSION.search(token.string)
            ]
        if not all(EXPLAINED.search(comment) for comment in comments):
            unexplained.add(name_of(file))
    assert unexplained == set()


def test_names_of_tests_begin_with_their_unit_and_are_short() -> None:
    names = [function.name for _, function in functions() if function.name.startswith("test_")]
    assert not [name for name in names if len(name) > 70]
    assert not [name for name in names if not re.fullmatch(r"test(_[a-z0-9]+){2,}", name)]
    assert not [name for name in names if name.split("_")[1] in NO_UNIT]


def test_modules_of_tests_import_no_other() -> None:
    modules = {file.stem for file in FILES if file.name.startswith("test_")}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported = {node.module or ""}
            else:
                continue
            assert not imported & modules, name_of(file)
