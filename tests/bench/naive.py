"""The service as tutorials on aiohttp and aiosqlite write it. Called with a port and a file."""

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiosqlite
import tutorial
import uvloop
from aiohttp import web

DB = web.AppKey("DB", aiosqlite.Connection)
routes = web.RouteTableDef()


async def fetch_one(request: web.Request, sql: str, *values: object) -> aiosqlite.Row | None:
    async with request.app[DB].execute(sql, values) as cursor:
        return await cursor.fetchone()


async def authenticate(request: web.Request) -> str:
    """The user behind the key."""
    key = request.headers.get("Authorization", "")
    row = await fetch_one(request, tutorial.OWNER, tutorial.digest(key))
    if row is None:
        raise web.HTTPUnauthorized
    return str(row["user_id"])


async def find_video(request: web.Request, user_id: str, job_id: str) -> int:
    row = await fetch_one(request, tutorial.VIDEO, user_id, job_id)
    if row is None:
        raise web.HTTPNotFound
    return int(row["id"])


@routes.get("/api/shared-reports/{share_hash}")
async def view(request: web.Request) -> web.Response:
    row = await fetch_one(request, tutorial.VIEW, request.match_info["share_hash"])
    if row is None:
        return web.json_response({"detail": "No such shared report."}, status=404)
    expires_at = row["expires_at"]
    if not row["is_active"] or (expires_at is not None and expires_at <= tutorial.now()):
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
                "created_at": row["created_at"],
                "updated_at": row["updated_at"],
                "modules": json.loads(row["modules"]),
            },
            "created_at": row["shared_at"],
        }
    )


@routes.post("/api/shared-reports")
async def create(request: web.Request) -> web.Response:
    user_id = await authenticate(request)
    body = await request.json()
    video_id = await find_video(request, user_id, body["video_id"])
    share_hash, created_at = tutorial.new_share_hash(), tutorial.now()
    expires_at = body.get("expires_at")
    db = request.app[DB]
    cursor = await db.execute(
        tutorial.CREATE, (user_id, video_id, share_hash, expires_at, created_at)
    )
    await db.commit()
    return web.json_response(
        {
            "id": str(cursor.lastrowid),
            "user_id": user_id,
            "video_id": str(video_id),
            "share_hash": share_hash,
            "expires_at": expires_at,
            "is_active": 1,
            "created_at": created_at,
        },
        status=201,
    )


@routes.get("/api/videos/{job_id}/shared-reports")
async def list_for_video(request: web.Request) -> web.Response:
    user_id = await authenticate(request)
    video_id = await find_video(request, user_id, request.match_info["job_id"])
    async with request.app[DB].execute(tutorial.LIST, (video_id,)) as cursor:
        rows = await cursor.fetchall()
    return web.json_response([as_json(row) for row in rows])


def as_json(row: aiosqlite.Row) -> dict[str, Any]:
    return dict(row) | {"id": str(row["id"]), "video_id": str(row["video_id"])}


@routes.delete("/api/shared-reports/{report_id}")
async def revoke(request: web.Request) -> web.Response:
    user_id = await authenticate(request)
    db = request.app[DB]
    cursor = await db.execute(tutorial.REVOKE, (request.match_info["report_id"], user_id))
    await db.commit()
    if cursor.rowcount == 0:
        raise web.HTTPNotFound
    return web.json_response({"ok": True})


async def database(app: web.Application) -> AsyncIterator[None]:
    app[DB] = await tutorial.connect(sys.argv[2])
    yield
    await app[DB].close()


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
