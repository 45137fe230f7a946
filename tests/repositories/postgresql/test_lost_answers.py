"""The connection is lost after the server did the work: nothing is lost, nothing done twice."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.access import token_for, unlock
from support.cutting_proxy import CuttingProxy, cutting_proxy
from support.harness import Service, Start

from service.config import Config
from service.domain.postgresql_url import PostgresqlUrl

pytestmark = pytest.mark.engine("postgresql")

_LINKS = "/api/shared-reports"
_VIDEO = {"video_id": "job-1"}


@pytest.fixture
async def proxy(config: Config) -> AsyncIterator[tuple[CuttingProxy, PostgresqlUrl]]:
    assert isinstance(config.database, PostgresqlUrl)
    with tempfile.TemporaryDirectory(prefix="cut-") as folder:  # a socket's path must be short
        async with cutting_proxy(config.database, Path(folder)) as running:
            yield running


@pytest.fixture
async def cut_service(start: Start, proxy: tuple[CuttingProxy, PostgresqlUrl]) -> Service:
    service = await start(Config(database=proxy[1]))
    await service.alice.put_video()
    return service


async def links(service: Service) -> list[Any]:
    listed: list[Any] = (await service.alice.get(_LINKS)).json
    return listed


@pytest.mark.parametrize(
    ("statement", "headers"),
    [("create links", {}), ("create a link once", {"Idempotency-Key": "second"})],
)
async def test_create_whose_answer_is_lost_makes_one_link(
    cut_service: Service, proxy: tuple[CuttingProxy, Any], statement: str, headers: dict[str, str]
) -> None:
    first = {"Idempotency-Key": "first"} if headers else {}
    assert (await cut_service.alice.post(_LINKS, _VIDEO, headers=first)).status == 201
    proxy[0].lose_next_answer(statement)
    answer = await cut_service.alice.post(_LINKS, _VIDEO, headers=headers)
    assert answer.status == 201
    newest, _ = await links(cut_service)
    assert newest["id"] == answer.json["id"]
    again = await cut_service.alice.post(_LINKS, _VIDEO, headers=headers)
    assert (again.json["id"] == answer.json["id"]) == bool(headers)


async def test_revoke_whose_answer_is_lost_has_succeeded(
    cut_service: Service, proxy: tuple[CuttingProxy, Any]
) -> None:
    first, second = await cut_service.alice.share(), await cut_service.alice.share()
    assert (await cut_service.alice.delete(f"{_LINKS}/{first['id']}")).status == 200
    proxy[0].lose_next_answer("revoke links")
    assert (await cut_service.alice.delete(f"{_LINKS}/{second['id']}")).status == 200
    assert await links(cut_service) == []


async def test_rotate_whose_answer_is_lost_tells_the_new_hash(
    cut_service: Service, proxy: tuple[CuttingProxy, Any]
) -> None:
    report = await cut_service.alice.share()
    path = f"{_LINKS}/{report['id']}/rotate"
    before = (await cut_service.alice.post(path)).json
    proxy[0].lose_next_answer("rotate a link")
    rotated = await cut_service.alice.post(path)
    assert rotated.status == 200
    [link] = await links(cut_service)
    assert link["share_hash"] == rotated.json["share_hash"] != before["share_hash"]


async def test_unlock_whose_answer_is_lost_is_not_repeated(
    cut_service: Service, proxy: tuple[CuttingProxy, Any]
) -> None:
    report = await cut_service.alice.share(max_views=3)
    await token_for(cut_service, report["share_hash"])
    proxy[0].lose_next_answer("unlock links")
    answer = await unlock(cut_service, report["share_hash"])
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert [link["view_count"] for link in await links(cut_service)] == [2]


async def test_view_whose_answer_is_lost_is_repeated(
    cut_service: Service, proxy: tuple[CuttingProxy, Any]
) -> None:
    report = await cut_service.alice.share()
    path = f"{_LINKS}/{report['share_hash']}"
    assert (await cut_service.public.get(path)).status == 200
    proxy[0].lose_next_answer("view links")
    assert (await cut_service.public.get(path)).status == 200


async def test_revocation_of_a_video_whose_answer_is_lost_is_done(
    cut_service: Service, proxy: tuple[CuttingProxy, Any]
) -> None:
    await cut_service.alice.put_video("other")
    path = "/api/videos/{}/shared-reports"
    assert (await cut_service.alice.delete(path.format("other"))).json["deleted"] == 0
    report = await cut_service.alice.share()
    proxy[0].lose_next_answer("revoke a video's links")
    assert (await cut_service.alice.delete(path.format("job-1"))).status == 200
    assert (await cut_service.public.get(f"{_LINKS}/{report['share_hash']}")).status == 404


async def test_deletion_whose_answer_is_lost_has_succeeded(
    cut_service: Service, proxy: tuple[CuttingProxy, Any]
) -> None:
    await cut_service.alice.put_video("other")
    assert (await cut_service.alice.delete("/api/videos/other")).status == 200
    proxy[0].lose_next_answer("delete a video")
    assert (await cut_service.alice.delete("/api/videos/job-1")).status == 200
    assert (await cut_service.alice.get("/api/videos/job-1")).status == 404
