"""Links: what creating, viewing, listing and revoking them promises beside the seed's examples."""

import dataclasses
import json

import pytest
from support.harness import Caller, Service, Start, is_problem, sample, segment

from service.config import Config


async def test_create_takes_a_job_id_or_a_video_id(alice: Caller) -> None:
    video = await alice.put_video("job-1")
    assert (await alice.share("job-1"))["video_id"] == video["id"]
    assert (await alice.share(video["id"]))["video_id"] == video["id"]


@pytest.mark.own_service
async def test_create_with_an_ambiguous_video_id_is_a_conflict(alice: Caller, bob: Caller) -> None:
    first = await alice.put_video("alpha")
    second = await alice.put_video(first["id"])  # a job id that looks like the first one's id
    name, body = first["id"], {"video_id": first["id"]}
    key = {"Idempotency-Key": "k"}
    for answer in (
        await alice.post("/api/shared-reports", body),
        await alice.post("/api/shared-reports", body, headers=key),
        await alice.get(f"/api/shared-reports?video_id={name}"),
    ):
        assert is_problem(answer, 409, "conflict")
        assert all(f"`{each}`" in answer.json["detail"] for each in (name, "alpha", second["id"]))
    assert (await alice.get("/api/shared-reports")).json == []
    assert (await alice.share("alpha"))["video_id"] == first["id"]
    assert (await alice.share(second["id"]))["video_id"] == second["id"]
    assert (await alice.get(f"/api/videos/{name}/shared-reports")).json[0]["id"] == "2"  # a job id
    await bob.put_video("beta")  # another user's video has no part in it
    await bob.put_video("1")
    assert (await bob.share("1"))["video_id"] == "4"


@pytest.mark.own_service
async def test_create_finds_a_video_whose_job_id_equals_its_id(alice: Caller) -> None:
    video = await alice.put_video("1")
    assert (await alice.share("1"))["video_id"] == video["id"] == "1"
    assert len((await alice.get("/api/shared-reports?video_id=1")).json) == 1


@pytest.mark.parametrize("spelling", ["01", "+1", " 1", "1.0", "1e0", "٣", "9" * 30, "-1"])
async def test_id_in_another_spelling_is_not_found(alice: Caller, spelling: str) -> None:
    await alice.put_video()
    answer = await alice.post("/api/shared-reports", {"video_id": spelling})
    assert is_problem(answer, 404, "not-found")
    await alice.share()
    assert (await alice.delete(f"/api/shared-reports/{spelling}")).status == 404


async def test_links_of_one_video_are_independent(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    reports = [await alice.share() for _ in range(3)]
    await alice.delete(f"/api/shared-reports/{reports[1]['id']}")
    states = [
        (await public.get(f"/api/shared-reports/{report['share_hash']}")).status
        for report in reports
    ]
    assert states == [200, 404, 200]


@pytest.mark.parametrize("field", ["expire_at", "expiresAt", "max_veiws"])
async def test_create_rejects_an_unknown_field_by_name(alice: Caller, field: str) -> None:
    """A mistyped expiry must never make a link that lives for ever."""
    await alice.put_video()
    answer = await alice.post("/api/shared-reports", {"video_id": "job-1", field: "2099-01-01"})
    assert is_problem(answer, 422, "invalid-request")
    assert field in answer.json["detail"]
    assert (await alice.get("/api/videos/job-1/shared-reports")).json == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "video_id"),
        ({"video_id": None}, "video_id"),
        ({"video_id": 1}, "video_id"),
        ({"video_id": ""}, "video_id"),
        ({"video_id": "x" * 201}, "video_id"),
        ({"video_id": "job-1", "expires_at": 1736935300}, "expires_at"),
        ({"video_id": "job-1", "expires_at": "tomorrow"}, "expires_at"),
        ({"video_id": "job-1", "expires_at": ""}, "expires_at"),
        ({"video_id": "job-1", "expires_at": "2025-13-01"}, "expires_at"),
        ([], "array"),
        ("job-1", "str"),
    ],
)
async def test_create_names_the_invalid_field(alice: Caller, body: object, named: str) -> None:
    await alice.put_video()
    answer = await alice.post("/api/shared-reports", body)
    assert is_problem(answer, 422, "invalid-request")
    assert named in answer.json["detail"]


