"""What an operator does to the files under the running service, and commands beside it.

Each step ends with the service at work on a database that holds all that was acknowledged.
"""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from calls import Revoke
from support.process import COMMAND, environment

if TYPE_CHECKING:
    from callers import Storm

USER = f"{1:032}"
PATIENCE = 30.0
_GONE = "test.sqlite3 was deleted under the running service."
_CREATE_KEY = ("keys", "create", "--user", USER, "--name", "x")
_COMMANDS = (
    ("keys", "list"),
    ("links", "list", "--user", USER, "--limit", "1"),
    _CREATE_KEY,
    ("links", "revoke", "1", "--user", USER),
    ("sweep", "--dry-run"),
    ("check",),
    ("backup", "--force", "copy"),
)


class Operator:
    """Does one step at a time, of those that ``random`` draws."""

    def __init__(self, storm: "Storm", folder: Path, random: Random) -> None:
        self._storm, self._folder, self._random = storm, folder, random
        self._file = folder / "test.sqlite3"
        self.done: Counter[str] = Counter()
        """Steps and commands by name."""

    async def step(self, process: asyncio.subprocess.Process) -> None:
        """Do something, or nothing."""
        steps: list[Callable[[int], Awaitable[None]]] = [
            self.run_a_command,
            self.revoke,
            self.move_away_and_back,
            self.delete_and_restore,
            self.delete_and_create_a_key,
        ]
        chosen = self._random.choice([*steps, None])
        if chosen is not None:
            self.done[getattr(chosen, "__name__", "")] += 1
            await chosen(process.pid)

    async def run_a_command(self, _pid: int) -> None:
        """Run any command that changes no link; it succeeds."""
        command = self._random.choice([each for each in _COMMANDS if "revoke" not in each])
        code, output = await self._run(*command)
        assert code == 0, (command, output)

    async def revoke(self, _pid: int) -> None:
        """Revoke a link; the views that begin afterwards, in many connections, do not find it."""
        storm = self._storm
        if not storm.recent:
            return
        link = self._random.choice(storm.recent)
        began_at, began = time.time(), time.monotonic()
        code, output = await self._run("links", "revoke", link.id, "--user", USER)
        ended, ended_at = time.monotonic(), time.time()
        assert code == 0 or "No such shared report." in output, output
        times = {"began": began, "ended": ended, "began_at": began_at, "ended_at": ended_at}
        storm.calls.append(Revoke(**times, status=404 if code else 200, link_id=link.id))
        await asyncio.gather(*(storm.view(link) for _ in range(4)))

    async def move_away_and_back(self, _pid: int) -> None:
        """Move the file; the same file comes back."""
        self._storm.is_disturbed = True
        away = self._file.with_name("away")
        self._file.rename(away)
        await self._refuse_commands()
        away.rename(self._file)
        await self._recover()

    async def delete_and_restore(self, pid: int) -> None:
        """Delete the file, and restore a copy of the one that the service still has open.

        Its log is in it once the service has found the file deleted; nothing is acknowledged since.
        """
        await self._delete_and_restore(pid, self._refuse_commands)

    async def delete_and_create_a_key(self, pid: int) -> None:
        """Delete the file, and at once run the command that would create one; restore a copy."""
        await self._delete_and_restore(pid, self._refuse_a_key)

    async def _delete_and_restore(self, pid: int, disturb: Callable[[], Awaitable[None]]) -> None:
        self._storm.is_disturbed = True
        open_file = self._open_file(pid)
        self._file.unlink()
        await disturb()
        await self._await_health(lambda checks: checks["database_write"] == _GONE)
        restored = self._file.with_name("restored")
        shutil.copyfile(open_file, restored)
        restored.chmod(0o600)
        restored.rename(self._file)
        await self._recover()

    def _open_file(self, pid: int) -> Path:
        """The descriptor by which the service has the database open."""
        descriptors = Path(f"/proc/{pid}/fd").iterdir()
        return next(each for each in descriptors if each.readlink() == self._file)

    async def _refuse_a_key(self) -> None:
        await self._refuse(_CREATE_KEY)

    async def _refuse_commands(self) -> None:
        await self._refuse(*self._random.sample(_COMMANDS, 2))

    async def _refuse(self, *commands: tuple[str, ...]) -> None:
        """Each command fails with one line, and creates nothing at the path."""
        for command in commands:
            code, output = await self._run(*command)
            assert code == 1, (command, output)
            assert len(output.splitlines()) == 1, (command, output)
            assert not self._file.exists(), command
            self.done["refused commands"] += 1

    async def _recover(self) -> None:
        await self._await_health(lambda checks: set(checks.values()) == {"ok"})
        self._storm.is_disturbed = False

    async def _await_health(self, condition: Callable[[dict[str, str]], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        checks = None
        while time.monotonic() < deadline:
            async with self._storm.session.get("/readyz") as response:
                checks = (await response.json())["checks"]
            if condition(checks):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"not within {PATIENCE:g} s: {checks}")

    async def _run(self, *command: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *command,
            env=environment(self._folder),
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return process.returncode, output.decode()
