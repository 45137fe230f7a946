"""A text with NUL, which no engine stores, is not found, and fails nobody else's call."""

import asyncio

import pytest
from support.harness import Service

UNSTORABLE = ("%00", "a%00b")
PATHS = (
    "/api/shared-reports/{}",
    "/api/shared-reports/{}/segments",
    "/r/{}",
    "/r/{}/analysis.json",
    "/api/videos/{}",
    "/api/videos/{}/segments",
    "/api/videos/{}/shared-reports",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("text", UNSTORABLE)
async def test_path_with_an_unstorable_text_is_not_found(
    service: Service, path: str, text: str
) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    bad, good = await asyncio.gather(
        service.alice.get(path.format(text)),
        service.public.get(f"/api/shared-reports/{report['share_hash']}"),
    )
    assert (bad.status, good.status) == (404, 200)


@pytest.mark.parametrize("text", UNSTORABLE)
async def test_filter_with_an_unstorable_text_finds_nothing(service: Service, text: str) -> None:
    await service.alice.put_video()
    await service.alice.share(label="a")
    for path in (
        f"/api/shared-reports?label={text}",
        f"/api/videos/job-1/shared-reports?label={text}",
        f"/api/videos?project_id={text}",
        f"/api/shared-reports?video_id={text}",
    ):
        answer = await service.alice.get(path)
        assert (answer.status, answer.json) == (200, []), path


@pytest.mark.parametrize("text", UNSTORABLE)
async def test_unlock_of_an_unstorable_hash_is_not_found(service: Service, text: str) -> None:
    answer = await service.public.post(f"/api/shared-reports/{text}/unlock", {})
    assert answer.status == 404
