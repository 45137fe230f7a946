"""How fast the service is, as ratios to what aiohttp itself allows.

Each server has one core, the load generator the other; rounds are interleaved, and medians are
printed. Any answer that is not the expected one fails the run. QUICK=1 makes it short.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SAMPLE = HERE.parent.parent / "service/samples/street-meadow-car.json"
SERVER_CORE, LOAD_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]
QUICK = os.environ.get("QUICK") == "1"
ROUNDS, SECONDS = (3, 1.5) if QUICK else (7, 4.0)
CONNECTIONS = 32
LINKS = 1_000
CREATED_BYTES = 191  # what the service answers to a create


@dataclass(frozen=True)
class Party:
    """A server, and what it is asked in each scenario."""

    port: int
    views: list[str]
    creates: list[str]


def main() -> None:
    """Measure and print."""
    with ExitStack() as stack:
        ours = stack.enter_context(service([sys.executable, "-m", "service"]))
        unobserved = stack.enter_context(service([sys.executable, str(HERE / "unobserved.py")]))
        shown = call(f"http://127.0.0.1:{ours.port}{ours.views[0].split()[1]}")
        view_limit = stack.enter_context(limit(shown, 200))
        create_limit = stack.enter_context(limit(b"x" * CREATED_BYTES, 201))
        compare(
            "public view",
            "200",
            {
                "limit": (view_limit, ours.views),
                "ours": (ours.port, ours.views),
                "unobserved": (unobserved.port, unobserved.views),
            },
        )
        compare(
            "create",
            "201",
            {"limit": (create_limit, ours.creates), "ours": (ours.port, ours.creates)},
        )


def compare(title: str, expect: str, parties: dict[str, tuple[int, list[str]]]) -> None:
    """Load each party in turn, again and again, and print the medians and their ratios."""
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in parties}
    for _ in range(ROUNDS):
        for name, (port, requests) in parties.items():
            rounds[name].append(load(port, requests, expect))
    print(f"\n{title}, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS:g} s")
    for name, results in rounds.items():
        middle = {
            key: statistics.median(result[key] for result in results)
            for key in ("per_second", "p50", "p99")
        }
        print(
            f"  {name:10} {middle['per_second']:8.0f} /s   "
            f"p50 {middle['p50']:6.2f} ms   p99 {middle['p99']:6.2f} ms"
        )
    for other in parties.keys() - {"ours"}:
        ratio = statistics.median(
            ours["per_second"] / its["per_second"]
            for ours, its in zip(rounds["ours"], rounds[other], strict=True)
        )
        print(f"  ours / {other:10} {ratio:.2f}")


def load(port: int, requests: list[str], expect: str) -> dict[str, Any]:
    """One round of the load generator on its own core."""
    job = {
        "port": port,
        "requests": requests,
        "expect": expect,
        "connections": CONNECTIONS,
        "seconds": SECONDS,
    }
    done = subprocess.run(
        [sys.executable, HERE / "load.py"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS + 60,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )
    result: dict[str, Any] = json.loads(done.stdout)
    if result["errors"]:
        sys.exit(f"{result['errors']} of {result['requests']} answers were not {expect}")
    return result


@contextmanager
def service(command: list[str]) -> Iterator[Party]:
    """The service as it is shipped, in a folder of its own, with one real video and its links."""
    port = free_port()
    user = str(uuid.uuid4())
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "SHARED_REPORTS_DATABASE": f"{folder}/bench.sqlite3",
            "SHARED_REPORTS_PORT": str(port),
        }
        made = subprocess.run(
            [*command, "keys", "create", "--user", user, "--name", "bench"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        subprocess.run(
            [*command, "import", SAMPLE, "--user", user],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        key, job_id = made.stdout.strip(), json.loads(SAMPLE.read_bytes())["job_id"]
        with (
            Path(folder, "log").open("w") as log,
            server([*command, "serve"], port, environment, log),
        ):
            url = f"http://127.0.0.1:{port}/api/shared-reports"
            links = [json.loads(call(url, key, {"video_id": job_id})) for _ in range(LINKS)]
            views = [get(link["share_hash"]) for link in links]
            yield Party(port, views, [post(job_id, key)])


@contextmanager
def limit(body: bytes, status: int) -> Iterator[int]:
    """The bare aiohttp application; yields its port."""
    port = free_port()
    command = [sys.executable, str(HERE / "limit.py"), str(port), str(status)]
    with tempfile.TemporaryFile() as stdin:
        stdin.write(body)
        stdin.seek(0)
        with server(command, port, dict(os.environ), None, stdin):
            yield port


@contextmanager
def server(
    command: list[str], port: int, environment: dict[str, str], log: Any, stdin: Any = None
) -> Iterator[None]:
    """A server pinned to its core, from its first accepted connection to the end."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=stdin,
        stderr=log,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),  # noqa: PLW1509 - no threads here
    )
    try:
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def call(url: str, key: str | None = None, body: object = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    headers = {} if key is None else {"Authorization": key}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as response:
        answer: bytes = response.read()
        return answer


def get(share_hash: str) -> str:
    return f"GET /api/shared-reports/{share_hash} HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(job_id: str, key: str) -> str:
    body = json.dumps({"video_id": job_id})
    return (
        "POST /api/shared-reports HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


if __name__ == "__main__":
    main()
