"""Who is measured, and how each is asked for the same things.

``ours`` is the service as it is shipped, ``unobserved`` the same without logs and metrics, and a
path is the service of another checkout. ``naive`` and ``fastapi`` are written as tutorials do it.
``ours-postgresql`` and ``naive-postgresql`` are the same two on PostgreSQL.
"""

import itertools
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pocketbase
import postgres
from load import Stream
from servers import Server, serving
from tables import HERE, LISTED, MAIN, ROOT, Size, Table, make_table

PEERS = ("naive", "fastapi", "pocketbase", "naive-postgresql")
NAMES = ("limit", "ours", "ours-postgresql", *PEERS)
ROUTES = {
    "view": ("GET", "/api/shared-reports/{share_hash}"),
    "create": ("POST", "/api/shared-reports"),
    "list": ("GET", "/api/videos/{job_id}/shared-reports"),
    "revoke": ("DELETE", "/api/shared-reports/{report_id}"),
    "page": ("GET", "/r/{share_hash}"),
    "qr": ("GET", "/r/{share_hash}/qr.svg"),
    "csv": ("GET", "/r/{share_hash}/analysis.csv"),
    "segments": ("GET", "/api/shared-reports/{share_hash}/segments"),
}
"""What the limit serves: our routes, by the kinds of their requests."""

_UNLIMITED = {"LOOKUP_RATE_LIMIT": "off", "CREATE_RATE_LIMIT": "off"}
"""Settings of the service: all the load has one address and one key."""

_BENCH_PYTHON = ROOT / ".venv/bench/bin/python"


def http(method: str, path: str, body: object = None, **headers: str) -> str:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    text = ""
    if body is not None:
        text = json.dumps(body)
        lines += ["Content-Type: application/json", f"Content-Length: {len(text)}"]
    return "\r\n".join([*lines, "", text])


class Api:
    """Our requests, which the peers in Python and the limit understand as well."""

    def __init__(self, key: str, spares: list[str] | None) -> None:
        self._key = key
        self._once = spares is not None
        self._spares = itertools.cycle(["1"]) if spares is None else iter(spares)

    def views(self, hashes: list[str], status: int = 200) -> Stream:
        return Stream("view", status, http("GET", "/api/shared-reports/{}"), hashes)

    def renderings(self, kind: str, hashes: list[str]) -> Stream:
        """What is rendered of a report: a page, as a browser asks for it, or one of the rest."""
        method, path = ROUTES[kind]
        headers = {"Accept-Encoding": "gzip"} if kind == "page" else {}
        return Stream(
            kind, 200, http(method, path.replace("{share_hash}", "{}"), **headers), hashes
        )

    def creates(self, expires_at: str | None = None) -> Stream:
        body = {"video_id": MAIN} | ({"expires_at": expires_at} if expires_at else {})
        request = http("POST", "/api/shared-reports", body, Authorization=self._key)
        return Stream("create", 201, request)

    def lists(self) -> Stream:
        path = f"/api/videos/{LISTED}/shared-reports"
        return Stream("list", 200, http("GET", path, Authorization=self._key))

    def revokes(self, count: int) -> Stream:
        request = http("DELETE", "/api/shared-reports/{}", Authorization=self._key)
        return Stream("revoke", 200, request, self._take(count), once=self._once)

    def _take(self, count: int) -> list[str]:
        """Links that nobody has revoked yet."""
        taken = list(itertools.islice(self._spares, count))
        if len(taken) < count:
            sys.exit("there are not spares enough for so many rounds")
        return taken


class PocketBaseApi(Api):
    """The same in PocketBase's words."""

    _PATH = "/api/collections/shared_reports/records"

    def __init__(self, access: pocketbase.Access, spares: list[str]) -> None:
        super().__init__(access.token, spares)
        self._access = access

    def views(self, hashes: list[str], status: int = 200) -> Stream:
        ids = list(map(pocketbase.record_id, hashes))
        return Stream("view", status, http("GET", f"{self._PATH}/{{}}?expand=video"), ids)

    def creates(self, expires_at: str | None = None) -> Stream:
        body = {"video": self._access.main, "owner": self._access.user}
        body |= {"expires_at": expires_at} if expires_at else {}
        return Stream("create", 200, http("POST", self._PATH, body, Authorization=self._key))

    def lists(self) -> Stream:
        query = f"?filter=video%3D'{self._access.listed}'&sort=-created&perPage=100&skipTotal=1"
        return Stream("list", 200, http("GET", f"{self._PATH}{query}", Authorization=self._key))

    def revokes(self, count: int) -> Stream:
        request = http("DELETE", f"{self._PATH}/{{}}", Authorization=self._key)
        return Stream("revoke", 204, request, self._take(count), once=True)


