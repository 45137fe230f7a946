"""The seed's contract, to the letter: each of its examples by key set and type."""

import re

from support.harness import START, Caller, Service

SHARED_REPORT = {
    "id": str,
    "user_id": str,
    "video_id": str,
    "share_hash": str,
    "expires_at": type(None),
    "is_active": int,
    "created_at": str,
}


def types_of(value: dict[str, object]) -> dict[str, type]:
    return {key: type(each) for key, each in value.items()}


async def test_post_answers_the_seeds_example(alice: Caller) -> None:
    video = await alice.put_video("a1b2c3d4")
    answer = await alice.post("/api/shared-reports", {"video_id": "a1b2c3d4"})
    assert answer.status == 201
    seven = dict(list(answer.json.items())[:7])
    assert list(seven) == list(SHARED_REPORT)
    assert types_of(seven) == SHARED_REPORT
    assert answer.json["user_id"] == alice.user_id
    assert answer.json["video_id"] == video["id"]
    assert answer.json["is_active"] == 1
    assert answer.json["created_at"] == START
    assert re.fullmatch("[A-Za-z0-9]{16}", answer.json["share_hash"])


async def test_get_answers_the_seeds_example_without_a_key(alice: Caller, public: Caller) -> None:
    video = await alice.put_video("a1b2c3d4", processing_time=3.5)
    report = await alice.share("a1b2c3d4")
    answer = await public.get(f"/api/shared-reports/{report['share_hash']}")
    assert answer.status == 200
    assert answer.json == {
        "share_hash": report["share_hash"],
        "video": {
            "id": video["id"],
            "job_id": "a1b2c3d4",
            "name": "Product Demo",
            "status": "completed",
            "duration": 120.5,
            "processing_time": 3.5,
            "created_at": START,
            "updated_at": START,
            "modules": [],
        },
        "created_at": report["created_at"],
    }
    assert isinstance(answer.json["video"]["id"], str)


async def test_delete_answers_ok(alice: Caller) -> None:
    await alice.put_video()
    answer = await alice.delete(f"/api/shared-reports/{(await alice.share())['id']}")
    assert (answer.status, answer.json) == (200, {"ok": True})


async def test_list_answers_the_seeds_array(alice: Caller) -> None:
    await alice.put_video("a1b2c3d4")
    reports = [await alice.share("a1b2c3d4") for _ in range(3)]
    answer = await alice.get("/api/videos/a1b2c3d4/shared-reports")
    assert answer.status == 200
    assert answer.json == reports[::-1]  # newest first


async def test_created_link_names_its_api_and_page_addresses(service: Service) -> None:
    await service.alice.put_video()
    answer = await service.alice.post("/api/shared-reports", {"video_id": "job-1"})
    base = str(service.client.make_url("/")).rstrip("/")
    share_hash = answer.json["share_hash"]
    assert answer.headers["Location"] == f"{base}/api/shared-reports/{share_hash}"
    assert answer.headers["Link"] == f'<{base}/r/{share_hash}>; rel="alternate"; type="text/html"'
    assert (await service.public.get(answer.headers["Location"].removeprefix(base))).status == 200


async def test_public_responses_are_not_cached_or_indexed(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    share_hash = (await alice.share())["share_hash"]
    for path in (share_hash, f"{share_hash}/segments", "unknown"):
        headers = (await public.get(f"/api/shared-reports/{path}")).headers
        assert headers["Server"] == "shared-reports"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Robots-Tag"] == "noindex"
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_api_key_is_accepted_in_every_documented_form(alice: Caller) -> None:
    for spelling in (f"{alice.key}", f"Bearer {alice.key}", f"bearer  {alice.key}"):
        answer = await alice.get("/api/videos", headers={"Authorization": spelling})
        assert answer.status == 200
