"""What it was measured on."""

import os
import platform
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pocketbase
import postgres
from tables import ROOT

_PROBES = 50
_IN_MEMORY = {"tmpfs", "ramfs"}


def facts(folder: Path) -> dict[str, str]:
    """The machine, the programs, and the disk that ``folder`` is on.

    Ends the bench where that is none: a sync to memory costs nothing.
    """
    file_system = _file_system(folder)
    if file_system in _IN_MEMORY:
        sys.exit(f"{folder} is on {file_system}; the bench needs a real disk")
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        "kernel": platform.release(),
        "file system": f"{file_system}, {_sync(folder) * 1000:.2f} ms a sync",
        "Python": platform.python_version(),
        **{name: version(name) for name in ("aiohttp", "aiosqlite", "asyncpg", "uvloop")},
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": postgres.version(),
        **_peers(),
    }


def _file_system(folder: Path) -> str:
    """The type of the file system, by the longest of the mount points above the folder."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(len(point), kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(above)[1]


def _sync(folder: Path) -> float:
    """Seconds to write 4 KiB and sync them, in the median."""
    file = folder / "probe"
    times = []
    with file.open("wb", buffering=0) as probe:
        for _ in range(_PROBES):
            began = time.perf_counter()
            probe.write(b"x" * 4096)
            os.fsync(probe.fileno())
            times.append(time.perf_counter() - began)
    file.unlink()
    return statistics.median(times)


def _peers() -> dict[str, str]:
    shown = subprocess.run(
        [pocketbase.PROGRAM, "--version"], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    pinned = (ROOT / ".ci/bench.txt").read_text()
    return {
        "PocketBase": shown.split()[-1],
        **dict(re.findall(r"^(fastapi|uvicorn)==(.+)$", pinned, re.MULTILINE)),
    }
