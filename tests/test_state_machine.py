"""Whatever is done in whatever order, each link is as a model of a few lines says."""

import asyncio
from collections.abc import Coroutine
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from support.database import FreshDatabase
from support.harness import (
    Caller,
    FakeClock,
    Service,
    app_of,
    export,
    make_client,
    new_caller,
    segment,
)

from service.config import Config
from service.domain import clock
from service.tasks.periodic import PeriodicTask

T = TypeVar("T")

JOBS = st.sampled_from(["job-1", "job-2"])
# Few lifetimes and few turns of the clock, of the same sizes: so that ends are met, and met again.
LIFETIMES = st.sampled_from([None, 0, 1, 60])
Turn = tuple[float, bool]
"""Before a step: by how many seconds the clock is put on or back, and whether a sweep follows."""
STILL: Turn = (0, False)
# Part of every step and not a step by itself: Hypothesis leaves some kinds of steps out at times.
TURNS = st.tuples(st.sampled_from([0, 0, 0, 0.5, 1, 60, -0.5, -1, -60]), st.booleans())


@dataclass
class Link:
    """A link that was not revoked; once a sweep has found it expired, it stays dead."""

    job_id: str
    expires_at: float
    swept: bool = False

    def is_alive(self, now: float) -> bool:
        return not self.swept and self.expires_at > int(now)


class Model:
    """What must be so. It knows no table, no lane, no batch."""

    def __init__(self) -> None:
        self.videos: dict[str, str] = {}
        """Names by job id."""
        self.links: dict[str, Link] = {}
        """By share hash, oldest first."""

    def view(self, share_hash: str, now: float) -> tuple[int, str | None]:
        """The status, and the name of the video behind it."""
        link = self.links.get(share_hash)
        if link is None:
            return 404, None
        return (200, self.videos[link.job_id]) if link.is_alive(now) else (410, None)

    def listed(self, job_id: str, now: float) -> list[tuple[str, int]]:
        """A video's links, newest first, each with its hash and whether it is active."""
        links = [(h, link) for h, link in self.links.items() if link.job_id == job_id]
        return [(share_hash, int(link.is_alive(now))) for share_hash, link in links[::-1]]

    def sweep(self, now: float) -> None:
        for link in self.links.values():
            link.swept = not link.is_alive(now)

    def delete(self, job_id: str) -> None:
        del self.videos[job_id]
        self.links = {h: link for h, link in self.links.items() if link.job_id != job_id}


