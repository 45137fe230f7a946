"""The data that all parties are measured on, made once and kept under ``.bench/``.

A table has so many links, spread over videos that are copies of one real analysis; LISTED has 100
of them, to be listed. Beside them the video MAIN has spares, to be revoked, and gets what is
created.
"""

import base64
import hashlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import servers

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".bench"
SAMPLE = ROOT / "service/cli/samples/street-meadow-car.json"
USER = "550e8400-e29b-41d4-a716-446655440000"
MAIN: str = json.loads(SAMPLE.read_bytes())["job_id"]
LISTED = "listed"
LISTED_LINKS = 100
LINKS_A_VIDEO = 1_000
CREATED_AT = "2025-01-15T10:00:00"
EXPIRES_AT = "2099-01-01T00:00:00"
EXPIRED_AT = "2025-01-15T11:00:00"
FAST = ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000")

_FILE = "bench.sqlite3"
_ACTIVE = """
    SELECT id, share_hash FROM shared_reports
     WHERE id IN (SELECT value FROM json_each(?)) AND video_id > 1
       AND (expires_at IS NULL OR expires_at > datetime())"""
_SPARES = "SELECT id, share_hash FROM shared_reports WHERE video_id = 1"
_EXPIRE = """
    UPDATE shared_reports SET expires_at = ? WHERE id IN (
           SELECT id FROM shared_reports WHERE video_id > 1 ORDER BY id DESC LIMIT ?)"""
_INSERT = """
    INSERT INTO shared_reports (user_id, video_id, share_hash, expires_at, created_at)
    VALUES (?, ?, ?, ?, ?)"""


@dataclass(frozen=True)
class Size:
    """How much is in a table."""

    links: int
    spares: int = 0

    def __str__(self) -> str:
        return f"{self.links}-{self.spares}"

    @property
    def rows(self) -> int:
        return self.links + self.spares


@dataclass(frozen=True)
class Table:
    """A database of the service, in a folder of its own."""

    folder: Path
    size: Size

    @property
    def file(self) -> Path:
        return self.folder / _FILE

    @property
    def key(self) -> str:
        return (self.folder / "key").read_text()

    def copy(self, folder: Path) -> "Table":
        """A copy to write to."""
        shutil.copytree(self.folder, folder)
        return Table(folder, self.size)

    def expire(self, newest: int) -> None:
        """Let so many of the newest links, the spares excepted, be expired."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            _hurry(connection)
            connection.execute(_EXPIRE, (EXPIRED_AT, newest))
            connection.execute("PRAGMA journal_mode = WAL")

    def hashes(self, count: int) -> list[str]:
        """Share hashes of so many links that live, from all over the table; no spares."""
        wanted = int(count * 1.2) * self.size.rows // self.size.links
        ids = random.sample(range(1, self.size.rows + 1), min(wanted, self.size.rows))
        return [share_hash for _, share_hash in self._shuffled(_ACTIVE, json.dumps(ids))][:count]

    def spares(self) -> list[tuple[int, str]]:
        """Ids and hashes of the links to be revoked."""
        return self._shuffled(_SPARES)

    def _shuffled(self, sql: str, *values: object) -> list[tuple[int, str]]:
        with closing(self.connect()) as connection:
            found = connection.execute(sql, values).fetchall()
        random.shuffle(found)
        return found

    def connect(self) -> sqlite3.Connection:
        """A connection that can't write, to look on."""
        return sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True, isolation_level=None)


def make_table(size: Size, checkout: Path = ROOT) -> Table:
    """Return the table of this size with the schema of ``checkout``: a cached or a new one."""

    def make(folder: Path) -> None:
        file = str(folder / _FILE)
        key = service(checkout, "keys", "create", "--user", USER, "--name", "bench", DATABASE=file)
        (folder / "key").write_text(key.strip())
        service(checkout, "import", str(SAMPLE), "--user", USER, DATABASE=file)
        with closing(sqlite3.connect(folder / _FILE, isolation_level=None)) as connection:
            _hurry(connection)
            connection.execute("BEGIN")
            connection.executemany(_copy_video(connection), [(each,) for each in videos(size)])
            connection.executemany(
                _INSERT,
                (
                    (USER, video, share_hash, expires_at, CREATED_AT)
                    for share_hash, video, expires_at in links(size)
                ),
            )
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")

    name = "ours" if checkout == ROOT else checkout.name
    return Table(keep(f"{name}-{size}", make, checkout), size)


def _copy_video(connection: sqlite3.Connection) -> str:
    """The statement that makes another video of the first one, under another job id."""
    columns = [row[1] for row in connection.execute("PRAGMA table_info(videos)")]
    copied = ", ".join(name for name in columns if name not in {"id", "job_id"})
    return f"INSERT INTO videos (job_id, {copied}) SELECT ?, {copied} FROM videos WHERE id = 1"


def _hurry(connection: sqlite3.Connection) -> None:
    for pragma in FAST:
        connection.execute(pragma)


def videos(size: Size) -> list[str]:
    """The job ids of the videos beside MAIN, which is number 1."""
    return [LISTED, *(f"job-{number}" for number in range(size.links // LINKS_A_VIDEO))]


def links(size: Size) -> Iterator[tuple[str, int, str | None]]:
    """Each link's hash, its video's number, and when it expires; in the order of the hashes.

    In that order they go in fast, and to a look-up by hash it makes no difference.
    """
    chance = random.Random(size.rows)
    text = base64.b64encode(chance.randbytes(size.rows * 12), b"AB").decode()
    hashes = sorted(text[start : start + 16] for start in range(0, len(text), 16))
    spares = set(chance.sample(range(size.rows), size.spares))
    others = len(videos(size)) - 1
    place = 0
    for number, share_hash in enumerate(hashes):
        if number in spares:
            yield share_hash, 1, None
        else:
            video = 2 if place < LISTED_LINKS else 3 + place * others // size.links
            yield share_hash, video, EXPIRES_AT if place % 2 else None
            place += 1


def keep(
    name: str,
    make: Callable[[Path], None],
    checkout: Path = ROOT,
    also: Iterable[Path] = (HERE / "pocketbase.py",),
) -> Path:
    """Return the folder of that name that ``make`` has filled, now or in an earlier run.

    It is made again if the schema, this file or one of ``also`` has changed.
    """
    made_by = [checkout / "schema.sql", HERE / "tables.py", *also]
    fingerprint = hashlib.sha256(b"".join(file.read_bytes() for file in made_by)).hexdigest()[:8]
    folder = CACHE / "tables" / f"{name}-{fingerprint}"
    if not folder.exists():
        for old in CACHE.glob(f"tables/{name}-*"):
            shutil.rmtree(old)
        print(f"making {folder.relative_to(ROOT)} …", file=sys.stderr, flush=True)
        partly = folder.with_name("partly")
        shutil.rmtree(partly, ignore_errors=True)
        partly.mkdir(parents=True)
        make(partly)
        partly.rename(folder)
    return folder


def service(checkout: Path, *arguments: str, **settings: str) -> str:
    """Run a command of the service of ``checkout`` to its end; return its output."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=checkout,
        env=servers.environment(settings),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
