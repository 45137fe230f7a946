"""No space is left for the server's tables."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import postgresql
from support.harness import export, segment
from support.server_faults import LINKS, Open, failing_checks, is_unavailable, works

pytestmark = pytest.mark.slow

SIZE = "96m"
LARGE = export(segments=[segment(n, n + 1, content=os.urandom(500).hex()) for n in range(500)])


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A server's folder whose tables are on a small file system; the log is elsewhere."""
    folder = postgresql.make_folder()
    data = folder / "data"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(data)]
    try:
        if sys.platform != "linux" or subprocess.run(mount, check=False).returncode:
            pytest.skip("no small file system can be mounted here")
        shutil.chown(data, folder.owner(), folder.group())
        yield folder
        subprocess.run(["umount", data], check=True)
    finally:
        shutil.rmtree(folder)


async def test_full_disk_of_the_server_refuses_writes_until_space_is_freed(
    small_disk: Path, start_on: Open
) -> None:
    folder = small_disk
    postgresql.initialize(folder, f"--waldir={folder / 'wal'}")
    with postgresql.started(folder, **postgresql.FAST) as server:
        alice = await start_on(server.url())
        await alice.put_video()
        report = await alice.share()
        filler = folder / "data/filler"
        with filler.open("wb") as file:
            left = shutil.disk_usage(folder / "data").free
            file.write(bytes(max(0, left - 2**21)))
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
