"""What requests a second don't show: sweeps, memory, lag, starts, a great PUT. Of ours only."""

import http.client
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import parties
import postgres
from line_ups import CONNECTIONS, SIZES
from load import Job, Round
from parties import Party
from rounds import Bench, ask, loading
from scenarios import MANY, VIEWED
from tables import SAMPLE, Table, make_table

SEGMENTS = 100_000

_MILLION = 1_000_000
_PATIENCE = 600.0
_LEFT = "SELECT 1 FROM shared_reports WHERE is_active = 1 AND expires_at <= ? LIMIT 1"

Figures = dict[str, float]


@dataclass(frozen=True)
class Swept:
    """A sweep under load: views all the time, and creates over one connection beside them."""

    seconds: float
    during: Round
    after: Round
    """Views with the sweep, and without."""
    creates: Round
    """With the sweep."""
    peak: float


def sweep(bench: Bench) -> Figures:
    """Many expired links are found at the start; nobody, or many, view meanwhile."""
    expired = 100_000 if bench.quick else _MILLION
    figures = {"sweep, idle": _swept_idle(bench, expired) * _MILLION / expired}
    peaks = []
    for connections in (CONNECTIONS,) if bench.quick else (1, CONNECTIONS, 256):
        swept = _swept(bench, "1 M", expired, connections)
        figures |= {
            f"sweep, {connections} viewers": swept.seconds * _MILLION / expired,
            f"view p99 during sweep, {connections} viewers": swept.during.all.p99,
            f"view p99 after sweep, {connections} viewers": swept.after.all.p99,
            f"views a second during sweep, {connections} viewers": _rate(swept.during),
            f"views a second after sweep, {connections} viewers": _rate(swept.after),
            f"longest create during sweep, {connections} viewers": swept.creates.all.longest,
        }
        peaks.append(swept.peak)
    return figures | {"peak at 1 M": max(peaks)}


def memory(bench: Bench) -> Figures:
    """The peak after a sweep, views and creates with many links in the table."""
    return {"peak at 10 M": _swept(bench, "10 M", _MILLION, 256).peak}


def sweep_postgresql(bench: Bench) -> Figures:
    """Many expired links in PostgreSQL are found at the start; nobody views meanwhile."""
    expired = 100_000 if bench.quick else _MILLION
    home = bench.folder / "expired-postgresql"
    with postgres.serve_data(SIZES["1 M"], home, writes=True) as data:
        data.expire(expired)
        table = make_table(SIZES["1 M"])
        with parties.serve_data("ours-postgresql", table, data, home) as party:
            began = time.monotonic()
            while data.has_expired():
                if time.monotonic() - began > _PATIENCE:
                    sys.exit("expired links stay active")
                time.sleep(0.2)
            seconds = time.monotonic() - began
            return {
                "PostgreSQL: sweep, idle": seconds * _MILLION / expired,
                "PostgreSQL: peak after the sweep": party.server.peak(),
            }


def _rate(done: Round) -> float:
    return done.all.count / done.seconds


def _expired(bench: Bench, size: str, count: int) -> Table:
    """A copy of a table in which so many expired links have still to be deactivated."""
    table = make_table(SIZES[size]).copy(bench.folder / f"expired-{time.monotonic_ns()}")
    table.expire(count)
    os.sync()  # else the service's first sync writes all of the copy, and a create waits for it
    return table


def _swept_idle(bench: Bench, expired: int) -> float:
    table = _expired(bench, "1 M", expired)
    with parties.serve_table("ours", table, table.folder):
        began = time.monotonic()
        _wait(table, datetime.now(UTC))
        return time.monotonic() - began


def _swept(bench: Bench, size: str, expired: int, connections: int) -> Swept:
    table = _expired(bench, size, expired)
    spares = [share_hash for _, share_hash in table.spares()]
    hashes = spares or table.hashes(VIEWED)
    with parties.serve_table("ours", table, table.folder) as party, loading() as beside:
        began = time.monotonic()  # the sweep began when the service did, a moment ago
        views = Job(party.server.port, connections, _PATIENCE, [party.api.views(hashes)])
        creates = replace(views, connections=1, streams=[party.api.creates()])
        bench.load.start(views)
        beside.start(creates)
        _wait(table, datetime.now(UTC))
        seconds = time.monotonic() - began
        during, created = bench.load.stop(), beside.stop()
        same = 10 * bench.seconds
        beside.start(replace(creates, seconds=same))
        after = bench.load.run(replace(views, seconds=same))
        beside.result()
        return Swept(seconds, during, after, created, party.server.peak())


