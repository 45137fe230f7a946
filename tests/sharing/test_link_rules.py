"""The operator's rules: a default lifetime, a longest one, and a password for each link."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from support.cli import USER, import_videos
from support.harness import START, Response, Service, Start, is_problem
from support.process import run_in_process

from service.config import Config
from service.domain.errors import ConfigError

IN_30_DAYS = "2025-02-14T10:00:00"
LINKS = "/api/shared-reports"


async def start_with(start: Start, config: Config, **rules: Any) -> Service:
    service = await start(dataclasses.replace(config, **rules))
    await service.alice.put_video()
    return service


async def create(service: Service, **body: object) -> Response:
    return await service.alice.post(LINKS, {"video_id": "job-1"} | body)


def refused(answer: Response, *words: str) -> bool:
    assert is_problem(answer, 422, "invalid-request")
    return all(word in answer.json["detail"] for word in words)


async def test_rules_that_are_unset_change_nothing(service: Service) -> None:
    await service.alice.put_video()
    assert (await create(service)).json["expires_at"] is None
    made = (await create(service, expires_at="9999-12-31", password="x")).json
    path = f"{LINKS}/{made['id']}"
    changed = await service.alice.patch(path, {"expires_at": None, "password": None})
    assert (changed.json["expires_at"], changed.json["has_password"]) == (None, 0)


async def test_default_lifetime_is_for_links_that_name_no_expiry(
    start: Start, config: Config
) -> None:
    service = await start_with(start, config, default_lifetime_days=30)
    made = (await create(service)).json
    assert made["expires_at"] == IN_30_DAYS
    shown = (await service.alice.get(LINKS)).json[0]
    assert shown == made
    assert (await create(service, expires_at=None)).json["expires_at"] is None
    later = (await create(service, expires_at="2030-01-01")).json
    assert later["expires_at"] == "2030-01-01T00:00:00"
    late = await create(service, not_before="2025-03-01")
    assert refused(late, "`not_before`", IN_30_DAYS, "SHARED_REPORTS_DEFAULT_LIFETIME_DAYS")
    await service.advance(30 * 86400)
    assert (await service.public.get(f"{LINKS}/{made['share_hash']}")).status == 410


async def test_default_expiry_is_the_same_in_a_replay(start: Start, config: Config) -> None:
    service = await start_with(start, config, default_lifetime_days=30)
    key = {"Idempotency-Key": "k"}
    first = await service.alice.post(LINKS, {"video_id": "job-1"}, headers=key)
    assert first.json["expires_at"] == IN_30_DAYS
    await service.advance(3600)
    again = await service.alice.post(LINKS, {"video_id": "job-1"}, headers=key)
    assert (again.json, again.headers["Idempotency-Replayed"]) == (first.json, "true")
    await service.client.close()
    other = await start(dataclasses.replace(config, max_lifetime_days=7, require_password="yes"))
    other.alice.key = service.alice.key
    again = await other.alice.post(LINKS, {"video_id": "job-1"}, headers=key)
    assert (again.status, again.json) == (201, first.json), "a replay breaks no newer rule"


async def test_max_lifetime_refuses_what_lives_longer_or_for_ever(
    start: Start, config: Config
) -> None:
    service = await start_with(start, config, max_lifetime_days=30)
    for body in ({}, {"expires_at": None}, {"expires_at": "2025-02-14T10:00:01"}):
        answer = await create(service, **body)
        assert refused(answer, "30 days", "SHARED_REPORTS_MAX_LIFETIME_DAYS", IN_30_DAYS)
        keyed = await service.alice.post(
            LINKS, {"video_id": "job-1"} | body, headers={"Idempotency-Key": "k"}
        )
        assert refused(keyed, "SHARED_REPORTS_MAX_LIFETIME_DAYS")
    assert (await service.alice.get(LINKS)).json == []
    made = (await create(service, expires_at=IN_30_DAYS)).json
    path = f"{LINKS}/{made['id']}"
    for expires_at in (None, "2025-02-14T10:00:01"):
        answer = await service.alice.patch(path, {"expires_at": expires_at})
        assert refused(answer, "SHARED_REPORTS_MAX_LIFETIME_DAYS")
    await service.advance(86400)
    longer = await service.alice.patch(path, {"expires_at": "2025-02-15T10:00:00"})
    assert longer.json["expires_at"] == "2025-02-15T10:00:00", "counted from now"
    assert (await service.alice.patch(path, {"label": "x"})).status == 200


async def test_default_lifetime_stays_within_the_longest_one(start: Start, config: Config) -> None:
    service = await start_with(start, config, default_lifetime_days=30, max_lifetime_days=30)
    assert (await create(service)).json["expires_at"] == IN_30_DAYS
    with pytest.raises(ConfigError, match="DEFAULT_LIFETIME_DAYS=31 is more than"):
        Config.from_env(
            {
                "SHARED_REPORTS_DEFAULT_LIFETIME_DAYS": "31",
                "SHARED_REPORTS_MAX_LIFETIME_DAYS": "30",
            }
        )


async def test_required_password_cannot_be_left_out_or_removed(
    start: Start, config: Config
) -> None:
    service = await start_with(start, config, require_password="yes")
    for body in ({}, {"password": None}):
        assert refused(await create(service, **body), "SHARED_REPORTS_REQUIRE_PASSWORD")
    made = (await create(service, password="x")).json
    path = f"{LINKS}/{made['id']}"
    answer = await service.alice.patch(path, {"password": None})
    assert refused(answer, "`password`", "SHARED_REPORTS_REQUIRE_PASSWORD")
    assert (await service.alice.patch(path, {"password": "y", "note": "z"})).status == 200
    assert (await service.public.get(f"{LINKS}/{made['share_hash']}")).status == 401


async def test_links_from_before_a_rule_stay_as_they_are(start: Start, config: Config) -> None:
    service = await start_with(start, config)
    made = (await create(service)).json
    await service.client.close()
    other = await start(dataclasses.replace(config, max_lifetime_days=30, require_password="yes"))
    other.alice.key = service.alice.key
    assert (await other.public.get(f"{LINKS}/{made['share_hash']}")).status == 200
    changed = await other.alice.patch(f"{LINKS}/{made['id']}", {"label": "x"})
    assert (changed.status, changed.json["expires_at"]) == (200, None)


async def test_rules_survive_the_end_of_time(start: Start, config: Config) -> None:
    service = await start_with(start, config, default_lifetime_days=36500, max_lifetime_days=36500)
    service.clock.seconds = 253370764800.0  # 9999
    made = (await create(service)).json
    assert made["expires_at"] == "9999-12-31T23:59:59"


def test_command_keeps_to_the_rules(folder: Path) -> None:
    import_videos(folder)
    arguments = ("links", "create", "job-1", "--user", USER, "--json")
    made = run_in_process(*arguments, folder=folder, DEFAULT_LIFETIME_DAYS=30)
    assert json.loads(made.stdout)["expires_at"] > START
    for rule, value in (("MAX_LIFETIME_DAYS", "30"), ("REQUIRE_PASSWORD", "yes")):
        setting: dict[str, Any] = {rule: value}
        result = run_in_process(*arguments, folder=folder, **setting)
        assert (result.returncode, result.stdout) == (1, "")
        assert f"SHARED_REPORTS_{rule}" in result.stderr
