"""Changes of a link or its video, by every way there is."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import NamedTemporaryFile
from typing import Any

from service.web.app_keys import CONFIG
from support.access import PASSWORD
from support.database import text_of
from support.harness import Service, export, segment
from support.links import ROUTES, change
from support.process import run

OLD, NEW = "before the change", "after the change"


def analysis(said: str) -> list[dict[str, Any]]:
    return [segment(0, 1, content="stays"), segment(1, 2, "transcription", content=said)]


async def revoke(service: Service, link: Any) -> None:
    assert (await service.alice.delete(f"/api/shared-reports/{link['id']}")).status == 200


async def run_beside(service: Service, *arguments: str) -> CompletedProcess[str]:
    """Run a command on the service's database."""
    database = service.app[CONFIG].database
    return await asyncio.to_thread(run, *arguments, folder=Path.cwd(), DATABASE=text_of(database))


async def revoke_by_command(service: Service, link: Any) -> None:
    arguments = ("links", "revoke", link["id"], "--user", service.alice.user_id)
    result = await run_beside(service, *arguments)
    assert result.returncode == 0, result.stderr


async def revoke_all(service: Service, _: Any) -> None:
    assert (await service.alice.delete("/api/videos/job-1/shared-reports")).status == 200


async def delete_video(service: Service, _: Any) -> None:
    assert (await service.alice.delete("/api/videos/job-1")).status == 200


async def rotate(service: Service, link: Any) -> None:
    assert (await service.alice.post(f"/api/shared-reports/{link['id']}/rotate")).status == 200


async def expire(service: Service, _: Any) -> None:
    await service.advance(3600)


async def switch_off(service: Service, link: Any) -> None:
    await change(service, link, is_active=False)


async def postpone(service: Service, link: Any) -> None:
    await change(service, link, not_before="2025-01-15T10:30:00")


async def protect(service: Service, link: Any) -> None:
    await change(service, link, password=PASSWORD)


async def limit(service: Service, link: Any) -> None:
    await change(service, link, max_views=9)


async def exhaust(service: Service, link: Any) -> None:
    await service.public.get(ROUTES[0].format(link["share_hash"]))
    await change(service, link, max_views=1)


async def restrict(service: Service, link: Any) -> None:
    await change(service, link, modules=["scenes"])


async def replace_video(service: Service, _: Any) -> None:
    await service.alice.put_video(segments=analysis(NEW))


async def replace_by_command(service: Service, _: Any) -> None:
    with NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(export(segments=analysis(NEW)) | {"job_id": "job-1"}, file)
        file.flush()
        result = await run_beside(service, "import", file.name, "--user", service.alice.user_id)
    assert result.returncode == 0, result.stderr


Change = Callable[[Service, Any], Awaitable[None]]
ENDS: dict[Change, int] = {
    revoke: 404,
    revoke_by_command: 404,
    revoke_all: 404,
    delete_video: 404,
    rotate: 404,
    switch_off: 404,
    postpone: 404,
    expire: 410,
    protect: 401,
    limit: 401,
    exhaust: 410,
}
"""Changes after which a link shows nothing, by the status it has then."""
ALTERATIONS: list[Change] = [restrict, replace_video, replace_by_command]
"""Changes after which a link shows something else."""