def _wait(table: Table, moment: datetime) -> None:
    """Look on from outside until no link that had expired by then is active in the file."""
    deadline = time.monotonic() + _PATIENCE
    with closing(table.connect()) as connection:
        while connection.execute(_LEFT, (_text(moment),)).fetchone():
            if time.monotonic() > deadline:
                sys.exit("expired links stay active")
            time.sleep(0.01)


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")


def lag(bench: Bench) -> Figures:
    """How long after its time a link is deactivated, where there is nothing else to do."""
    lags = []
    table = make_table(MANY).copy(bench.folder / "lag")
    with parties.serve_table("ours", table, table.folder) as party:
        for _ in range(2 if bench.quick else 7):
            expiry = int(time.time()) + 2
            moment = datetime.fromtimestamp(expiry, UTC)
            ask(party.server, party.api.creates(_text(moment)))
            time.sleep(max(0.0, expiry - time.time()))
            _wait(table, moment)
            lags.append(time.time() - expiry)
    return {"expiry lag": max(lags)}


def start(bench: Bench) -> Figures:
    """From the start of the process on a database that exists to its first answer."""
    table = make_table(SIZES["10 k" if bench.quick else "10 M"])
    hashes = table.hashes(1)
    times = []
    for _ in range(3 if bench.quick else 7):
        began = time.monotonic()
        with parties.serve_table("ours", table, bench.folder / "start") as party:
            ask(party.server, party.api.views(hashes))
            times.append(time.monotonic() - began)
    return {"start": statistics.median(times)}


def put(bench: Bench) -> Figures:
    """A PUT of as many segments as there may be, alone and while others view."""
    body = _export()
    times = 2 if bench.quick else 5
    table = make_table(MANY).copy(bench.folder / "put")
    with parties.serve_table("ours", table, table.folder) as party:
        alone = [_put(party, table.key, body) for _ in range(times)]
        hashes = table.hashes(VIEWED)
        views = Job(party.server.port, CONNECTIONS, _PATIENCE, [party.api.views(hashes)])
        without = bench.load.run(replace(views, seconds=bench.seconds))
        bench.load.start(views)
        viewed = [_put(party, table.key, body) for _ in range(times)]
        during = bench.load.stop()
    return {
        "PUT, MiB": len(body) / 2**20,
        "PUT, alone": statistics.median(alone),
        f"PUT, {CONNECTIONS} viewers": statistics.median(viewed),
        "view p99 without PUT": without.all.p99,
        "view p99 during PUT": during.all.p99,
        "longest view during PUT": during.all.longest,
    }


def _export() -> bytes:
    """An export like the sample, but of SEGMENTS segments."""
    sample = json.loads(SAMPLE.read_bytes())
    segments = itertools.islice(itertools.cycle(sample["segments"]), SEGMENTS)
    return json.dumps(
        {
            "job_id": "great",
            "video_name": "great",
            "segments": [
                segment | {"id": str(number), "start_time": number / 10, "end_time": number / 10}
                for number, segment in enumerate(segments)
            ],
        }
    ).encode()


def _put(party: Party, key: str, body: bytes) -> float:
    began = time.monotonic()
    with closing(http.client.HTTPConnection("127.0.0.1", party.server.port, _PATIENCE)) as client:
        client.request("PUT", "/api/videos/great", body, {"Authorization": key})
        response = client.getresponse()
        answer = response.read()
    if response.status not in {200, 201}:
        sys.exit(f"PUT: {response.status}: {answer!r}")
    return time.monotonic() - began


FIGURES: dict[str, Callable[[Bench], Figures]] = {
    "sweep": sweep,
    "sweep-postgresql": sweep_postgresql,
    "memory": memory,
    "lag": lag,
    "start": start,
    "put": put,
}
SLOW = {"memory"}
"""What a quick run leaves out."""
