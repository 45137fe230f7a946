"""The callers of a storm, and what they know together."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count, cycle
from math import inf
from random import Random
from typing import Any

import aiohttp
from aiohttp import ClientConnectorError, ClientError, ClientHandlerType, ClientRequest
from calls import Call, Create, Link, Listing, Put, Revoke, Rotate, Unlock, View
from operations import PATIENCE

CALLERS = 24
JOBS = 8
RECENT = 200
PROTECTED = 30
CHANGING = b"The link is being changed."
"""What a view may be told while the instances replace a video again and again."""
ALIVE = {"active", "scheduled", "exhausted"}
"""The states of a link that has not expired."""


class LostError(Exception):
    """The connection died after the request had, perhaps, been sent."""


async def once(request: ClientRequest, send: ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request once: aiohttp would send one that it takes for idempotent a second time."""
    try:
        return await send(request)
    except ClientConnectorError:
        raise  # nothing was sent
    except ClientError as error:
        raise LostError from error


def to_seconds(moment: str | None) -> float:
    """A moment's text as seconds since the epoch."""
    return inf if moment is None else datetime.fromisoformat(f"{moment}Z").timestamp()


class Storm:
    """Callers and what they know together; ``calls`` grows with each call that was sent."""

    def __init__(
        self,
        sessions: Sequence[aiohttp.ClientSession],
        key: str,
        random: Random,
        *,
        extras: bool = False,
    ) -> None:
        self._sessions = sessions
        self._turns = cycle(sessions)
        self._extras = extras
        """Whether callers also rotate links, and unlock links of few views."""
        self.key = key
        self.random = random
        self.calls: list[Call] = []
        self.jobs: dict[str, str] = {}
        """The videos that are known to be there: job ids by id."""
        self.current: list[str] = []
        """The job ids that are written to now."""
        self.recent: deque[Link] = deque(maxlen=RECENT)
        self.acknowledged = asyncio.Event()
        """Set by each write that is acknowledged."""
        self.over = False
        self.is_disturbed = False
        """Whether the database is out of reach: calls may be refused with 503."""
        self._disturbed_until = -inf
        self._versions = count(1)
        self._protected: deque[Link] = deque(maxlen=PROTECTED)
        """The newest links of few views."""
        self._limits: dict[str, int] = {}
        """How many views each of them allows, by share hash."""

    def begin_generation(self, number: int) -> None:
        self.current = [f"job-{number}-{n}" for n in range(JOBS)]
        self.recent.clear()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session of the next call: callers go from one instance to the next."""
        return next(self._turns)

    async def await_acknowledgement(self) -> None:
        """Wait until another write is acknowledged."""
        self.acknowledged.clear()
        await asyncio.wait_for(self.acknowledged.wait(), PATIENCE)

    async def await_readiness(self, instance: int) -> None:
        """Wait until an instance says that it is ready."""
        deadline = time.monotonic() + PATIENCE
        text = "nobody listens"
        while time.monotonic() < deadline:
            try:
                async with self._sessions[instance].get("/readyz") as response:
                    text = await response.text()
                    if response.status == 200:
                        return
            except (LostError, ClientError):
                pass
            await asyncio.sleep(0.02)
        raise AssertionError(f"not within {PATIENCE:g} s: {text}")

    def begin_disturbance(self) -> None:
        self.is_disturbed = True

    def end_disturbance(self) -> None:
        self.is_disturbed = False
        self._disturbed_until = time.monotonic()

    async def caller(self) -> None:
        """Do one thing after another until the storm is over."""
        while not self.over:
            try:
                await self._anything()
            except ClientConnectorError:
                await asyncio.sleep(0.005)  # nobody listens; nothing was sent

    async def _anything(self) -> None:
        ready = [job_id for job_id in self.jobs.values() if job_id in self.current]
        if self._extras and self.random.random() < 0.2:
            await self._anything_more()
            return
        what = self.random.random()
        if len(ready) < JOBS or what < 0.12:
            await self.put(self.random.choice(self.current))
        elif what < 0.5 or not self.recent:
            await self.create(self.random.choice(ready), self.random.choice([None, 1, 2, 3]))
        elif what < 0.75:
            await self.view(self.random.choice(self.recent))
        elif what < 0.85:
            await self.view(min(self.recent, key=self._until_expiry))
        elif what < 0.98:
            # The newest one's id is the one that could most easily be given again.
            link = self.random.choice([self.random.choice(self.recent), self.recent[-1]])
            await self.revoke(link)
            await self.view(link)
        else:
            await self.list_links(self.random.choice(ready))

    async def _anything_more(self) -> None:
        if not self.jobs or not self.recent:
            return
        what = self.random.random()
        if what < 0.3:
            link = self.random.choice(self.recent)
            await self.rotate(link)
            await self.view(link)
        elif what < 0.4 or not self._protected:
            job_id = self.random.choice(list(self.jobs.values()))
            await self.create(job_id, None, self.random.choice([1, 2, 5]))
        else:
            await self.unlock(self.random.choice(self._protected))

    def _until_expiry(self, link: Link) -> float:
        left = link.expires_at - time.time()
        return left if left > -0.1 else inf

    async def put(self, job_id: str) -> None:
        version = f"version {next(self._versions)}"
        segments = [
            {"module": version, "content": version, "start_time": n, "end_time": n}
            for n in range(self.random.choices([1, 30, 300, 3000], [30, 30, 10, 4])[0])
        ]
        body = {"video_name": version, "segments": segments}
        times, status, answer = await self.send("PUT", f"/api/videos/{job_id}", body)
        video_id = None if answer is None else answer["id"]
        if video_id is not None:
            self.jobs[video_id] = job_id
            self.acknowledged.set()
        self.calls.append(
            Put(**times, status=status, job_id=job_id, version=version, video_id=video_id)
        )

    async def create(self, job_id: str, lifetime: int | None, max_views: int | None = None) -> None:
        moment = None
        if lifetime is not None:
            end = datetime.fromtimestamp(int(time.time()) + lifetime, UTC)
            moment = end.strftime("%Y-%m-%dT%H:%M:%S")
        body: dict[str, object] = {"video_id": job_id, "expires_at": moment}
        if max_views is not None:
            body["max_views"] = max_views
        times, status, answer = await self.send("POST", "/api/shared-reports", body)
        link = self._link(answer) if status == 201 else None
        if link is not None:
            (self.recent if max_views is None else self._protected).append(link)
            self.acknowledged.set()
        expires_at = to_seconds(moment)
        self.calls.append(
            Create(**times, status=status, job_id=job_id, expires_at=expires_at, link=link)
        )

    async def view(self, link: Link) -> None:
        path = f"/api/shared-reports/{link.share_hash}"
        version = None
        if self.random.random() < 0.7:
            times, status, answer = await self.send("GET", path)
            if status == 200:
                video = answer["video"]
                version = " + ".join({video["name"], *video["modules"]})
        else:
            times, status, answer = await self.send("GET", f"{path}/segments")
            if status == 200:
                version = " + ".join({each["content"] for each in answer})
        self.calls.append(View(**times, status=status, share_hash=link.share_hash, version=version))

    async def revoke(self, link: Link) -> None:
        times, status, _ = await self.send("DELETE", f"/api/shared-reports/{link.id}")
        if status == 200:
            self.acknowledged.set()
        self.calls.append(Revoke(**times, status=status, link_id=link.id))

    async def rotate(self, link: Link) -> None:
        times, status, answer = await self.send("POST", f"/api/shared-reports/{link.id}/rotate")
        rotated = self._link(answer) if status == 200 else None
        if rotated is not None:
            self.recent.append(rotated)
            self.acknowledged.set()
        self.calls.append(Rotate(**times, status=status, old=link, link=rotated))

    async def unlock(self, link: Link) -> bool:
        """Unlock a link, as a new viewer; returns whether it has no views left."""
        path = f"/api/shared-reports/{link.share_hash}/unlock"
        times, status, _ = await self.send("POST", path, {})
        max_views = self._limits[link.share_hash]
        self.calls.append(
            Unlock(**times, status=status, share_hash=link.share_hash, max_views=max_views)
        )
        return status == 410

    async def list_links(self, job_id: str) -> tuple[Link, ...]:
        times, status, answer = await self.send("GET", f"/api/videos/{job_id}/shared-reports")
        links = (
            tuple((self._link(each), each["status"] in ALIVE) for each in answer)
            if status == 200
            else ()
        )
        self.calls.append(Listing(**times, status=status, job_id=job_id, links=links))
        return tuple(link for link, _ in links)

    async def look_at_everything(self) -> None:
        """List all videos' links, and view all links that anyone has ever heard of."""
        links = {
            call.link for call in self.calls if isinstance(call, (Create, Rotate)) and call.link
        }
        for job_id in self.jobs.values():
            links |= {*await self.list_links(job_id)}
        left = iter(links)

        async def view_some() -> None:
            for link in left:
                if link.share_hash not in self._limits:
                    await self.view(link)
                else:
                    while not await self.unlock(link):
                        pass

        await asyncio.gather(*(view_some() for _ in range(CALLERS)))

    def _link(self, answer: dict[str, Any]) -> Link:
        if answer["max_views"] is not None:
            self._limits[answer["share_hash"]] = answer["max_views"]
        return Link(
            answer["id"],
            answer["share_hash"],
            self.jobs.get(answer["video_id"], "no video that was ever put"),
            to_seconds(answer["expires_at"]),
        )

    async def send(
        self, method: str, path: str, body: object = None
    ) -> tuple[dict[str, float], int | None, Any]:
        """Make a call; returns its times, its status and its JSON, if it is no problem document.

        Of a call that was refused with 503 while the database was out of reach nobody knows
        whether it took effect, as of one without an answer. The same goes for a rendering that gave
        up because its video was replaced three times meanwhile. Raises ClientConnectorError where
        nothing was sent, and TimeoutError for no answer at all.
        """
        was_disturbed = self.is_disturbed
        is_public = path.endswith("/unlock") or (method == "GET" and "shared-reports/" in path)
        headers = {} if is_public else {"Authorization": self.key}
        status, answer = None, None
        began_at, began = time.time(), time.monotonic()
        try:
            async with self.session.request(method, path, json=body, headers=headers) as response:
                text = await response.read()
            status = response.status
            answer = json.loads(text) if status < 300 else None
            if status == 503 and CHANGING in text:
                status = None
            if status == 503 and (
                was_disturbed or self.is_disturbed or self._disturbed_until >= began
            ):
                status = None
        except ClientConnectorError:
            raise
        except (LostError, ClientError):
            pass
        ended, ended_at = time.monotonic(), time.time()
        times = {"began": began, "ended": ended, "began_at": began_at, "ended_at": ended_at}
        return times, status, answer
