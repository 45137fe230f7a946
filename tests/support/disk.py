"""The disk as a loss of power may have left it, built again from the system calls of a process."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

NAMING = ("openat", "unlink", "unlinkat", "rename", "renameat", "renameat2")
WRITING = ("ftruncate", "pwrite64", "pwritev", "write", "writev")
SYNCS = ("fsync", "fdatasync")


@dataclass(frozen=True)
class Step:
    """A system call's begin or end."""

    name: str
    arguments: str
    """As strace writes them; those of an end have what came back behind them."""
    is_end: bool

    @property
    def path(self) -> str:
        """The file that a call on an open file is about."""
        match = re.match(r"\d+<([^>]*)>", self.arguments)
        return _bytes(match[1]).decode() if match else ""

    @property
    def data(self) -> bytes:
        """What it writes, or the name that it is given."""
        return b"".join(map(_bytes, re.findall(r'"([^"]*)"', self.arguments)))

    @property
    def result(self) -> int:
        return int(self.arguments.rpartition(" = ")[2].split("<")[0].split()[0])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def steps(trace: Path) -> Iterator[Step]:
    """All calls of a trace, in the order in which they began and ended."""
    under_way: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            thread, _, text = line.strip().partition(" ")
            text = text.lstrip()
            if text.startswith(("+++", "---")):
                continue
            if text.startswith("<..."):
                text = under_way.pop(thread) + text.partition("resumed>")[2]
                ends = [True]
            elif text.endswith("<unfinished ...>"):
                text = under_way[thread] = text.removesuffix("<unfinished ...>")
                ends = [False]
            else:
                ends = [False, True]
            name, _, arguments = text.partition("(")
            for is_end in ends:
                yield Step(name, arguments, is_end)


@dataclass(eq=False)
class File:
    """A file as its writer sees it, as it surely is on the disk, and what lies between."""

    seen: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes by offset; None cuts the file off there."""

    def do(self, change: tuple[int, bytes | None]) -> None:
        self.pending.append(change)
        _apply(self.seen, change)

    def sync(self, count: int) -> None:
        for change in self.pending[:count]:
            _apply(self.synced, change)
        del self.pending[:count]


def _apply(content: bytearray, change: tuple[int, bytes | None]) -> None:
    offset, data = change
    if data is None:
        del content[offset:]
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data or b"")] = data or b""


class Disk:
    """The folder of the database, as the calls of the process leave it.

    A file's name is in a folder as little for sure as a write is in a file: until a sync.
    """

    def __init__(self, database: Path) -> None:
        self.folder = str(database.parent)
        self.names = [f"{database}{ending}" for ending in ("", "-wal", "-journal")]
        self.seen: dict[str, File] = {}
        self.synced: dict[str, File] = {}
        self._syncing_names: dict[str, File] = {}
        self._syncing: dict[str, int] = {}

    def take(self, step: Step) -> bool:
        """Take a step; returns whether it was one of this folder's."""
        if step.path in self.names:
            self._take_in_file(self.seen[step.path], step)
            return True
        if step.path == self.folder:
            self._take_in_folder(step)
            return True
        if step.name in NAMING and step.data.decode() in self.names:
            self._take_name(step, step.data.decode())
            return True
        # Two names stand in a rename, and we know none.
        assert not step.name.startswith("rename") or self.folder.encode() not in step.data, step
        return False

    def _take_name(self, step: Step, path: str) -> None:
        if not step.is_end or step.result < 0:
            return
        if step.name == "openat":
            if "O_CREAT" in step.arguments:
                self.seen.setdefault(path, File())
        else:
            assert step.name == "unlink", step
            del self.seen[path]

    def _take_in_folder(self, step: Step) -> None:
        assert step.name in SYNCS, step
        if step.is_end:
            assert step.result == 0
            self.synced = self._syncing_names
        else:
            self._syncing_names = dict(self.seen)

    def _take_in_file(self, file: File, step: Step) -> None:
        if step.name in SYNCS:
            if step.is_end:
                assert step.result == 0
                file.sync(self._syncing.pop(step.path))
            else:
                assert step.path not in self._syncing
                self._syncing[step.path] = len(file.pending)
        elif step.is_end:
            offset = int(re.findall(r", (\d+) *\) +=", step.arguments)[-1])
            if step.name == "pwrite64":
                assert step.result == len(step.data)
                file.do((offset, step.data))
            else:
                assert step.name == "ftruncate", step
                file.do((offset, None))

    def at_its_worst(self) -> dict[str, bytes]:
        """What is there for sure."""
        return {path: bytes(file.synced) for path, file in self.synced.items()}

    def by_chance(self, random: Random) -> dict[str, bytes]:
        """What is there for sure, and whatever else happened to get there."""
        left = {}
        for path in self.names:
            file = random.choice([self.seen, self.synced]).get(path)
            if file is not None:
                content = bytearray(file.synced)
                for change in file.pending:
                    if random.random() < 0.5:
                        _apply(content, change)
                left[path] = bytes(content)
        return left
