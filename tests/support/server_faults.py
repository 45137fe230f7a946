"""What the tests of a server's faults share: what callers see, and whether it is over."""

from collections.abc import Awaitable, Callable

from support.harness import Caller, Response

LINKS = "/api/shared-reports"
VIDEO = {"video_id": "job-1"}
CHECKS = {"database_read", "schema_version", "database_write"}

Open = Callable[..., Awaitable[Caller]]
"""Starts the application on a server, with settings; returns a user."""


def is_unavailable(answer: Response) -> bool:
    """Whether an answer says that the database can't do it now."""
    return (answer.status, answer.headers.get("Retry-After")) == (503, "1")


async def failing_checks(alice: Caller) -> set[str]:
    """The checks that fail, but for the sweeper's: it waits for its next pass to succeed."""
    answer = await alice.get("/readyz")
    failing = {name for name, outcome in answer.json["checks"].items() if outcome != "ok"}
    assert (answer.status == 503) == bool(failing)
    return failing - {"sweeper"}


async def works(alice: Caller) -> bool:
    """Whether a link can be created and seen."""
    created = await alice.post(LINKS, VIDEO)
    if created.status != 201:
        return False
    return (await alice.get(f"{LINKS}/{created.json['share_hash']}")).status == 200