class Machine(RuleBasedStateMachine):
    """The service over real HTTP on a real database, and the model beside it.

    Background tasks do not run: the machine sweeps by itself, and so knows what stays dead.
    """

    hashes: Bundle[str] = Bundle("hashes")

    def __init__(self, fresh_database: FreshDatabase) -> None:
        super().__init__()
        self.model = Model()
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.stack = ExitStack()
        self.database = self.stack.enter_context(fresh_database())
        self.clock = FakeClock()
        self.versions = 0
        self.ids: dict[str, str] = {}
        """The ids of all links that there ever were, by share hash."""

    def teardown(self) -> None:
        self.run(self.service.client.close())
        self.runner.close()
        self.stack.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self, key: str | None = None) -> Service:
        """Start the application on the database, for the owner of the key or for a new one."""
        # Looking for revoked links over and over is guessing; the model knows of no such limit.
        config = Config(database=self.database, log_level="error", lookup_rate_limit=None)
        client = make_client(config, self.clock)
        await client.start_server()
        app = app_of(client)
        alice = await new_caller(app, client) if key is None else Caller(client, key)
        return Service(app, client, self.clock, Caller(client), alice, alice)

    @initialize(target=hashes)
    def start(self) -> Any:
        """Begin with two videos and two links: with few of them, more happens to each."""
        self.service = self.run(self.open())
        for job_id in ("job-1", "job-2"):
            self.put(STILL, job_id)
        return multiple(self.create(STILL, "job-1", 1), self.create(STILL, "job-2", 60))

    def turn(self, turn: Turn) -> None:
        seconds, is_swept = turn
        self.clock.advance(seconds)
        if is_swept:
            self.run(self.service.sweep())
            self.model.sweep(self.clock.seconds)

    @rule(turn=TURNS)
    def restart(self, turn: Turn) -> None:
        self.turn(turn)
        self.run(self.service.client.close())
        self.service = self.run(self.open(self.service.alice.key))

    @rule(turn=TURNS, job_id=JOBS)
    def put(self, turn: Turn, job_id: str) -> None:
        self.turn(turn)
        self.versions += 1
        name = f"version {self.versions}"
        body = export(video_name=name, segments=[segment(0, 1, content=name)])
        answer = self.run(self.service.alice.put(f"/api/videos/{job_id}", body))
        assert answer.status == (200 if job_id in self.model.videos else 201)
        self.model.videos[job_id] = name

    @rule(turn=TURNS, job_id=JOBS)
    def delete_the_video(self, turn: Turn, job_id: str) -> None:
        self.turn(turn)
        answer = self.run(self.service.alice.delete(f"/api/videos/{job_id}"))
        assert answer.status == (200 if job_id in self.model.videos else 404)
        if answer.status == 200:
            self.model.delete(job_id)

    @rule(target=hashes, turn=TURNS, job_id=JOBS, seconds=LIFETIMES)
    def create(self, turn: Turn, job_id: str, seconds: int | None) -> Any:
        self.turn(turn)
        expires_at = inf if seconds is None else int(self.clock.seconds) + seconds
        moment = None if seconds is None else clock.to_text(expires_at)
        body = {"video_id": job_id, "expires_at": moment}
        answer = self.run(self.service.alice.post("/api/shared-reports", body))
        if seconds == 0:
            assert answer.status == 422
        elif job_id not in self.model.videos:
            assert answer.status == 404
        else:
            assert answer.status == 201
            report_id, share_hash = answer.json["id"], answer.json["share_hash"]
            assert answer.json["expires_at"] == moment
            assert share_hash not in self.ids
            assert report_id not in self.ids.values()
            self.ids[share_hash] = report_id
            self.model.links[share_hash] = Link(job_id, expires_at)
            return share_hash
        return multiple()

    @rule(turn=TURNS, share_hash=hashes)
    def revoke(self, turn: Turn, share_hash: str) -> None:
        self.turn(turn)
        link = self.model.links.pop(share_hash, None)
        answer = self.run(self.service.alice.delete(f"/api/shared-reports/{self.ids[share_hash]}"))
        assert answer.status == (404 if link is None else 200)

    @invariant()
    def every_link_is_as_the_model_says(self) -> None:
        self.run(self._look())

    async def _look(self) -> None:
        public, now = self.service.public, self.clock.seconds
        for share_hash in self.ids:
            path = f"/api/shared-reports/{share_hash}"
            answer, analysis = await asyncio.gather(
                public.get(path), public.get(f"{path}/segments")
            )
            status, name = self.model.view(share_hash, now)
            assert answer.status == analysis.status == status
            if status == 200:
                assert answer.json["video"]["name"] == name
                assert [each["content"] for each in analysis.json] == [name]
        for job_id in self.model.videos:
            listed = (await self.service.alice.get(f"/api/videos/{job_id}/shared-reports")).json
            shown = [(each["share_hash"], each["is_active"]) for each in listed]
            assert shown == self.model.listed(job_id, now)


@pytest.mark.slow
@pytest.mark.timeout(400)  # what fails is made shorter first, for up to five minutes
def test_links_agree_with_the_model_in_any_order_of_steps(
    fresh_database: FreshDatabase, engine: str
) -> None:
    bounds = settings(
        max_examples=100 if engine == "sqlite" else 50,  # a story takes 1.4 s on PostgreSQL
        stateful_step_count=20,
        derandomize=True,  # the same stories each time: a build fails by what was changed
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    with patch.object(PeriodicTask, "running", lambda _: nullcontext()):
        run_state_machine_as_test(partial(Machine, fresh_database), settings=bounds)  # type: ignore[arg-type]  # takes any callable that returns a machine
