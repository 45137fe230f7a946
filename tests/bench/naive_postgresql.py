"""The service as tutorials on aiohttp and asyncpg write it. Called with a port and an address.

A pool of ten connections, and a query for each thing that is asked.
"""

import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import tutorial
import uvloop
from aiohttp import web

VIEW = """
    SELECT r.share_hash, r.expires_at, r.is_active, r.created_at AS shared_at, v.id, v.job_id,
           v.name, v.status, v.duration, v.processing_time, v.created_at, v.updated_at, v.modules
      FROM shared_reports r JOIN videos v ON v.id = r.video_id
     WHERE r.share_hash = $1"""
OWNER = "SELECT user_id FROM api_keys WHERE digest = $1 AND is_active"
VIDEO = "SELECT id FROM videos WHERE user_id = $1 AND job_id = $2"
CREATE = """
    INSERT INTO shared_reports (user_id, video_id, share_hash, expires_at, created_at)
    VALUES ($1, $2, $3, $4, $5) RETURNING id"""
LIST = "SELECT * FROM shared_reports WHERE video_id = $1 ORDER BY id DESC"
REVOKE = "DELETE FROM shared_reports WHERE id = $1 AND user_id = $2 RETURNING id"

POOL = web.AppKey("POOL", asyncpg.Pool)
routes = web.RouteTableDef()


async def authenticate(request: web.Request) -> str:
    """The user behind the key."""
    key = request.headers.get("Authorization", "")
    user_id = await request.app[POOL].fetchval(OWNER, tutorial.digest(key))
    if user_id is None:
        raise web.HTTPUnauthorized
    return str(user_id)


async def find_video(request: web.Request, user_id: str, job_id: str) -> int:
    video_id = await request.app[POOL].fetchval(VIDEO, user_id, job_id)
    if video_id is None:
        raise web.HTTPNotFound
    return int(video_id)


def text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=None).isoformat()


@routes.get("/api/shared-reports/{share_hash}")
async def view(request: web.Request) -> web.Response:
    row = await request.app[POOL].fetchrow(VIEW, request.match_info["share_hash"])
    if row is None:
        return web.json_response({"detail": "No such shared report."}, status=404)
    expires_at = row["expires_at"]
    if not row["is_active"] or (expires_at is not None and expires_at <= datetime.now(UTC)):
        return web.json_response({"detail": "This link expired."}, status=410)
    return web.json_response(
        {
            "share_hash": row["share_hash"],
            "video": {
                "id": str(row["id"]),
                "job_id": row["job_id"],
                "name": row["name"],
                "status": row["status"],
                "duration": row["duration"],
                "processing_time": row["processing_time"],
                "created_at": text(row["created_at"]),
                "updated_at": text(row["updated_at"]),
                "modules": json.loads(row["modules"]),
            },
            "created_at": text(row["shared_at"]),
        }
    )


@routes.post("/api/shared-reports")
async def create(request: web.Request) -> web.Response:
    user_id = await authenticate(request)
    body = await request.json()
    video_id = await find_video(request, user_id, body["video_id"])
    share_hash, created_at = tutorial.new_share_hash(), datetime.now(UTC).replace(microsecond=0)
    expires_at = body.get("expires_at")
    report_id = await request.app[POOL].fetchval(
        CREATE,
        user_id,
        video_id,
        share_hash,
        expires_at and datetime.fromisoformat(expires_at).replace(tzinfo=UTC),
        created_at,
    )
    return web.json_response(
        {
            "id": str(report_id),
            "user_id": user_id,
            "video_id": str(video_id),
            "share_hash": share_hash,
            "expires_at": expires_at,
            "is_active": 1,
            "created_at": text(created_at),
        },
        status=201,
    )


@routes.get("/api/videos/{job_id}/shared-reports")
async def list_for_video(request: web.Request) -> web.Response:
    user_id = await authenticate(request)
    video_id = await find_video(request, user_id, request.match_info["job_id"])
    rows = await request.app[POOL].fetch(LIST, video_id)
    return web.json_response([as_json(row) for row in rows])


def as_json(row: asyncpg.Record) -> dict[str, Any]:
    return {
        name: text(value) if isinstance(value, datetime) else value for name, value in row.items()
    } | {"id": str(row["id"]), "video_id": str(row["video_id"])}


@routes.delete("/api/shared-reports/{report_id}")
async def revoke(request: web.Request) -> web.Response:
    user_id = await authenticate(request)
    found = await request.app[POOL].fetchval(REVOKE, int(request.match_info["report_id"]), user_id)
    if found is None:
        raise web.HTTPNotFound
    return web.json_response({"ok": True})


async def database(app: web.Application) -> AsyncIterator[None]:
    async with asyncpg.create_pool(sys.argv[2], min_size=10, max_size=10) as app[POOL]:
        yield


def main() -> None:
    app = web.Application()
    app.add_routes(routes)
    app.cleanup_ctx.append(database)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
