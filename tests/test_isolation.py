"""Two users can never touch, see or even probe each other's things, on any route."""

import pytest
from harness import Caller, Service, export, segment

from service.app import ROUTES

# Every owned route, with the call that tries it on Alice's things. A new route without a row
# here fails the test below.
ATTACKS: dict[tuple[str, str], object] = {
    ("POST", "/api/shared-reports"): {"video_id": "{job_id}"},
    ("DELETE", "/api/shared-reports/{report_id}"): None,
    ("GET", "/api/videos/{job_id}/shared-reports"): None,
    ("PUT", "/api/videos/{job_id}"): export(video_name="Bob's"),
    ("GET", "/api/videos"): None,
    ("GET", "/api/videos/{job_id}"): None,
    ("GET", "/api/videos/{job_id}/segments"): None,
    ("DELETE", "/api/videos/{job_id}"): None,
    ("GET", "/api/keys"): None,
    ("POST", "/api/keys"): {"name": "Bob's"},
    ("PATCH", "/api/keys/{key_id}"): {"is_active": False},
    ("DELETE", "/api/keys/{key_id}"): None,
}
OWN = {"/api/videos", "/api/keys"}  # these name no object: they answer with the caller's own


def test_every_owned_route_is_attacked() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.owned} == set(ATTACKS)


async def state_of(alice: Caller) -> list[bytes]:
    paths = ("/api/videos", "/api/videos/job-1/segments", "/api/videos/job-1/shared-reports")
    return [(await alice.get(path)).body for path in paths]


@pytest.mark.parametrize(("method", "path"), ATTACKS)
async def test_anothers_thing_looks_as_if_it_did_not_exist(
    service: Service, method: str, path: str
) -> None:
    alice, bob = service.alice, service.bob
    await alice.put_video(segments=[segment(0, 1)])
    video = (await alice.get("/api/videos/job-1")).json
    report = await alice.share()
    key_id = (await alice.get("/api/keys")).json[0]["id"]
    before = await state_of(alice)

    async def attack(job_id: str, report_id: str, key_id: str) -> tuple[int, bytes]:
        body = ATTACKS[method, path]
        if body == {"video_id": "{job_id}"}:
            body = {"video_id": job_id}
        url = path.format(job_id=job_id, report_id=report_id, key_id=key_id)
        answer = await bob.call(method, url, body)
        return answer.status, answer.body

    for job_id in ("job-1", video["id"]):
        theirs = await attack(job_id, report["id"], key_id)
        if path in OWN or method == "PUT":
            assert theirs[0] in {200, 201}
            assert alice.user_id.encode() not in theirs[1]
        else:
            assert theirs == await attack("no-such", "999999", "999999")
            assert theirs[0] == 404
    assert await state_of(alice) == before
    assert (await service.public.get(f"/api/shared-reports/{report['share_hash']}")).status == 200


@pytest.mark.parametrize(("method", "path"), ATTACKS)
async def test_an_owned_route_asks_for_a_key_before_anything_else(
    public: Caller, method: str, path: str
) -> None:
    url = path.format(job_id="x", report_id="1", key_id="1")
    assert (await public.call(method, url, b"{not json")).status == 401
