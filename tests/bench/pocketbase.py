"""PocketBase with the same data: a collection of links whose view rule checks their expiry.

A link's record id is its share hash, so a view is one look-up by the primary key; in lower case,
for PocketBase looks through all records for the like of a new id that may have capitals. What the
public may not see of a video is not in its record, so a view does not read it. PocketBase syncs to
disk only now and then (``synchronous=NORMAL``), and its log of requests is switched off.
"""

import json
import sqlite3
import subprocess
import urllib.request
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tables
from servers import Server, serving
from tables import Size

PROGRAM = tables.ROOT / ".venv/bench/bin/pocketbase"
_PASSWORD = "pocketbase"
_EMAIL = "bench@example.com"
_OWNER = "owner = @request.auth.id"
_ID = "[a-z0-9]"


@dataclass(frozen=True)
class Access:
    """What a request of the owner's needs."""

    token: str
    user: str
    main: str
    listed: str


def serve(folder: Path, log: Path) -> AbstractContextManager[Server]:
    """PocketBase with its data in ``folder``, as long as the context lasts."""
    command = [str(PROGRAM), "serve", "--http=127.0.0.1:{port}", f"--dir={folder / 'data'}"]
    return serving(command, log, {})


def make_folder(size: Size) -> Path:
    """The folder of PocketBase's data of this size: the one that is kept, or a new one."""

    def make(folder: Path) -> None:
        command = [
            str(PROGRAM),
            "superuser",
            "upsert",
            _EMAIL,
            _PASSWORD,
            f"--dir={folder / 'data'}",
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        with serve(folder, folder / "log") as server:
            user = _set_up(server)
        with closing(sqlite3.connect(folder / "data/data.db", isolation_level=None)) as connection:
            _fill(connection, size, user)

    return tables.keep(f"pocketbase-{size}", make)


def log_in(server: Server, collection: str = "users") -> Access:
    """Log the owner in."""
    path = f"collections/{collection}/auth-with-password"
    answer = _call(server, "POST", path, {"identity": _EMAIL, "password": _PASSWORD})
    return Access(answer["token"], answer["record"]["id"], _video_id(1), _video_id(2))


def _set_up(server: Server) -> str:
    """Make the collections and the owner; returns the owner's id."""
    token = log_in(server, "_superusers").token
    _call(server, "PATCH", "settings", {"logs": {"maxDays": 0}}, token)
    videos = _call(server, "POST", "collections", _VIDEOS, token)
    links = _links(videos["id"])
    _call(server, "POST", "collections", links, token)
    password = {"password": _PASSWORD, "passwordConfirm": _PASSWORD}
    owner = {"email": _EMAIL} | password
    made = _call(server, "POST", "collections/users/records", owner, token)
    return str(made["id"])


def _text(name: str) -> dict[str, Any]:
    return {"name": name, "type": "text"}


_OWNED = {
    "name": "owner",
    "type": "relation",
    "collectionId": "_pb_users_auth_",
    "required": True,
    "maxSelect": 1,
}
_VIDEOS = {
    "name": "videos",
    "type": "base",
    "viewRule": "",
    "fields": [
        *map(_text, ("job_id", "name", "status", "shot_at", "changed_at")),
        {"name": "duration", "type": "number"},
        {"name": "processing_time", "type": "number"},
        {"name": "modules", "type": "json"},
        _OWNED | {"hidden": True},
    ],
}


def _links(videos: str) -> dict[str, Any]:
    return {
        "name": "shared_reports",
        "type": "base",
        "viewRule": 'expires_at = "" || expires_at > @now',
        "createRule": f"{_OWNER} && video.{_OWNER}",
        "listRule": _OWNER,
        "deleteRule": _OWNER,
        "fields": [
            {
                **_text("id"),
                "system": True,
                "primaryKey": True,
                "required": True,
                "min": 16,
                "max": 16,
                "pattern": f"^{_ID}+$",
                "autogeneratePattern": f"{_ID}{{16}}",
            },
            {
                "name": "video",
                "type": "relation",
                "collectionId": videos,
                "required": True,
                "maxSelect": 1,
            },
            _OWNED,
            {"name": "expires_at", "type": "date"},
            {"name": "created", "type": "autodate", "onCreate": True},
        ],
        "indexes": ["CREATE INDEX links_by_video ON shared_reports (video, created)"],
    }


def _fill(connection: sqlite3.Connection, size: Size, user: str) -> None:
    """Straight into its file; by its API a million links would take the best part of an hour."""
    sample = json.loads(tables.SAMPLE.read_bytes())
    modules = sorted({segment["module"] for segment in sample["segments"]})
    for pragma in tables.FAST:
        connection.execute(pragma)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO videos (id, job_id, name, status, shot_at, changed_at, duration,"
        " processing_time, modules, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                _video_id(number),
                job_id,
                sample["video_name"],
                sample["status"],
                tables.CREATED_AT,
                tables.CREATED_AT,
                sample["duration"],
                sample["processing_time"],
                json.dumps(modules),
                user,
            )
            for number, job_id in enumerate((tables.MAIN, *tables.videos(size)), 1)
        ),
    )
    created = _moment(tables.CREATED_AT)
    connection.executemany(
        "INSERT INTO shared_reports (id, video, owner, expires_at, created) VALUES (?, ?, ?, ?, ?)",
        (
            (record_id(share_hash), _video_id(video), user, _moment(expires_at), created)
            for share_hash, video, expires_at in tables.links(size)
        ),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")


def record_id(share_hash: str) -> str:
    """The record of a link."""
    return share_hash.lower()


def _video_id(number: int) -> str:
    return f"video{number:010}"


def _moment(text: str | None) -> str:
    return f"{text.replace('T', ' ')}.000Z" if text else ""


def _call(server: Server, method: str, path: str, body: object, token: str = "") -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/api/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": token},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)
