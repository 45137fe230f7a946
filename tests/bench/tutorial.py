"""What the peers written by the book have in common: their SQL, on our schema with our PRAGMAs."""

import hashlib
import secrets
import string
from datetime import UTC, datetime

import aiosqlite

VIEW = """
    SELECT r.share_hash, r.expires_at, r.is_active, r.created_at AS shared_at, v.id, v.job_id,
           v.name, v.status, v.duration, v.processing_time, v.created_at, v.updated_at, v.modules
      FROM shared_reports r JOIN videos v ON v.id = r.video_id
     WHERE r.share_hash = ?"""
OWNER = "SELECT user_id FROM api_keys WHERE digest = ? AND is_active = 1"
VIDEO = "SELECT id FROM videos WHERE user_id = ? AND job_id = ?"
CREATE = """
    INSERT INTO shared_reports (user_id, video_id, share_hash, expires_at, created_at)
    VALUES (?, ?, ?, ?, ?)"""
LIST = "SELECT * FROM shared_reports WHERE video_id = ? ORDER BY id DESC"
REVOKE = "DELETE FROM shared_reports WHERE id = ? AND user_id = ?"

_ALPHABET = string.ascii_letters + string.digits
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA trusted_schema = OFF",
)


async def connect(path: str) -> aiosqlite.Connection:
    """The one connection that all requests share."""
    db = await aiosqlite.connect(path)
    db.row_factory = aiosqlite.Row
    for pragma in _PRAGMAS:
        await db.execute(pragma)
    return db


def now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def new_share_hash() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
