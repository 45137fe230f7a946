"""The service as tutorials on FastAPI and aiosqlite write it. Called with a port and a file."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiosqlite
import tutorial
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel


class PublicVideo(BaseModel):
    id: str
    job_id: str
    name: str
    status: str
    duration: float | None
    processing_time: float | None
    created_at: str
    updated_at: str
    modules: list[str]


class PublicReport(BaseModel):
    share_hash: str
    video: PublicVideo
    created_at: str


class NewSharedReport(BaseModel):
    video_id: str
    expires_at: str | None = None


class SharedReport(BaseModel):
    id: str
    user_id: str
    video_id: str
    share_hash: str
    expires_at: str | None
    is_active: int
    created_at: str


class Done(BaseModel):
    ok: bool = True


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.db = await tutorial.connect(sys.argv[2])
    yield
    await app.state.db.close()


app = FastAPI(lifespan=lifespan)


async def get_db(request: Request) -> aiosqlite.Connection:
    db: aiosqlite.Connection = request.app.state.db
    return db


Db = Annotated[aiosqlite.Connection, Depends(get_db)]


async def fetch_one(db: Db, sql: str, *values: object) -> aiosqlite.Row | None:
    async with db.execute(sql, values) as cursor:
        return await cursor.fetchone()


async def authenticate(db: Db, authorization: Annotated[str, Header()]) -> str:
    """The user behind the key."""
    row = await fetch_one(db, tutorial.OWNER, tutorial.digest(authorization))
    if row is None:
        raise HTTPException(401)
    return str(row["user_id"])


UserId = Annotated[str, Depends(authenticate)]


async def find_video(db: Db, user_id: str, job_id: str) -> int:
    row = await fetch_one(db, tutorial.VIDEO, user_id, job_id)
    if row is None:
        raise HTTPException(404)
    return int(row["id"])


@app.get("/api/shared-reports/{share_hash}")
async def view(share_hash: str, db: Db) -> PublicReport:
    row = await fetch_one(db, tutorial.VIEW, share_hash)
    if row is None:
        raise HTTPException(404, "No such shared report.")
    expires_at = row["expires_at"]
    if not row["is_active"] or (expires_at is not None and expires_at <= tutorial.now()):
        raise HTTPException(410, "This link expired.")
    video = dict(row) | {"id": str(row["id"]), "modules": json.loads(row["modules"])}
    return PublicReport(
        share_hash=row["share_hash"], video=PublicVideo(**video), created_at=row["shared_at"]
    )


@app.post("/api/shared-reports", status_code=201)
async def create(new: NewSharedReport, user_id: UserId, db: Db) -> SharedReport:
    video_id = await find_video(db, user_id, new.video_id)
    share_hash, created_at = tutorial.new_share_hash(), tutorial.now()
    cursor = await db.execute(
        tutorial.CREATE, (user_id, video_id, share_hash, new.expires_at, created_at)
    )
    await db.commit()
    return SharedReport(
        id=str(cursor.lastrowid),
        user_id=user_id,
        video_id=str(video_id),
        share_hash=share_hash,
        expires_at=new.expires_at,
        is_active=1,
        created_at=created_at,
    )


@app.get("/api/videos/{job_id}/shared-reports")
async def list_for_video(job_id: str, user_id: UserId, db: Db) -> list[SharedReport]:
    video_id = await find_video(db, user_id, job_id)
    async with db.execute(tutorial.LIST, (video_id,)) as cursor:
        rows = await cursor.fetchall()
    return [SharedReport(**as_json(row)) for row in rows]


def as_json(row: aiosqlite.Row) -> dict[str, Any]:
    return dict(row) | {"id": str(row["id"]), "video_id": str(row["video_id"])}


@app.delete("/api/shared-reports/{report_id}")
async def revoke(report_id: int, user_id: UserId, db: Db) -> Done:
    cursor = await db.execute(tutorial.REVOKE, (report_id, user_id))
    await db.commit()
    if cursor.rowcount == 0:
        raise HTTPException(404)
    return Done()


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
