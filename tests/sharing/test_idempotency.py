"""Creating a link with an Idempotency-Key: made once, however often it is asked for."""

import asyncio
import signal
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.database import contents, database_in
from support.harness import Caller, Service, Start, is_problem
from support.idempotency import BODY, create, is_replay_of
from support.links import rows_left
from support.process import PATIENCE, new_key, request, serving
from support.raw import raw

from service.config import Config
from service.web.app_keys import REPOSITORIES, SWEEPER

pytestmark = pytest.mark.own_service

DAY = 86_400


async def links(caller: Caller) -> list[Any]:
    listed: list[Any] = (await caller.get("/api/videos/job-1/shared-reports")).json
    return listed


@pytest.fixture
async def hers(alice: Caller) -> Caller:
    await alice.put_video()
    return alice


async def test_idempotency_key_replays_the_first_response(hers: Caller) -> None:
    first = await create(hers, "k")
    assert first.status == 201
    assert "Idempotency-Replayed" not in first.headers
    for _ in range(3):
        assert is_replay_of(await create(hers, "k"), first)
    assert await links(hers) == [first.json]


async def test_idempotency_key_that_differs_creates_another_link(hers: Caller) -> None:
    answers = [await create(hers, "k"), await create(hers, "K"), await create(hers, "k ")]
    answers += [await hers.post("/api/shared-reports", BODY) for _ in range(2)]
    ids = [answer.json["id"] for answer in answers]
    assert len(set(ids)) == 4  # space around a header's value is none of it
    assert len(await links(hers)) == 4


@pytest.mark.parametrize(
    "body",
    [
        {"video_id": "job-1"},
        {"video_id": "job-1", "expires_at": "2025-01-15T12:00:01Z"},
        {"video_id": "job-2", "expires_at": "2025-01-15T12:00:00Z"},
    ],
)
async def test_idempotency_key_with_another_body_is_rejected(hers: Caller, body: object) -> None:
    await hers.put_video("job-2")
    first = await create(hers, "k")
    answer = await create(hers, "k", body)
    assert is_problem(answer, 422, "invalid-request")
    assert "Idempotency-Key" in answer.json["detail"]
    assert is_replay_of(await create(hers, "k"), first)
    assert await links(hers) == [first.json]


async def test_idempotency_key_accepts_an_equivalent_body(hers: Caller) -> None:
    first = await create(hers, "k", b'{"video_id": "job-1"}')
    for body in (b'{"video_id":"job-1"}', b'{"expires_at":null,"video_id":"\\u006aob-1"}'):
        assert is_replay_of(await create(hers, "k", body), first)


async def test_idempotency_key_sent_50_times_at_once_creates_one_link(hers: Caller) -> None:
    answers = await asyncio.gather(*(create(hers, "k") for _ in range(50)))
    [first] = [answer for answer in answers if "Idempotency-Replayed" not in answer.headers]
    assert all(answer is first or is_replay_of(answer, first) for answer in answers)
    assert await links(hers) == [first.json]


async def test_idempotency_key_sent_at_once_with_two_bodies_creates_one_link(hers: Caller) -> None:
    bodies = [BODY, {"video_id": "job-1"}] * 25
    answers = await asyncio.gather(*(create(hers, "k", body) for body in bodies))
    [first] = [
        answer
        for answer in answers
        if answer.status == 201 and "Idempotency-Replayed" not in answer.headers
    ]
    winner = bodies[answers.index(first)]
    for body, answer in zip(bodies, answers, strict=True):
        if body != winner:
            assert is_problem(answer, 422, "invalid-request")
        else:
            assert answer is first or is_replay_of(answer, first)
    assert await links(hers) == [first.json]


