"""API keys, videos and readiness on PostgreSQL, with instances that work at the same time."""

import asyncio

import pytest
from support.database import fetch
from support.harness import Caller, Service, Start, segment

from service.domain.errors import ConflictError, UnavailableError
from service.repositories.postgresql import api_keys
from service.repositories.postgresql.engine.migrate import SCHEMA
from service.repositories.postgresql.repositories import PostgresqlRepositories
from service.web.app_keys import CONFIG, REPOSITORIES

pytestmark = pytest.mark.engine("postgresql")


def repositories_of(service: Service) -> PostgresqlRepositories:
    repositories = service.app[REPOSITORIES]
    assert isinstance(repositories, PostgresqlRepositories)
    return repositories


async def test_keys_of_a_user_are_bounded_over_all_instances(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "KEYS_MAX", 3)
    instances = [await start() for _ in range(3)]
    user = instances[0].bob.user_id  # who has one key
    calls = [
        repositories_of(service).api_keys.create(user, "x") for service in instances for _ in "abc"
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, ConflictError) for result in results) == len(calls) - 2
    assert len(await repositories_of(instances[0]).api_keys.list_all(user)) == 3


async def test_uses_of_keys_at_all_instances_are_written(start: Start) -> None:
    """The latest use holds, whichever instance writes last."""
    one, other = await start(), await start()
    there = Caller(other.client, one.alice.key)
    other.clock.advance(60)
    assert (await there.get("/api/videos")).status == 200
    assert (await one.alice.get("/api/videos")).status == 200
    for service in (other, one):
        await repositories_of(service).api_keys.record_use()
    [key] = (await one.alice.get("/api/keys")).json
    assert key["last_used_at"] == "2025-01-15T10:01:00"


async def test_large_analysis_is_not_written_among_the_small_writes(
    service: Service,
) -> None:
    database = repositories_of(service).database
    statements = {worker.name: worker.statement_seconds for worker in database.workers}
    before = {name: histogram.buckets()[-1][1] for name, histogram in statements.items()}
    await service.alice.put_video(segments=[segment(0, 1, content="x" * 2**17)])
    after = {name: histogram.buckets()[-1][1] for name, histogram in statements.items()}
    assert after["writer"] == before["writer"]
    assert after["long"] > before["long"]


async def test_times_are_stored_in_whole_seconds_of_the_server(start: Start) -> None:
    service = await start()
    repositories = repositories_of(service)
    await service.alice.put_video()
    database = service.app[CONFIG].database
    sql = "SELECT count(*) FROM videos WHERE created_at = date_trunc('second', created_at)"
    assert fetch(database, sql) == [(1,)]
    assert (await service.alice.get("/api/videos")).json[0]["created_at"] == "2025-01-15T10:00:00"
    assert repositories.engine_version.split(".")[0].isdecimal()


@pytest.mark.parametrize(
    ("worker", "expected"),
    [
        ("lookups", {"database_read", "schema_version"}),
        ("long", {"database_read"}),
        ("writer", {"database_write"}),
    ],
)
async def test_readiness_names_the_connection_that_fails(
    service: Service, monkeypatch: pytest.MonkeyPatch, worker: str, expected: set[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UnavailableError("The database can't do this now. Try again later.")

    monkeypatch.setattr(getattr(repositories_of(service).database, worker), "fetch_all", fail)
    answer = await service.public.get("/readyz")
    assert answer.status == 503
    failing = {name for name, outcome in answer.json["checks"].items() if outcome != "ok"}
    assert failing == expected
    assert (await service.public.get("/livez")).status == 200


async def test_readiness_names_an_older_schema_version(service: Service) -> None:
    fetch(service.app[CONFIG].database, "UPDATE schema_version SET version = 0")
    answer = await service.public.get("/readyz")
    assert answer.status == 503
    said = f"The database has schema version 0; this program needs {SCHEMA.version}."
    assert answer.json["checks"]["schema_version"] == said
