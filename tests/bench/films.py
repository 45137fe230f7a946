"""A film with thousands of findings, and links that are created while a server runs."""

import json
from urllib.request import Request, urlopen

from servers import Server
from tables import SAMPLE

FILM = "film"
FINDINGS = 7_391
_SECONDS = 7_200
_PATIENCE = 60.0


def put_film(server: Server, key: str, job_id: str = FILM) -> None:
    """Put a two-hour video whose findings are copies of the sample's, spread over it."""
    sample = json.loads(SAMPLE.read_bytes())
    findings = sample["segments"]
    step = _SECONDS / FINDINGS
    sample["segments"] = [
        findings[n % len(findings)] | {"start_time": n * step, "end_time": (n + 2) * step}
        for n in range(FINDINGS)
    ]
    sample |= {"job_id": job_id, "duration": _SECONDS}
    _call(server, key, "PUT", f"/api/videos/{job_id}", sample)


def create_link(server: Server, key: str, job_id: str, **settings: object) -> str:
    """Create a link to a video. Returns its share hash."""
    link = _call(server, key, "POST", "/api/shared-reports", {"video_id": job_id} | settings)
    share_hash: str = json.loads(link)["share_hash"]
    return share_hash


def _call(server: Server, key: str, method: str, path: str, body: object) -> bytes:
    request = Request(
        f"http://127.0.0.1:{server.port}{path}",
        json.dumps(body).encode(),
        {"Authorization": key, "Content-Type": "application/json"},
        method=method,
    )
    with urlopen(request, timeout=_PATIENCE) as response:
        answer: bytes = response.read()
    return answer
