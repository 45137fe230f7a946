"""The public report that is assembled of stored parts, beside what the encoder makes."""

import random
from typing import Any

import msgspec
import pytest
from support.harness import Caller, segment
from support.links import ROUTES

from service.domain.links import PublicReport
from service.domain.public_report import public_report_json
from service.domain.videos import PublicVideo

TEXTS = [
    "x",
    "Straße.mp4",
    "会議",
    '"quoted" \\ and / more',
    "\x00\x1f\x7f\n",
    "\u2028𝄞",
    "é" * 200,
]
NUMBERS = [None, 0.0, 120.5, 1e-7, 1e9, 0.1 + 0.2]
MODULES = ["scenes", "Scenes", "会議", 'a"b', "\\", "\u2028", "", "x" * 200]

rng = random.Random(1)


def some_modules() -> tuple[str, ...]:
    return tuple(rng.sample(MODULES, rng.randrange(len(MODULES) + 1)))


@pytest.mark.parametrize("number", range(300))
def test_public_report_json_equals_the_encoders_bytes(number: int) -> None:
    modules = some_modules()
    video = PublicVideo(
        id=str(number + 1),
        job_id=rng.choice(TEXTS),
        name=rng.choice(TEXTS),
        status="completed",
        duration=rng.choice(NUMBERS),
        processing_time=rng.choice(NUMBERS),
        created_at="2025-01-15T10:00:00",
        updated_at="2025-01-15T10:00:01",
        modules=modules,
    )
    allowed = None if number % 3 == 0 else some_modules()
    shown = modules if allowed is None else tuple(name for name in modules if name in allowed)
    report = PublicReport(
        "xK9mP2qR7wLnY4vB", msgspec.structs.replace(video, modules=shown), "2025-01-15T10:00:02"
    )
    assembled = public_report_json(
        report.share_hash,
        report.created_at,
        msgspec.json.encode(video).decode(),
        msgspec.json.encode(modules).decode(),
        None if allowed is None else msgspec.json.encode(allowed).decode(),
    )
    assert assembled == msgspec.json.encode(report)


@pytest.mark.parametrize("fields", [{}, {"max_views": 9}])
@pytest.mark.parametrize("modules", [None, [], ["会議"], ["a", 'q"', "not-there"]])
async def test_public_report_response_equals_the_encoders_bytes(
    alice: Caller, public: Caller, fields: dict[str, Any], modules: list[str] | None
) -> None:
    names = ["会議", "a", 'q"']
    segments = [segment(n, n + 1, name) for n, name in enumerate(names)]
    await alice.put_video("job-1", video_name="Straße \u2028\"'", duration=1e-7, segments=segments)
    report = await alice.share(modules=modules, **fields)
    path = ROUTES[0].format(report["share_hash"])
    for _ in range(2):  # looked up, and from the row cache
        body = (await public.get(path)).body
        decoded = msgspec.json.decode(body, type=PublicReport)
        assert msgspec.json.encode(decoded) == body
        allowed = names if modules is None else modules
        assert list(decoded.video.modules) == [name for name in names if name in allowed]
