"""The rules of the architecture: who may import whom, and who may know what."""

import ast
from pathlib import Path

import pytest

import service

PACKAGE = Path(service.__file__).parent

REPOSITORIES = {
    "repositories.sqlite.api_keys",
    "repositories.sqlite.link_lists",
    "repositories.sqlite.access",
    "repositories.sqlite.retention",
    "repositories.sqlite.links",
    "repositories.sqlite.videos",
}
# From the top down. A module imports only from layers below its own; within a layer, modules do
# not know one another, but for the repositories, which share columns.
LAYERS = [
    {"__main__"},
    {"cli.main"},
    {"cli.links"},
    {"cli.common"},
    {"cli.demo"},
    {"server.run"},
    {"app"},
    {
        "web.api.shared_reports",
        "web.api.videos",
        "web.api.api_keys",
        "web.pages.handlers",
        "web.openapi.handlers",
        "web.operations",
        "web.middleware",
        "aiohttp_ext.error_responses",
        "aiohttp_ext.connection_limiter",
    },
    {"web.openapi.document"},
    {"web.openapi.responses", "web.openapi.reference"},
    {"web.pages.rendering", "web.problems"},
    {"web.routing", "web.openapi.markup", "web.paging", "web.report_responses"},
    {"web.unlocking"},
    {"web.proxies"},
    {"web.app_keys", "aiohttp_ext.response"},
    {"telemetry.request_log", "security.rate_limiter"},
    {"web.metrics"},
    {"tasks.sweeper"},
    {*REPOSITORIES, "tasks.periodic"},
    {"repositories.sqlite.engine.database"},
    {"repositories.sqlite.engine.read_connection"},
    {"repositories.sqlite.engine.migrate"},
    {"repositories.sqlite.engine.backup"},
    {"repositories.sqlite.engine.file"},
    {"web.pages.downloads", "web.openapi.schemas"},
    {
        "repositories.sqlite.engine.worker",
        "domain.platform_export",
        "web.pages.report_view",
        "domain.validation",
    },
    {"web.pages.timeline"},
    {
        "domain.decoding",
        "security.credentials",
        "domain.idempotency",
        "telemetry.logs",
        "telemetry.histogram",
        "server.systemd",
        "repositories.sqlite.engine.errors",
    },
    {"security.access_tokens", "security.passwords"},
    {"web.openapi.examples"},
    {"domain.models", "domain.clock", "config", "repositories.sqlite.migrations"},
    {"domain.errors"},
]
OUR_TABLES = ("videos", "shared_reports", "api_keys", "idempotency_keys", "signing_key")
MODULES = sorted(PACKAGE.rglob("*.py"))

MAY_KNOW = {
    "aiohttp": {
        "web.api.shared_reports",
        "web.api.videos",
        "web.api.api_keys",
        "web.pages.handlers",
        "web.openapi.handlers",
        "web.operations",
        "web.middleware",
        "web.problems",
        "aiohttp_ext.error_responses",
        "web.routing",
        "aiohttp_ext.response",
        "web.app_keys",
        "app",
        "web.pages.rendering",
        "web.paging",
        "web.proxies",
        "server.run",
        "cli.demo",
        "cli.main",
        "aiohttp_ext.connection_limiter",
        "web.report_responses",
        "web.unlocking",
    },
    "sqlite3": {
        "repositories.sqlite.engine.database",
        "repositories.sqlite.engine.worker",
        "repositories.sqlite.engine.read_connection",
        "repositories.sqlite.engine.migrate",
        "repositories.sqlite.engine.backup",
        "repositories.sqlite.engine.file",
        "repositories.sqlite.engine.errors",
    },
    "aiosqlite": {"repositories.sqlite.engine.database", "repositories.sqlite.engine.worker"},
    "os": {
        "cli.main",
        "repositories.sqlite.engine.backup",
        "repositories.sqlite.engine.file",
    },  # for the environment, for fsync, for access
}


NAMES = set().union(*LAYERS)


def part(file: Path) -> str:
    return named(".".join(file.relative_to(PACKAGE).with_suffix("").parts))


def named(module: str) -> str:
    """The part of the package that a module, or what it exports, belongs to."""
    while module and module not in NAMES:
        module = module.rpartition(".")[0]
    return module


def imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def ours(file: Path) -> set[str]:
    """The parts of the package that a module imports."""
    return {
        named(name.removeprefix("service."))
        for name in imports(file)
        if name.startswith("service.") and name != "service.__version__"
    }


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_downward_only(file: Path) -> None:
    if file.name == "__init__.py" and not ours(file):
        assert ours(file) == set()
        return
    [level] = [n for n, layer in enumerate(LAYERS) if part(file) in layer]
    below = set().union(*LAYERS[level + 1 :])
    if part(file) in REPOSITORIES:
        below |= REPOSITORIES
    assert ours(file) <= below


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_some_may_know(file: Path) -> None:
    known = {name.partition(".")[0] for name in imports(file)}
    for library, parts in MAY_KNOW.items():
        assert library not in known or part(file) in parts, library


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_business_sql_lives_in_repositories(file: Path) -> None:
    """Outside them, no text of a statement on a table of ours but the check of the write lock."""
    if part(file) in REPOSITORIES:
        return
    texts = [
        node.value
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    found = [
        text
        for text in texts
        if any(
            f"{verb} {table}" in text
            for verb in ("FROM", "INTO", "UPDATE", "JOIN")
            for table in OUR_TABLES
        )
    ]
    assert len(found) <= (1 if part(file) == "repositories.sqlite.engine.database" else 0), found


def test_the_installed_package_holds_the_schema() -> None:
    schema = (PACKAGE / "repositories/sqlite/schema.sql").read_text()
    assert schema == (PACKAGE.parent / "schema.sql").read_text()
    assert "CREATE TABLE shared_reports" in schema