async def test_head_has_the_headers_of_get_and_no_body(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    path = f"/api/shared-reports/{(await alice.share())['share_hash']}"
    get, head = await public.get(path), await public.call("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert (await public.call("HEAD", "/api/shared-reports/unknown")).status == 404


async def test_view_names_the_modules_of_a_real_analysis(alice: Caller, public: Caller) -> None:
    await alice.put("/api/videos/" + sample()["job_id"], sample())
    report = await alice.share(sample()["job_id"])
    video = (await public.get(f"/api/shared-reports/{report['share_hash']}")).json["video"]
    assert sorted(video["modules"]) == ["scenes", "transcription", "visualelements"]


async def test_public_segments_equal_the_segments_of_the_owner(
    alice: Caller, public: Caller
) -> None:
    job_id = sample()["job_id"]
    await alice.put(f"/api/videos/{job_id}", sample())
    share_hash = (await alice.share(job_id))["share_hash"]
    for query in ("", "?module=transcription", "?module=none"):
        theirs = await public.get(f"/api/shared-reports/{share_hash}/segments{query}")
        ours = await alice.get(f"/api/videos/{job_id}/segments{query}")
        assert (theirs.status, theirs.body) == (200, ours.body)


async def test_revoked_link_is_not_found_at_once(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    report = await alice.share()
    path = f"/api/shared-reports/{report['share_hash']}"
    unknown = await public.get("/api/shared-reports/AAAAAAAAAAAAAAAA")
    assert (await public.get(path)).status == 200
    await alice.delete(f"/api/shared-reports/{report['id']}")
    for each in (path, f"{path}/segments"):
        answer = await public.get(each)
        assert is_problem(answer, 404, "not-found")
        assert answer.body == unknown.body
    again = await alice.delete(f"/api/shared-reports/{report['id']}")
    assert is_problem(again, 404, "not-found")


async def test_links_of_a_video_are_revoked_at_once(service: Service) -> None:
    alice, public = service.alice, service.public
    await alice.put_video("job-1")
    await alice.put_video("job-2")
    reports = [await alice.share() for _ in range(3)]
    expired = await alice.share(expires_at="2025-01-15T10:00:01")
    other = await alice.share("job-2")
    await service.advance(1)
    answer = await alice.delete("/api/videos/job-1/shared-reports")
    assert (answer.status, answer.json) == (200, {"ok": True, "deleted": 4})
    for report in (*reports, expired):
        assert (await public.get(f"/api/shared-reports/{report['share_hash']}")).status == 404
    assert (await public.get(f"/api/shared-reports/{other['share_hash']}")).status == 200
    assert (await alice.get("/api/videos/job-1/shared-reports")).json == []
    assert (await alice.get("/api/videos/job-1")).status == 200
    again = await alice.delete("/api/videos/job-1/shared-reports")
    assert (again.status, again.json) == (200, {"ok": True, "deleted": 0})
    unknown = await alice.delete("/api/videos/job-3/shared-reports")
    assert is_problem(unknown, 404, "not-found")


async def test_link_id_is_never_reused(alice: Caller) -> None:
    await alice.put_video()
    first = await alice.share()
    await alice.delete(f"/api/shared-reports/{first['id']}")
    assert int((await alice.share())["id"]) > int(first["id"])


async def test_links_of_an_unknown_video_are_not_found(alice: Caller) -> None:
    await alice.put_video()
    assert (await alice.get("/api/videos/job-1/shared-reports")).json == []
    assert (await alice.get("/api/videos/job-2/shared-reports")).status == 404


async def test_links_begin_with_the_configured_address(start: Start, config: Config) -> None:
    service = await start(dataclasses.replace(config, base_url="https://reports.example.com/x"))
    await service.alice.put_video()
    answer = await service.alice.post("/api/shared-reports", {"video_id": "job-1"})
    assert answer.headers["Location"].startswith(
        "https://reports.example.com/x/api/shared-reports/"
    )
    assert answer.headers["Link"].startswith("<https://reports.example.com/x/r/")


async def test_share_hash_has_the_configured_length(start: Start, config: Config) -> None:
    service = await start(dataclasses.replace(config, share_hash_length=40))
    await service.alice.put_video()
    assert len((await service.alice.share())["share_hash"]) == 40


async def test_share_hash_that_is_taken_is_drawn_again(start: Start) -> None:
    hashes = iter(["A" * 16, "A" * 16, "A" * 16, "B" * 16])
    service = await start(new_share_hash=lambda: next(hashes))
    await service.alice.put_video()
    await service.bob.put_video()
    assert (await service.alice.share())["share_hash"] == "A" * 16
    other = await service.bob.share()
    assert other["share_hash"] == "B" * 16
    assert other["user_id"] == service.bob.user_id


async def test_create_without_a_free_share_hash_is_an_internal_error(start: Start) -> None:
    service = await start(new_share_hash=lambda: "A" * 16)
    await service.alice.put_video()
    await service.alice.share()
    answer = await service.alice.post("/api/shared-reports", {"video_id": "job-1"})
    assert is_problem(answer, 500, "internal-server-error")


async def test_link_shows_the_new_result_of_a_replaced_video(alice: Caller, public: Caller) -> None:
    await alice.put_video(segments=[segment(0, 1, "scenes")])
    path = f"/api/shared-reports/{(await alice.share())['share_hash']}"
    await alice.put_video(video_name="Second Cut", segments=[segment(0, 1, "faces")])
    assert (await public.get(path)).json["video"]["name"] == "Second Cut"
    assert (await public.get(path)).json["video"]["modules"] == ["faces"]
    assert [each["module"] for each in (await public.get(f"{path}/segments")).json] == ["faces"]


async def test_public_responses_contain_no_private_data_of_the_owner(
    alice: Caller, service: Service
) -> None:
    secret = "canary-of-the-owner"
    await alice.put_video(
        storage_path=f"/data/{secret}",
        project_id=secret,
        file_size=4_711_471_147,
        selected_insights=secret,
    )
    share_hash = (await alice.share())["share_hash"]
    other = (await alice.share())["share_hash"]
    for path in ("", "/segments"):
        answer = await service.public.get(f"/api/shared-reports/{share_hash}{path}")
        shown = answer.body.decode() + json.dumps(dict(answer.headers))
        for hidden in (secret, alice.user_id, other, "4711471147", str(alice.key)):
            assert hidden not in shown
