"""API keys: a user's own, shown once, and dead with the next request."""

import asyncio
import hashlib

import pytest
from support.database import contents
from support.harness import START, Caller, Service, Start, is_problem
from support.statements import Statements
from support.workers import writer_of

from service.config import Config
from service.domain.errors import UnavailableError
from service.web.app_keys import REPOSITORIES

FIELDS = ["id", "name", "key_prefix", "is_active", "last_used_at", "created_at"]


async def test_api_key_is_shown_whole_once(alice: Caller) -> None:
    created = await alice.post("/api/keys", {"name": "ci"})
    assert created.status == 201
    assert list(created.json) == [*FIELDS, "raw_key"]
    raw_key = created.json["raw_key"]
    shown = {key: value for key, value in created.json.items() if key != "raw_key"}
    assert shown == {
        "id": created.json["id"],
        "name": "ci",
        "key_prefix": f"{raw_key[:15]}…",
        "is_active": 1,
        "last_used_at": None,
        "created_at": START,
    }
    listed = await alice.get("/api/keys")
    assert listed.json[0] == shown
    assert raw_key not in listed.body.decode()
    assert (await Caller(alice.client, raw_key).get("/api/videos")).status == 200


async def test_api_key_is_stored_as_its_sha_256_only(alice: Caller, config: Config) -> None:
    raw_key = (await alice.post("/api/keys", {"name": "ci"})).json["raw_key"]
    stored = contents(config.database)
    assert hashlib.sha256(raw_key.encode()).hexdigest().encode() in stored
    assert raw_key.encode() not in stored


async def test_api_key_is_deactivated_and_reactivated_with_the_next_request(
    alice: Caller,
) -> None:
    created = (await alice.post("/api/keys", {"name": "ci"})).json
    other = Caller(alice.client, created["raw_key"])
    path = f"/api/keys/{created['id']}"
    assert (await other.get("/api/videos")).status == 200
    assert (await alice.patch(path, {"is_active": False})).json["is_active"] == 0
    assert is_problem(await other.get("/api/videos"), 401, "unauthorized")
    assert (await alice.patch(path, {"is_active": True})).json["is_active"] == 1
    assert (await other.get("/api/videos")).status == 200


async def test_api_key_ends_with_the_next_request_after_its_deletion(alice: Caller) -> None:
    created = (await alice.post("/api/keys", {"name": "ci"})).json
    other = Caller(alice.client, created["raw_key"])
    assert (await other.delete(f"/api/keys/{created['id']}")).json == {"ok": True}
    assert is_problem(await other.get("/api/videos"), 401, "unauthorized")
    assert (await alice.delete(f"/api/keys/{created['id']}")).status == 404


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Basic YTpi",
        "lvz_live_" + "0" * 64,
        "lvz_live_" + "0" * 63,
        "lvz_live_" + "G" * 64,
        "LVZ_LIVE_" + "0" * 64,
        "Bearer Bearer lvz_live_" + "0" * 64,
        "lvz_live_" + "0" * 64 + "\u00e9",
    ],
)
async def test_api_key_that_is_missing_or_invalid_is_answered_401(
    public: Caller, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await public.get("/api/videos", headers=headers)
    assert is_problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("POST", {}),
        ("POST", {"name": ""}),
        ("POST", {"name": "x" * 201}),
        ("POST", {"name": "x", "user_id": "other"}),
        ("PATCH", {}),
        ("PATCH", {"is_active": 0}),
        ("PATCH", {"is_active": None}),
        ("PATCH", {"is_active": True, "name": "x"}),
    ],
)
async def test_api_key_request_with_an_invalid_body_changes_nothing(
    alice: Caller, method: str, body: object
) -> None:
    before = (await alice.get("/api/keys")).json
    path = "/api/keys" if method == "POST" else f"/api/keys/{before[0]['id']}"
    assert is_problem(await alice.call(method, path, body), 422, "invalid-request")
    assert (await alice.get("/api/keys")).json == before


async def test_last_use_is_recorded_without_a_write_per_request(service: Service) -> None:
    alice = service.alice
    await alice.get("/api/videos")
    assert (await alice.get("/api/keys")).json[0]["last_used_at"] is None
    await service.app[REPOSITORIES].api_keys.record_use()
    assert (await alice.get("/api/keys")).json[0]["last_used_at"] == START


async def test_last_use_of_many_requests_is_one_write(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that were made since the last time are one write, and nothing new is none."""
    statements = Statements(monkeypatch)
    for _ in range(3):
        await service.alice.get("/api/videos")
        await service.bob.get("/api/videos")
    assert "record the use of keys" not in statements.started
    for _ in range(2):
        await service.app[REPOSITORIES].api_keys.record_use()
        assert statements.started.count("record the use of keys") == 1


async def test_last_use_that_could_not_be_written_is_written_later(
    service: Service, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    api_keys = service.app[REPOSITORIES].api_keys
    await service.alice.get("/api/videos")
    await service.bob.get("/api/videos")

    async def fail(*_: object, **__: object) -> None:
        await service.advance(60)
        await service.alice.get("/api/videos")  # used again meanwhile
        raise UnavailableError("The database can't do this now. Try again later.")

    with monkeypatch.context() as broken:
        method = "fetch_all" if engine == "sqlite" else "execute"
        broken.setattr(writer_of(service.app), method, fail)
        with pytest.raises(UnavailableError):
            await api_keys.record_use()
    await api_keys.record_use()
    keys = [(await api_keys.list_all(caller.user_id))[0] for caller in (service.alice, service.bob)]
    assert [key.last_used_at for key in keys] == ["2025-01-15T10:01:00", START]


async def test_last_use_is_written_periodically(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.app._KEY_USE_INTERVAL", 0.01)
    service = await start()
    await service.alice.get("/api/videos")
    while (await service.alice.get("/api/keys")).json[0]["last_used_at"] is None:
        await asyncio.sleep(0.01)


async def test_last_use_is_written_at_a_clean_stop(start: Start) -> None:
    service = await start()
    await service.advance(60)
    await service.alice.get("/api/videos")
    await service.client.close()
    again = await start()
    rows = await again.app[REPOSITORIES].api_keys.list_all(service.alice.user_id)
    assert [key.last_used_at for key in rows] == ["2025-01-15T10:01:00"]


async def test_keys_of_a_user_are_bounded(
    service: Service, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setattr(f"service.repositories.{engine}.api_keys.KEYS_MAX", 3)
    made = [await service.alice.post("/api/keys", {"name": "x"}) for _ in range(3)]
    assert [answer.status for answer in made] == [201, 201, 409]
    assert is_problem(made[-1], 409, "conflict")
    assert "3 API keys" in made[-1].json["detail"]
    assert len((await service.alice.get("/api/keys")).json) == 3
    assert (await service.bob.post("/api/keys", {"name": "x"})).status == 201
    assert (await service.alice.delete(f"/api/keys/{made[0].json['id']}")).status == 200
    assert (await service.alice.post("/api/keys", {"name": "x"})).status == 201
