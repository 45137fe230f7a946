"""The links of ``tables`` in PostgreSQL: each party has a server of its own, on the load's core.

The server is the one of the tests' package, with its default settings but for a larger cache:
``fsync`` and ``synchronous_commit`` are on. Its files are on the disk of ``.bench/``, and parties
reach it over TCP.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import asyncpg
from servers import free_port
from tables import (
    CREATED_AT,
    EXPIRED_AT,
    ROOT,
    SAMPLE,
    USER,
    Size,
    keep,
    links,
    service,
    videos,
)

sys.path.insert(0, str(Path(__file__).parent.parent))

from support import postgresql
from support.postgresql import PostgresServer

PARTIES = ("ours-postgresql", "naive-postgresql")
"""Who stores in PostgreSQL."""

_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # bytes
_SETTINGS = {
    "shared_buffers": f"{_MEMORY // 4 // 2**20}MB",  # a quarter, as PostgreSQL's manual advises
    "max_wal_size": "4GB",
}
_HURRY = {"fsync": "off", "autovacuum": "off", "maintenance_work_mem": "256MB"}
_CHUNK = 10_000  # lines of a COPY
_NULL = r"\N"  # in a COPY
_COLUMNS = ("user_id", "video_id", "share_hash", "expires_at", "created_at")
_COPY_VIDEOS = """
    INSERT INTO videos (job_id, {columns})
    SELECT job, {columns} FROM unnest($1::text[]) WITH ORDINALITY AS each (job, number), videos
     WHERE videos.id = 1 ORDER BY number"""
_COLUMNS_OF_VIDEOS = """
    SELECT string_agg(column_name, ', ') FROM information_schema.columns
     WHERE table_name = 'videos' AND column_name NOT IN ('id', 'job_id')"""
_EXPIRE = f"""
    UPDATE shared_reports SET expires_at = '{EXPIRED_AT}+00' WHERE id IN (
           SELECT id FROM shared_reports WHERE video_id > 1 ORDER BY id DESC LIMIT $1)"""
_LEFT = "SELECT 1 FROM shared_reports WHERE is_active AND expires_at <= now() LIMIT 1"


class Data:
    """A database of the service in a running server."""

    def __init__(self, server: PostgresServer, key: str) -> None:
        self.server = server
        self.key = key
        self.address = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"

    def expire(self, newest: int) -> None:
        """Let so many of the newest links, the spares excepted, be expired."""
        for statement, values in ((_EXPIRE, (newest,)), ("VACUUM ANALYZE", ()), ("CHECKPOINT", ())):
            asyncio.run(_execute(self.address, statement, *values))

    def has_expired(self) -> bool:
        """Whether a link that has expired is still active."""
        return bool(asyncio.run(_execute(self.address, _LEFT)))


def version() -> str:
    """PostgreSQL's version."""
    shown = subprocess.run(
        postgresql.command("postgres", "--version"), capture_output=True, text=True, check=True
    ).stdout
    return shown.split()[-1]


@contextmanager
def serve_data(size: Size, home: Path, *, writes: bool) -> Iterator[Data]:
    """Run a server with links of this size: a copy in ``home``, unless it is only to be read."""
    kept = make_data(size)
    folder = kept
    if writes:
        folder = shutil.copytree(kept, home)
        _give_to_server(folder)
    with _started(folder, **_SETTINGS) as server:
        yield Data(server, (folder / "key").read_text())


def make_data(size: Size) -> Path:
    """Return the folder with the files of a server: cached ones or new ones."""

    def make(folder: Path) -> None:
        _give_to_server(folder)
        postgresql.initialize(folder)
        with _started(folder, **_HURRY) as server:
            address = Data(server, "").address
            made = service(ROOT, *_KEYS, DATABASE=address)
            (folder / "key").write_text(made.strip())
            service(ROOT, "import", str(SAMPLE), "--user", USER, DATABASE=address)
            asyncio.run(_fill(address, size))

    schema = ROOT / "service/repositories/postgresql/schema.sql"
    return keep(f"postgresql-{size}", make, also=(schema, Path(__file__)))


_KEYS = ("keys", "create", "--user", USER, "--name", "bench")


@contextmanager
def _started(folder: Path, **settings: object) -> Iterator[PostgresServer]:
    with postgresql.started(
        folder, port=free_port(), listen_addresses="127.0.0.1", **settings
    ) as server:
        yield server


def _give_to_server(folder: Path) -> None:
    """Let the server use the folder: it rejects root, and runs as another user then."""
    user = postgresql.other_user()
    if not user:
        return
    folder.parent.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user["user"], user["group"], follow_symlinks=False)


async def _fill(address: str, size: Size) -> None:
    connection = await asyncpg.connect(address)
    columns = await connection.fetchval(_COLUMNS_OF_VIDEOS)
    await connection.execute(_COPY_VIDEOS.format(columns=columns), videos(size))
    await connection.copy_to_table("shared_reports", source=_lines(size), columns=_COLUMNS)
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def _lines(size: Size) -> AsyncIterator[bytes]:
    """The links as COPY reads them."""
    rows = links(size)
    while chunk := list(islice(rows, _CHUNK)):
        yield "".join(
            f"{USER}\t{video}\t{share_hash}\t{expires_at or _NULL}\t{CREATED_AT}\n"
            for share_hash, video, expires_at in chunk
        ).encode()


async def _execute(address: str, statement: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(address)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(statement, *values)
    finally:
        await connection.close()
    return rows