@dataclass(frozen=True)
class Party:
    """A server that is running, and how to ask it."""

    server: Server
    api: Api


@contextmanager
def serve(name: str, size: Size, folder: Path, *, writes: bool = True) -> Iterator[Party]:
    """Serve data of this size as the party does it: a copy, unless it is only to be read.

    The copy and the log lie in ``folder``.
    """
    table = make_table(size, Path(name)) if "/" in name else make_table(size)
    home = folder / f"{name.replace('/', '_')}-{size}"
    if name in postgres.PARTIES:
        with (
            postgres.serve_data(size, home, writes=writes) as stored,
            serve_data(name, table, stored, home) as party,
        ):
            yield party
        return
    if name != "pocketbase":
        with serve_table(name, table.copy(home) if writes else table, home) as party:
            yield party
        return
    kept = pocketbase.make_folder(size)
    data = shutil.copytree(kept, home) if writes else kept
    spares = [pocketbase.record_id(share_hash) for _, share_hash in table.spares()]
    with pocketbase.serve(data, home.with_suffix(".log")) as server:
        yield Party(server, PocketBaseApi(pocketbase.log_in(server), spares))


@contextmanager
def serve_table(name: str, table: Table, home: Path) -> Iterator[Party]:
    """Serve this very table."""
    settings = {"DATABASE": str(table.file)}
    cwd = ROOT
    match name:
        case "ours":
            command = [sys.executable, "-m", "service", "serve"]
        case "unobserved":
            command = [sys.executable, str(HERE / "unobserved.py"), "serve"]
        case "naive":
            command = [sys.executable, str(HERE / "naive.py"), "{port}", str(table.file)]
        case "fastapi":
            command = [str(_BENCH_PYTHON), str(HERE / "with_fastapi.py"), "{port}", str(table.file)]
        case _:
            command = [sys.executable, "-m", "service", "serve"]
            cwd = Path(name)
            if not (cwd / "service").is_dir():
                sys.exit(f"{name} is neither one of {', '.join(NAMES)} nor a checkout")
    if name not in {"naive", "fastapi"}:
        is_old = not (cwd / "service/security").is_dir()  # 0.1.0 has other names
        settings |= dict.fromkeys(("GUESSES", "CREATES"), "off") if is_old else _UNLIMITED
    api = Api(table.key, [str(number) for number, _ in table.spares()])
    with serving(command, home.with_suffix(".log"), settings, cwd) as server:
        yield Party(server, api)


@contextmanager
def serve_data(name: str, table: Table, data: postgres.Data, home: Path) -> Iterator[Party]:
    """Serve PostgreSQL's copy of the table: the links have the same ids and hashes there."""
    if name == "ours-postgresql":
        command = [sys.executable, "-m", "service", "serve"]
    else:
        command = [sys.executable, str(HERE / "naive_postgresql.py"), "{port}", data.address]
    settings = {"DATABASE": data.address, **_UNLIMITED}
    api = Api(data.key, [str(number) for number, _ in table.spares()])
    with serving(command, home.with_suffix(".log"), settings, ROOT) as server:
        yield Party(server, api)


@contextmanager
def serve_limit(routes: list[tuple[str, int, int]], key: str, folder: Path) -> Iterator[Party]:
    """Serve routes by their kind, status and size, in constant bytes.

    It is asked what we are asked, but does not mind to revoke one link again and again.
    """
    given = json.dumps([(*ROUTES[kind], status, size) for kind, status, size in routes])
    command = [sys.executable, str(HERE / "limit.py"), "{port}", given]
    with serving(command, folder / "limit.log", {}) as server:
        yield Party(server, Api(key, None))
