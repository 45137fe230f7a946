"""Helpers of the tests that unlock protected links."""

import dataclasses
from typing import Any
from urllib.parse import urlencode

from service.config import Config
from service.web.app_keys import VIEWS
from support.harness import Response, Service, Start, segment
from support.links import LIST, ROUTES

JSON, SEGMENTS, PAGE = ROUTES[:3]


PASSWORD = "correct horse"


async def submit(service: Service, share_hash: str, **fields: str) -> Response:
    """Send the page's form."""
    body = urlencode(fields).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await service.public.post(PAGE.format(share_hash), body, headers=headers)


async def unlock(service: Service, share_hash: str, password: str | None = None) -> Response:
    body = {} if password is None else {"password": password}
    return await service.public.post(f"{JSON.format(share_hash)}/unlock", body)


async def token_for(service: Service, share_hash: str, password: str | None = None) -> str:
    answer = await unlock(service, share_hash, password)
    assert answer.status == 200, answer.body
    token: str = answer.json["token"]
    return token


async def counted(service: Service, report: Any) -> int:
    await service.app[VIEWS].write()
    [found] = [each for each in (await service.alice.get(LIST)).json if each["id"] == report["id"]]
    count: int = found["view_count"]
    return count


async def statuses(service: Service, share_hash: str, token: str | None = None) -> list[int]:
    """What each public route answers to GET."""
    headers = {} if token is None else {"X-Share-Token": token}
    return [
        (await service.public.get(path.format(share_hash), headers=headers)).status
        for path in ROUTES
    ]


PROBLEM_TYPES: dict[str, dict[str, Any]] = {
    "limited": {"max_views": 5},
    "locked": {"password": PASSWORD},
    "both": {"max_views": 5, "password": PASSWORD},
}


async def service_without_limits(start: Start, config: Config) -> Service:
    service = await start(
        dataclasses.replace(config, lookup_rate_limit=None, password_rate_limit=None)
    )
    await service.alice.put_video(segments=[segment(0, 1, "canary-module", content="canary")])
    return service


WRONG = "incorrect horse"


async def service_with_three_guesses(start: Start, config: Config) -> Service:
    service = await start(
        dataclasses.replace(config, lookup_rate_limit=None, password_rate_limit=3)
    )
    await service.alice.put_video()
    return service


async def tries(service: Service, share_hash: str, *given: str, **kwargs: Any) -> list[int]:
    found = []
    for password in given:
        body = {"password": password}
        path = f"{JSON.format(share_hash)}/unlock"
        found.append((await service.public.post(path, body, **kwargs)).status)
    return found
