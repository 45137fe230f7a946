"""No space is left for the server's tables."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import postgresql
from support.harness import export, segment
from support.server_faults import LINKS, Open, failing_checks, is_unavailable, works

pytestmark = pytest.mark.slow

SIZE = "96m"
LARGE = export(segments=[segment(n, n + 1, content=os.urandom(500).hex()) for n in range(500)])


@contextmanager
def small_disk(name: str) -> Iterator[Path]:
    """A server's folder in which the folder ``name`` is a small file system."""
    folder = postgresql.make_folder()
    disk = folder / name
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(disk)]
    try:
        if sys.platform != "linux" or subprocess.run(mount, check=False).returncode:
            pytest.skip("no small file system can be mounted here")
        shutil.chown(disk, folder.owner(), folder.group())
        yield folder
        subprocess.run(["umount", "--lazy", disk], check=True)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def small_data() -> Iterator[Path]:
    """A server's folder whose tables are on a small file system; the log is elsewhere."""
    with small_disk("data") as folder:
        yield folder


@pytest.fixture
def small_wal() -> Iterator[Path]:
    """A server's folder whose write-ahead log is on a small file system."""
    with small_disk("wal") as folder:
        yield folder


def fill(folder: Path) -> Path:
    """Leave 2 MiB on the file system of a folder. Return the file that takes the rest."""
    filler = folder / "filler"
    left = shutil.disk_usage(folder).free
    filler.write_bytes(bytes(max(0, left - 2**21)))
    return filler


async def test_full_disk_of_the_server_refuses_writes_until_space_is_freed(
    small_data: Path, start_on: Open
) -> None:
    folder = small_data
    postgresql.initialize(folder, f"--waldir={folder / 'wal'}")
    with postgresql.started(folder, **postgresql.FAST) as server:
        alice = await start_on(server.url())
        await alice.put_video()
        report = await alice.share()
        filler = fill(folder / "data")
        number = 0
        while (answer := await alice.put(f"/api/videos/{number}", LARGE)).status == 201:
            number += 1
        assert is_unavailable(answer)
        assert (await alice.get(f"{LINKS}/{report['share_hash']}")).status == 200
        assert (await alice.get(f"/api/videos/{number}")).status == 404
        filler.unlink()
        assert (await alice.put(f"/api/videos/{number}", LARGE)).status == 201
        assert await works(alice)
        assert not await failing_checks(alice)


async def test_full_disk_of_the_log_stops_the_server_and_loses_no_link(
    small_wal: Path, start_on: Open
) -> None:
    """PostgreSQL ends itself; with space it recovers all that it has acknowledged."""
    folder = small_wal
    postgresql.initialize(folder, f"--waldir={folder / 'wal'}")
    reports = []
    with postgresql.started(folder, **postgresql.FAST, restart_after_crash="off") as server:
        alice = await start_on(server.url())
        await alice.put_video()
        filler = fill(folder / "wal")
        while (answer := await alice.put("/api/videos/job-2", LARGE)).status < 300:
            reports.append(await alice.share())
        assert is_unavailable(answer)
        assert reports
        await asyncio.to_thread(server.process.wait, postgresql.PATIENCE)  # nobody has to stop it
    assert "No space left on device" in server.log
    filler.unlink()
    with postgresql.started(folder, **postgresql.FAST):
        for report in reports:
            assert (await alice.get(f"{LINKS}/{report['share_hash']}")).status == 200
        assert await works(alice)
        assert not await failing_checks(alice)
