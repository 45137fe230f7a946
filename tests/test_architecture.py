"""The rules of the architecture: which package may import which, and which may know what."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import service

PACKAGE = Path(service.__file__).parent

# From the top down. A package imports only from packages below its own.
ORDER = [
    {"__main__"},
    {"cli"},
    {"server"},
    {"app"},
    {"web"},
    {"tasks", "sharing"},
    {"repositories"},
    {"config"},
    {"security", "telemetry"},
    {"concurrency", "client"},
    {"domain"},
    {"aiohttp_ext"},  # stands apart: nothing of ours is below it
]
LIBRARIES = {
    "aiohttp": {"cli", "server", "app", "web", "client", "aiohttp_ext"},
    "sqlite3": {"repositories.sqlite"},
    "aiosqlite": {"repositories.sqlite"},
    "asyncpg": {"repositories.postgresql"},
    "os": {
        *("cli", "repositories.sqlite"),  # for the environment, for fsync, for access
        "domain.piece_writer",  # for a file in memory
    },
}
"""The packages that may import a library."""
OUR_TABLES = (
    *("videos", "shared_reports", "api_keys", "idempotency_keys", "signing_key"),
    "console_sessions",
    *("view_statistics", "video_views", "user_usage"),
    *("events", "event_subscriptions", "event_views"),
    *("webhooks", "webhook_deliveries"),
)
MODULES = sorted(PACKAGE.rglob("*.py"))

each_module = pytest.mark.parametrize(
    "file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE))
)


def name_of(file: Path) -> str:
    """The dotted name of a module below ``service``; empty for ``service`` itself."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(file): file for file in MODULES}


def imports(file: Path) -> set[str]:
    """All that a module imports, by its full dotted name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(file: Path) -> set[str]:
    """The modules of ours that a module imports."""
    found = {name.removeprefix("service.") for name in imports(file) if name.startswith("service.")}
    return {
        name if name in NAMES else name.rpartition(".")[0]
        for name in found
        if name != "__version__"
    }


def package_of(name: str) -> str:
    return name.partition(".")[0]


@each_module
def test_imports_run_downward_between_packages(file: Path) -> None:
    if not name_of(file):
        assert not ours(file)
        return
    package = package_of(name_of(file))
    [level] = [number for number, packages in enumerate(ORDER) if package in packages]
    allowed = set().union({package}, *ORDER[level + 1 :])
    assert {package_of(name) for name in ours(file)} <= allowed
    if package == "aiohttp_ext":
        assert {package_of(name) for name in ours(file)} <= {package}


@each_module
def test_engines_are_known_only_within_repositories(file: Path) -> None:
    name = name_of(file)
    if package_of(name) == "repositories":
        return
    engines = ("repositories.sqlite", "repositories.postgresql")
    assert not [module for module in ours(file) if module.startswith(engines)]


@each_module
def test_engines_know_nothing_of_one_another(file: Path) -> None:
    name = name_of(file)
    engines = {"repositories.sqlite", "repositories.postgresql"}
    own = {engine for engine in engines if f"{name}.".startswith(f"{engine}.")}
    if own:
        others = tuple(engines - own)
        assert not [module for module in ours(file) if module.startswith(others)]


def test_imports_have_no_circle() -> None:
    graph = {name_of(file): ours(file) - {name_of(file)} for file in MODULES}
    assert list(TopologicalSorter(graph).static_order())


@each_module
def test_libraries_are_known_only_to_some_packages(file: Path) -> None:
    known = {name.partition(".")[0] for name in imports(file)}
    for library, packages in LIBRARIES.items():
        if library in known:
            assert any(f"{name_of(file)}.".startswith(f"{each}.") for each in packages), library


@each_module
def test_business_sql_lives_in_repositories(file: Path) -> None:
    if package_of(name_of(file)) == "repositories":
        return
    texts = [
        node.value
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [
        text
        for text in texts
        for verb in ("FROM", "INTO", "UPDATE", "JOIN")
        for table in OUR_TABLES
        if f"{verb} {table}" in text
    ]


def test_optional_library_is_imported_by_name_only() -> None:
    """The service runs without asyncpg: no module that it always imports needs it."""
    importers = {
        name for name, file in NAMES.items() if "repositories.postgresql" in " ".join(ours(file))
    }
    assert all(name.startswith("repositories.postgresql") for name in importers)


def test_installed_package_holds_the_schema() -> None:
    schema = (PACKAGE / "repositories/sqlite/schema.sql").read_text()
    assert schema == (PACKAGE.parent / "schema.sql").read_text()
    assert "CREATE TABLE shared_reports" in schema