async def test_idempotency_keys_sent_at_once_create_one_link_each(hers: Caller) -> None:
    keys = [str(n // 2) for n in range(60)]
    answers = await asyncio.gather(*(create(hers, key) for key in keys))
    ids = {key: answer.json["id"] for key, answer in zip(keys, answers, strict=True)}
    assert [ids[key] for key in keys] == [answer.json["id"] for answer in answers]
    assert len(await links(hers)) == 30


async def test_idempotency_key_holds_after_a_restart(start: Start) -> None:
    service = await start()
    await service.alice.put_video()
    first = await create(service.alice, "k")
    await service.client.close()
    again = await start()
    caller = Caller(again.client, service.alice.key)
    assert (await create(caller, "k")).body == first.body
    assert (await create(caller, "k")).headers["Idempotency-Replayed"] == "true"
    assert await links(caller) == [first.json]
    assert is_problem(await create(caller, "k", {"video_id": "job-1"}), 422, "invalid-request")


def test_idempotency_key_and_its_link_survive_a_kill_together(folder: Path) -> None:
    """Callers that lose their answers ask again: each key has made one link, whenever we died."""
    user = str(uuid.uuid4())
    key = new_key(folder, user)
    asked, answers = 0, dict[str, bytes]()

    def ask(url: str, name: str) -> None:
        status, body = request(
            "POST",
            f"{url}/api/shared-reports",
            {"video_id": "job-1"},
            **{"Authorization": key, "Idempotency-Key": name, "Content-Type": "application/json"},
        )
        assert status == 201, body
        assert answers.setdefault(name, body) == body

    for round_ in range(3):
        with serving(folder) as server:
            video = {"video_name": "x"}
            assert (
                request("PUT", f"{server.url}/api/videos/job-1", video, Authorization=key)[0] < 300
            )
            for name in range(asked):
                ask(server.url, str(name))
            for _ in range(20):
                ask(server.url, str(asked))
                asked += 1
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(PATIENCE)
        database = database_in(folder)
        counts = [rows_left(database, table) for table in ("shared_reports", "idempotency_keys")]
        assert counts == [asked, asked], round_


async def test_idempotency_key_replays_after_the_link_is_revoked(
    hers: Caller, public: Caller
) -> None:
    first = await create(hers, "k")
    assert (await hers.delete(f"/api/shared-reports/{first.json['id']}")).status == 200
    assert is_replay_of(await create(hers, "k"), first)
    assert (await public.get(f"/api/shared-reports/{first.json['share_hash']}")).status == 404
    assert await links(hers) == []


async def test_idempotency_key_replays_after_the_link_expires(service: Service) -> None:
    await service.alice.put_video()
    first = await create(service.alice, "k")
    await service.advance(3 * 3600)
    await service.sweep()
    assert is_replay_of(await create(service.alice, "k"), first)
    new = await create(service.alice, "another")
    assert is_problem(new, 422, "invalid-request")  # for a new link its expiry is past


async def test_idempotency_key_ends_with_the_video_of_its_link(hers: Caller) -> None:
    await create(hers, "k")
    await hers.delete("/api/videos/job-1")
    assert is_problem(await create(hers, "k"), 404, "not-found")
    await hers.put_video()
    assert "Idempotency-Replayed" not in (await create(hers, "k")).headers


async def test_idempotency_key_is_valid_for_24_hours(service: Service) -> None:
    await service.alice.put_video()
    body = {"video_id": "job-1"}
    first = await create(service.alice, "k", body)
    await service.advance(DAY - 1)
    await service.sweep()
    assert is_replay_of(await create(service.alice, "k", body), first)
    await service.advance(1)
    other = await create(service.alice, "k", BODY | {"expires_at": None})
    assert other.status == 201
    assert "Idempotency-Replayed" not in other.headers
    assert other.json["id"] != first.json["id"]
    await service.advance(DAY - 1)
    assert is_replay_of(await create(service.alice, "k", body), other)


async def test_sweeper_deletes_old_idempotency_keys(service: Service) -> None:
    await service.alice.put_video()
    shared_reports = service.app[REPOSITORIES].links
    for n in range(250):
        assert (await create(service.alice, str(n), {"video_id": "job-1"})).status == 201
        await service.advance(1 if n == 199 else 0)
    await service.advance(DAY - 1)
    assert [
        await shared_reports.delete_old_keys(150),
        await shared_reports.delete_old_keys(150),
    ] == [150, 50]
    assert await shared_reports.delete_old_keys(150) == 0
    await service.advance(1)
    await service.app[SWEEPER].sweep_once()
    assert await shared_reports.delete_old_keys(150) == 0
    assert len(await links(service.alice)) == 250


async def test_idempotency_key_belongs_to_one_user(hers: Caller, bob: Caller) -> None:
    await bob.put_video()
    answers = [await create(caller, "k") for caller in (hers, bob)]
    assert [answer.json["user_id"] for answer in answers] == [hers.user_id, bob.user_id]
    assert is_replay_of(await create(hers, "k"), answers[0])


async def test_idempotency_key_of_a_failed_call_stays_free(hers: Caller) -> None:
    assert is_problem(await create(hers, "k", {"video_id": "job-2"}), 404, "not-found")
    assert is_problem(await create(hers, "k", {"video_id": 1}), 422, "invalid-request")
    past = {"video_id": "job-1", "expires_at": "2025-01-15T10:00:00"}
    assert is_problem(await create(hers, "k", past), 422, "invalid-request")
    assert "Idempotency-Replayed" not in (await create(hers, "k")).headers


async def test_idempotent_create_retries_a_taken_share_hash(start: Start) -> None:
    hashes = iter(["A" * 16, "A" * 16, "B" * 16])
    service = await start(new_share_hash=lambda: next(hashes))
    await service.alice.put_video()
    first, second = [await create(service.alice, key) for key in "12"]
    assert [each.json["share_hash"] for each in (first, second)] == ["A" * 16, "B" * 16]
    assert is_replay_of(await create(service.alice, "2"), second)


@pytest.mark.parametrize("key", ["", "x" * 256, "ü", "a\tb"])
async def test_idempotency_key_that_is_long_or_not_printable_is_rejected(
    hers: Caller, key: str
) -> None:
    answer = await create(hers, key)
    assert is_problem(answer, 422, "invalid-request")
    assert "Idempotency-Key" in answer.json["detail"]
    assert await links(hers) == []


async def test_idempotency_key_that_is_not_text_is_rejected(hers: Caller, service: Service) -> None:
    body = b'{"video_id": "job-1", "password": "x"}'
    answer = await raw(
        service,
        b"POST /api/shared-reports HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: %b\r\nIdempotency-Key: \xff\r\nContent-Length: %d\r\n\r\n%b"
        % (str(hers.key).encode(), len(body), body),
    )
    assert answer.startswith(b"HTTP/1.1 422 "), answer[:100]
    assert await links(hers) == []


async def test_database_holds_neither_the_idempotency_key_nor_the_body(
    hers: Caller, config: Config
) -> None:
    """A body may hold a password: nobody may try words against what is stored of it."""
    await create(hers, "the-key-itself")
    assert rows_left(config.database, "idempotency_keys") == 1
    assert b"the-key-itself" not in contents(config.database)


SECRETS = {"label": "canary-label", "note": "canary-note", "password": "canary-password"}


@pytest.mark.engine("sqlite")
async def test_database_holds_no_settings_of_deleted_links(hers: Caller, config: Config) -> None:
    """Nor anything of it once its video was deleted, in any file after a checkpoint."""
    revoked, other = [await create(hers, key, {"video_id": "job-1"} | SECRETS) for key in "12"]
    with closing(sqlite3.connect(config.sqlite_file)) as connection:
        digests = [text for (text,) in connection.execute("SELECT password FROM shared_reports")]
        assert len(set(digests)) == 2

        def held(*texts: str) -> list[str]:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            content = b"".join(
                path.read_bytes() for path in config.sqlite_file.parent.glob("test.sqlite3*")
            )
            return [text for text in texts if text.encode() in content]

        hashes = [each.json["share_hash"] for each in (revoked, other)]
        assert held("canary-label", "canary-note", *digests, *hashes) == [
            "canary-label",
            "canary-note",
            *digests,
            *hashes,
        ]
        await hers.delete(f"/api/shared-reports/{revoked.json['id']}")
        assert len(held(*digests)) == 1
        await hers.delete("/api/videos/job-1")
        assert held("canary", *digests, *hashes) == []
        assert connection.execute("SELECT * FROM idempotency_keys").fetchall() == []


async def test_sweeper_is_scheduled_for_the_expiry_of_an_idempotent_create(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.alice.put_video()
    scheduled: list[str | None] = []
    monkeypatch.setattr(service.app[SWEEPER], "schedule", scheduled.append)
    report = (await create(service.alice, "k")).json
    assert scheduled == [report["expires_at"]]
