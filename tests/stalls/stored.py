"""What the worst requests find in the database: as much as the API's bounds allow."""

import json
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from support.process import request

KIB, MIB = 2**10, 2**20
EXPORT_MAX = 32 * MIB
SEGMENTS = 100_000
MODULES = [f"module {number:03}".ljust(40, "m") for number in range(499)]
CREATED = "2025-01-01T00:00:00"


def longest_names() -> list[str]:
    """200 names of 24,000 bytes in JSON, that no compression makes much shorter."""
    letters = [chr(number) for number in range(0x20, 0x7F) if chr(number) not in '"\\']
    return ["".join(Random(number).choices(letters, k=116)) for number in range(200)]


def segment(number: int, module: str, content: str, metadata: object = None) -> bytes:
    value = {"module": module, "start_time": number, "end_time": number + 2, "content": content}
    return json.dumps(value | {"metadata": metadata}, ensure_ascii=False).encode()


def export(segments: Iterable[bytes], name: str = "worst") -> bytes:
    """An export with as many of the segments as fit into a body."""
    body = bytearray(b'{"status":"completed","name":%b,"segments":[' % json.dumps(name).encode())
    for text in segments:
        if len(body) + len(text) > EXPORT_MAX - 3:
            break
        body += text + b","
    return bytes(body[:-1] + b"]}")


