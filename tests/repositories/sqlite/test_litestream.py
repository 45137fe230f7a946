"""Litestream beside the running service, as docs/backup.md describes it, and its restore."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.docs import blocks
from support.process import PATIENCE, Load, await_true, get, new_key, request, run, serving

FOUND = shutil.which("litestream", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")

if FOUND is None:
    if os.environ.get("CI"):
        pytest.fail("CI has no Litestream", pytrace=False)
    pytest.skip("there is no Litestream on this machine", allow_module_level=True)

LITESTREAM = str(FOUND)


class Replication:
    """A running Litestream."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self._folder = folder

    def sync(self) -> None:
        """Have all that is written now copied to the replica; back when it is there."""
        done = command(
            *("sync", "-wait", "-timeout", f"{PATIENCE:.0f}"),
            *("-socket", self._folder / "litestream.sock", self._folder / "test.sqlite3"),
        )
        assert done.returncode == 0, done.stderr


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LITESTREAM, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def as_here(text: str, folder: Path) -> str:
    """A text of the document, for the database and the replica in ``folder``."""
    for there, here in [
        ("/var/lib/shared-reports", str(folder)),
        ("/mnt/replica", f"{folder}/replica"),
        ("shared-reports.sqlite3", "test.sqlite3"),
    ]:
        text = text.replace(there, here)
    return text


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of the document, with other paths and a control socket."""
    [text] = blocks("backup", "yml")
    text = as_here(text, tmp_path)
    file = tmp_path / "litestream.yml"
    file.write_text(f"{text}socket: {{enabled: true, path: {tmp_path / 'litestream.sock'}}}\n")
    return file


@contextmanager
def replicating(config: Path) -> Iterator[Replication]:
    with (config.parent / "litestream.log").open("w") as log:
        process = subprocess.Popen(
            [LITESTREAM, "replicate", "-config", config], stdout=log, stderr=log
        )
    try:
        socket = config.parent / "litestream.sock"
        await_true(lambda: command("list", "-socket", socket).returncode == 0, "it answers")
        yield Replication(config.parent, process)
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_litestream_restore_holds_every_replicated_link(tmp_path: Path, config: Path) -> None:
    key = new_key(tmp_path)
    with (
        serving(tmp_path, CHECKPOINTER="litestream") as server,
        replicating(config) as litestream,
    ):
        request("PUT", f"{server.url}/api/videos/j", {"name": "x"}, Authorization=key)
        with Load(server.url, key, "j") as load:
            for _ in range(3):
                load.go_on(50)
                replicated = list(load.acknowledged)
                litestream.sync()
            load.go_on(1)
            server.process.kill()
            litestream.process.kill()
            for process in (server.process, litestream.process):
                process.wait(PATIENCE)
        assert len(replicated) >= 150
    log = (tmp_path / "litestream.log").read_text()
    assert "level=ERROR" not in log, log
    restore = subprocess.run(
        ["sh", "-ec", as_here(blocks("backup", "sh")[1], tmp_path)],
        env=os.environ
        | {"PATH": f"{Path(LITESTREAM).parent}:{os.environ['PATH']}"}
        | {"LITESTREAM_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert restore.returncode == 0, restore.stderr
    assert stat.S_IMODE((tmp_path / "test.sqlite3").stat().st_mode) == 0o600
    checked = run("check", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout
    with serving(tmp_path, CHECKPOINTER="litestream") as server, replicating(config) as litestream:
        litestream.sync()
        assert get(f"{server.url}/readyz")[0] == 200
        for share_hash in replicated:
            assert get(f"{server.url}/api/shared-reports/{share_hash}")[0] == 200
