"""What the planner makes of lists and look-ups: however many rows there are, few are looked at."""

import json
from typing import Any

import asyncpg
import pytest
from support.database import fetch
from support.harness import Service

from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.postgresql.engine.statements import Statement, read
from service.repositories.postgresql.engine.worker import Worker
from service.repositories.postgresql.repositories import PostgresqlRepositories
from service.web.app_keys import CONFIG, REPOSITORIES

pytestmark = pytest.mark.engine("postgresql")

OTHERS = 20_000

_PREPARED = """-- list plans
    SELECT name, cardinality(parameter_types), generic_plans, custom_plans
      FROM pg_prepared_statements WHERE statement LIKE '-- view links%'"""


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """All nodes of a plan."""
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


async def removed_rows(url: PostgresqlUrl, statement: Statement, values: list[object]) -> int:
    """How many rows a statement reads in vain, by the plan that serves every parameter."""
    connection = await asyncpg.connect(url.text)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE listed AS {statement.text}")
    literals = ["NULL" if value is None else f"'{value}'" for value in values]
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE listed ({', '.join(literals)})"
    [[plan]] = await connection.fetch(explain)
    await connection.close()
    counts = [node.get("Rows Removed by Filter", 0) for node in nodes(json.loads(plan)[0]["Plan"])]
    return int(sum(counts))


@pytest.mark.parametrize(
    "path", ["/api/shared-reports", "/api/videos/job-1/shared-reports", "/api/videos"]
)
async def test_list_looks_at_no_rows_of_others(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The caller's rows are the oldest: a walk along the ids would pass all the others."""
    alice, database = service.alice, service.app[CONFIG].database
    assert isinstance(database, PostgresqlUrl)
    await alice.put_video()
    await alice.share()
    await service.bob.put_video()
    numbers = f"FROM generate_series(1, {OTHERS}) AS n"
    fetch(
        database,
        "INSERT INTO videos (user_id, job_id, name, status, selected_insights, created_at,"
        " updated_at, public_fields_json)"
        f" SELECT n % 5, n, '', 'failed', '', now(), now(), '' {numbers}",
    )
    fetch(
        database,
        "INSERT INTO shared_reports (user_id, video_id, share_hash, created_at)"
        f" SELECT n % 5, 2 + n % 5, 'x' || n, now() {numbers}",
    )
    fetch(database, "ANALYZE")
    sent: list[tuple[Statement, dict[str, Any]]] = []
    fetch_all = Worker.fetch_all

    def watched(
        worker: Worker, statement: Statement, caller: object = None, **parameters: Any
    ) -> Any:
        if statement.name.startswith("list "):
            sent.append((statement, parameters))
        return fetch_all(worker, statement, caller=caller, **parameters)

    monkeypatch.setattr(Worker, "fetch_all", watched)
    assert len((await alice.get(path)).json) == 1
    [(statement, parameters)] = sent
    values = statement.bind(parameters)
    assert await removed_rows(database, statement, values) == 0


async def test_view_is_planned_once_and_reads_no_table_as_a_whole(service: Service) -> None:
    """Also if the tables have no statistics yet, as in a new database."""
    await service.alice.put_video()
    report = await service.alice.share()
    for _ in range(10):
        viewed = await service.public.get(f"/api/shared-reports/{report['share_hash']}")
        assert viewed.status == 200
    repositories = service.app[REPOSITORIES]
    assert isinstance(repositories, PostgresqlRepositories)
    lookups = repositories.database.lookups
    [[name, parameters, generic, custom]] = await lookups.fetch_all(read(_PREPARED))
    assert (generic, custom) == (10, 0)
    explain = f"EXPLAIN (FORMAT JSON) EXECUTE {name} ({', '.join(['NULL'] * parameters)})"
    [[plan]] = await lookups.fetch_all(read(f"-- explain a view\n{explain}"))
    assert "Seq Scan" not in {node["Node Type"] for node in nodes(json.loads(plan)[0]["Plan"])}
