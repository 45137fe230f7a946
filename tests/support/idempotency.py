"""Helpers of the tests that send a call again."""

from typing import Any

from support.harness import Caller, Response

BODY = {"video_id": "job-1", "expires_at": "2025-01-15T12:00:00Z"}


async def create(caller: Caller, key: str, body: object = None, **kwargs: Any) -> Response:
    headers = {"Idempotency-Key": key}
    return await caller.post("/api/shared-reports", body or BODY, headers=headers, **kwargs)


def is_replay_of(again: Response, first: Response) -> bool:
    """Whether ``again`` is the same answer, and says so."""
    ours = ("Location", "Link", "Content-Type", "Content-Length")
    same = [
        (each.status, each.body, [each.headers[name] for name in ours]) for each in (again, first)
    ]
    return same[0] == same[1] and again.headers.get("Idempotency-Replayed") == "true"
