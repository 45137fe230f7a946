"""Many callers, and a service that is killed again and again.

``python tests/crash/storm.py sqlite 300`` serves a database and kills the process 300 times with
SIGKILL, in the middle of its work, while callers create, view, list and revoke links, let them
expire, and replace videos, one reads the events of all that, and a webhook is sent some of them.
Before most kills an operator runs commands beside it, moves its file away and back, or deletes and
restores it. With ``postgresql`` three instances serve one database, callers go from one to the
next, also rotate links and unlock links of few views, and a kill meets an instance or the server.
The storm records every call, and asks ``history``, ``event_promises`` and ``receiver`` in the end
whether a promise was broken. A third argument is the seed of all that is drawn; the order of what
happens at once is nobody's to repeat.
"""

import asyncio
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random

import aiohttp
from aiohttp import ClientConnectorError

sys.path.insert(0, str(Path(__file__).parent.parent))

from callers import CALLERS, Storm, once
from calls import Call, Create, Listing, Put, Reading, Revoke, Rotate, Unlock, View, WholeList
from event_promises import broken_events
from event_reader import EventReader
from history import History, broken
from instances import PostgresqlStage
from operations import PATIENCE
from receiver import Message, Receiver, broken_deliveries
from stages import SqliteStage, Stage

KILLS_A_GENERATION = 25
"""After so many kills, callers turn to new videos: lists stay short."""
STAGES: dict[str, type[SqliteStage] | type[PostgresqlStage]] = {
    "sqlite": SqliteStage,
    "postgresql": PostgresqlStage,
}


@dataclass(frozen=True)
class Outcome:
    """What has been seen in a storm."""

    calls: list[Call]
    kills: list[float]
    """When, on the clock of ``Call.began``."""
    broken: list[str]
    done: Counter[str]
    """What the operator did, by name."""
    messages: list[Message]
    """What the webhook was sent."""


async def storm(folder: Path, kills: int, seed: int, engine: str = "sqlite") -> Outcome:
    """Kill a service on a database of the engine so many times, and tell what was seen."""
    random, receiver = Random(seed), Receiver(Random(seed))
    async with receiver.running():
        stage = STAGES[engine](folder, random)
        try:
            receiver.subscribe(folder)
            return await _storm(stage, receiver, kills, random, extras=engine == "postgresql")
        finally:
            stage.close()


async def _storm(
    stage: Stage, receiver: Receiver, kills: int, random: Random, *, extras: bool
) -> Outcome:
    killed: list[float] = []
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(session_at(path)) for path in stage.sockets]
        it = Storm(sessions, stage.key, random, extras=extras)
        reader = EventReader(it)
        async with asyncio.TaskGroup() as group:
            it.begin_generation(0)
            for _ in range(CALLERS):
                group.create_task(it.caller())
            group.create_task(reader.follow())
            for number in range(kills):
                if number % KILLS_A_GENERATION == 0:
                    it.begin_generation(number // KILLS_A_GENERATION)
                killed.append(await stage.kill(it))
            it.over = True
        async with stage.at_rest():
            while True:
                try:
                    await it.look_at_everything()
                    events = await reader.read_the_rest()
                    await receiver.wait_for(events)
                    break
                except ClientConnectorError:
                    await asyncio.sleep(0.01)
    calls = stage.settled(it.calls)
    faults = broken(calls) + broken_events(calls) + stage.faults()
    faults += broken_deliveries(receiver.messages, events)
    return Outcome(it.calls, killed, faults, stage.done, receiver.messages)


def session_at(socket: Path) -> aiohttp.ClientSession:
    """A session to the instance that listens at a socket."""
    return aiohttp.ClientSession(
        "http://localhost",
        connector=aiohttp.UnixConnector(str(socket), limit=0),
        timeout=aiohttp.ClientTimeout(total=PATIENCE),
        middlewares=[once],
    )


WRITES: tuple[type[Call], ...] = (Create, Revoke, Put, Rotate, Unlock)


def unknown_writes(outcome: Outcome) -> list[int]:
    """For each kill, how many writes it left without an answer."""
    counts = [0] * len(outcome.kills)
    for call in outcome.calls:
        if call.status is None and isinstance(call, WRITES):
            number = bisect_left(outcome.kills, call.ended) - 1
            if number >= 0 and call.began <= outcome.kills[number]:
                counts[number] += 1
    return counts


def figures(outcome: Outcome) -> Iterator[str]:
    """What was seen, in lines."""
    unknown = unknown_writes(outcome)
    yield f"kills {len(unknown)}, of which {sum(map(bool, unknown))} met a write in flight"
    yield f"writes without an answer: {sum(unknown)}, {sum(unknown) / len(unknown):.1f} a kill"
    yield ", ".join(f"{name.replace('_', ' ')}: {times}" for name, times in outcome.done.items())
    yield f"calls {len(outcome.calls)}"
    for kind in (*WRITES, View, Listing, Reading):
        calls = [call for call in outcome.calls if isinstance(call, kind)]
        if not calls:
            continue
        statuses = Counter(call.status or "no answer" for call in calls)
        shown = ", ".join(
            f"{status}: {count}" for status, count in sorted(statuses.items(), key=str)
        )
        yield f"  {kind.__name__:8} {len(calls):7}   {shown}"
    lists = [call for call in outcome.calls if isinstance(call, WholeList)]
    told = Counter(event.type for call in lists[-1:] for event in call.events)
    yield ", ".join(f"{event_type}: {count}" for event_type, count in sorted(told.items()))
    history = History(outcome.calls)
    answered = {
        call.link for call in outcome.calls if isinstance(call, (Create, Rotate)) and call.link
    }
    created = sum(story.link not in answered for story in history.stories.values())
    open_ends = [
        story
        for story in history.stories.values()
        if {each.status for each in story.revokes} == {None}
    ]
    revoked = sum(story.gone < inf for story in open_ends)
    yield f"of the creates without an answer {created} had been made"
    yield f"of {len(open_ends)} links whose revokes had no answer {revoked} were revoked"
    delivered = Counter(message.event_id for message in outcome.messages)
    yield (
        f"messages to the webhook: {len(outcome.messages)}, of {len(delivered)} events, "
        f"{sum(count > 1 for count in delivered.values())} more than once"
    )
    yield f"promises broken: {len(outcome.broken)}"
    yield from outcome.broken[:20]


def main() -> None:
    """Storm, and tell what was seen; exit code 1 where a promise was broken."""
    engine, kills = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else Random().randrange(10**6)
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(storm(Path(folder), kills, seed, engine))
    print("\n".join(figures(outcome)))
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(bool(outcome.broken))


if __name__ == "__main__":
    main()
