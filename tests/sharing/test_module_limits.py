"""A link's limit to modules that its video does not have is rejected, and names what there is."""

from typing import Any

import pytest
from support.harness import Caller, is_problem, segment
from support.idempotency import create

ALL = "/api/shared-reports"
SEGMENTS = [segment(0, 1, "scenes"), segment(1, 2, "caf\u00e9")]
UNKNOWN: list[list[str]] = [["Scenes"], ["scene"], ["SCENES", "cafe"], [" scenes"]]


@pytest.mark.parametrize("modules", UNKNOWN, ids=str)
async def test_module_limit_that_matches_nothing_is_rejected(
    alice: Caller, modules: list[str]
) -> None:
    video = await alice.put_video(segments=SEGMENTS)
    report = await alice.share(modules=["scenes"])
    for answer in (
        await alice.post(ALL, {"video_id": "job-1", "modules": modules}),
        await alice.post(ALL, {"video_id": video["id"], "modules": modules}),
        await create(alice, "key", {"video_id": "job-1", "modules": modules}),
        await alice.patch(f"{ALL}/{report['id']}", {"modules": modules, "label": "x"}),
    ):
        assert is_problem(answer, 422, "invalid-request")
        for name in (*modules, "scenes", "caf\u00e9"):
            assert f"`{name}`" in answer.json["detail"]
    assert (await alice.get(ALL)).json == [report]


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        (["scenes"], ["scenes"]),
        (["cafe\u0301", "scenes", "caf\u00e9"], ["caf\u00e9", "scenes"]),
        (["scenes", "not yet there"], ["scenes", "not yet there"]),
        ([], []),
        (None, None),
    ],
)
async def test_module_limit_is_stored_as_the_video_spells_it(
    alice: Caller, public: Caller, asked: Any, stored: Any
) -> None:
    await alice.put_video(segments=SEGMENTS)
    report = await alice.share(modules=asked)
    assert report["modules"] == stored
    changed = await alice.patch(f"{ALL}/{report['id']}", {"modules": asked})
    assert changed.json["modules"] == stored
    shown = (await public.get(f"{ALL}/{report['share_hash']}")).json["video"]["modules"]
    assert shown == [name for name in ("scenes", "caf\u00e9") if stored is None or name in stored]


async def test_module_limit_of_a_video_without_an_analysis_is_accepted(alice: Caller) -> None:
    await alice.put_video(status="processing")
    report = await alice.share(modules=["Scenes"])
    changed = await alice.patch(f"{ALL}/{report['id']}", {"modules": ["faces"]})
    assert changed.json["modules"] == ["faces"]


async def test_module_limit_of_an_unknown_or_foreign_video_is_not_found(
    alice: Caller, bob: Caller
) -> None:
    await alice.put_video(segments=SEGMENTS)
    report = await alice.share()
    for caller, video in ((alice, "job-2"), (bob, "job-1"), (bob, report["video_id"])):
        answer = await caller.post(ALL, {"video_id": video, "modules": ["Scenes"]})
        assert is_problem(answer, 404, "not-found")
    answer = await bob.patch(f"{ALL}/{report['id']}", {"modules": ["Scenes"]})
    assert is_problem(answer, 404, "not-found")


async def test_module_limit_error_is_bounded(alice: Caller) -> None:
    await alice.put_video(segments=[segment(0, 1, f"m{n:03}" * 40) for n in range(100)])
    names = [f"x{n}" for n in range(100)]
    answer = await alice.post(ALL, {"video_id": "job-1", "modules": names})
    assert is_problem(answer, 422, "invalid-request")
    assert "and 80 more" in answer.json["detail"]
    assert len(answer.body) < 5_000