def film() -> bytes:
    """As many segments and modules as may be, one of them speech, with numbers to draw."""
    modules = [*MODULES, "transcription"]
    return export(
        segment(n // 10, modules[n % 500], "x" * 130, {"a": n % 7, "b": n % 11 / 3, "speaker": "S"})
        for n in range(SEGMENTS)
    )


def names() -> bytes:
    """Names of modules of as many bytes as may be, and the longest name of a video."""
    return export((segment(n, name, "") for n, name in enumerate(MODULES)), "\u00fc" * 1_000)


def numbers() -> bytes:
    """Metadata of as many numbers as fit, in a module for each half."""
    many = {f"{n:x}": n % 3 for n in range(9_990)}
    return export(segment(n, f"m{n % 2}", "", many | {"n": n}) for n in range(10_000))


def formulas() -> bytes:
    """Text that a CSV escapes most."""
    text = ";=" * (MIB // 2 - 20)
    return export(segment(n, "m", text, {"a": text}) for n in range(100))


def speech() -> bytes:
    """Captions of as many characters as fit, all of them escaped."""
    return export(
        segment(n, "transcription", "<" * 200, {"speaker": "&" * 50}) for n in range(SEGMENTS)
    )


def deep() -> bytes:
    """Segments whose metadata is as deep and as large as may be."""
    value: Any = "<" * 1_000
    for _ in range(28):
        value = {"\u00fc": value, "list": [[], {}, None, True]}
    many: list[list[int]] = [[] for _ in range(9_000)]
    return export(segment(n, "m", "", {"deep": value, "many": many}) for n in range(SEGMENTS))


def brackets() -> bytes:
    """As many arrays as an export may hold."""
    many: list[list[int]] = [[] for _ in range(9_990)]
    return export(segment(n, "m", "", many) for n in range(200))


@dataclass
class Stored:
    """A served database with the videos above, each with links; the key of its owner."""

    url: str
    database: Path
    key: str
    links: int
    """Links of a video that has many."""
    hashes: dict[str, str] = field(default_factory=dict)
    """The share hash of a link, by the video and what is special of the link."""
    fresh: Any = field(default_factory=count)
    """Numbers for new names."""

    def call(self, method: str, path: str, body: object = None) -> Any:
        status, answer = request(method, f"{self.url}{path}", body, Authorization=self.key)
        assert status in {200, 201, 202}, answer
        return json.loads(answer)

    def share(self, video: str, **settings: Any) -> Any:
        return self.call("POST", "/api/shared-reports", {"video_id": video} | settings)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def sql(self, *statements: str, **values: object) -> None:
        with closing(sqlite3.connect(self.database, timeout=20)) as connection, connection:
            for statement in statements:
                connection.execute(statement, values)

    def small_video(self) -> str:
        """Put another video; returns its job id."""
        job_id = f"small{next(self.fresh)}"
        self.call("PUT", f"/api/videos/{job_id}", export([segment(0, "m", "x")]))
        return job_id

    def video_with_links(self) -> str:
        """Put another video, with as many links as the table is filled with; returns its job id."""
        job_id = self.small_video()
        self.sql(
            "INSERT INTO shared_reports (user_id, video_id, share_hash, label, note, created_at)"
            " WITH RECURSIVE link(n) AS"
            " (SELECT 1 UNION ALL SELECT n + 1 FROM link WHERE n < :count)"
            " SELECT user_id, id, 'Filled' || id || 'x' || n, :label, :note, :now FROM link, videos"
            " WHERE job_id = :job_id",
            count=self.links,
            label="\u00fc" * 200,
            note="\u00fc" * 500,
            now=CREATED,
            job_id=job_id,
        )
        time.sleep(1.5)  # the service moves this from the log into the database
        self.share(job_id)
        return job_id

    def fill(self) -> None:
        """Store all that the cases ask for."""
        for make in (film, names, numbers, formulas, speech, deep):
            name = make.__name__
            self.call("PUT", f"/api/videos/{name}", make())
            self.hashes[name] = self.share(name)["share_hash"]
        for video in ("film", "names"):
            restricted = self.share(video, modules=MODULES[-200:])
            self.hashes[f"{video}, restricted"] = restricted["share_hash"]
        protected = self.share("film", password="secret", max_views=10**6)
        self.hashes["protected"] = protected["share_hash"]
        for video in ("links", "probe"):
            self.call("PUT", f"/api/videos/{video}", export([segment(0, "m", "x")]))
        self._fill_pages()
        self._store_former_modules()

    def _fill_pages(self) -> None:
        """A page of links and one of videos with the longest fields; all keys of a user."""
        longest = json.dumps(longest_names())
        self.sql(
            "UPDATE videos SET selected_insights = :names, project_id = :project"
            " WHERE job_id = 'names'",
            names=json.dumps(longest_names()[:180]),
            project="\x01" * 200,
        )
        columns = (
            "user_id, name, status, selected_insights, project_id, created_at, updated_at, modules"
        )
        self.sql(
            f"INSERT INTO videos (job_id, public_fields_json, {columns})"
            " WITH RECURSIVE video(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM video WHERE n < 400)"
            f" SELECT 'copy' || n, public_fields_json, {columns} FROM video, videos"
            " WHERE job_id = 'names'",
            "INSERT INTO shared_reports"
            " (user_id, video_id, share_hash, label, note, modules, created_at)"
            " WITH RECURSIVE link(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM link WHERE n < 400)"
            " SELECT user_id, id, 'Longest' || n, :text, :text, :names, :now FROM link, videos"
            " WHERE job_id = 'links'",
            "INSERT INTO api_keys (user_id, name, key_prefix, digest, created_at)"
            " WITH RECURSIVE key(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM key WHERE n < 900)"
            " SELECT user_id, :text, 'lvz_live_x', printf('%064d', n), :now FROM key,"
            " (SELECT user_id FROM api_keys LIMIT 1)",
            text="\U0001f3ac" * 200,
            names=longest,
            now=CREATED,
        )

    def _store_former_modules(self) -> None:
        """A video of 100,000 modules, as it could be stored before their number had a bound."""
        job_id = self.small_video()
        modules = [f"module {n}" for n in range(SEGMENTS)]
        self.sql(
            "UPDATE videos SET modules = :modules WHERE job_id = :job_id",
            modules=json.dumps(modules, separators=(",", ":")),
            job_id=job_id,
        )
        self.hashes["former"] = self.share(job_id)["share_hash"]
        restricted = self.share(job_id, modules=modules[-200:])
        self.hashes["former, restricted"] = restricted["share_hash"]
