"""Faults of the database's files under the running process: deleted, moved, replaced, damaged.

Reads go on, writes are refused until the file is back. The processes are real ones.
"""

import os
import resource
import shutil
import socket
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from support.faults import BODY, PAGE, Serve, Served, serve_in
from support.process import PATIENCE, run

from service.repositories.sqlite.engine.lock import serve_lock

serve = pytest.fixture(serve_in)


GONE = "test.sqlite3 was deleted under the running service."


def ours(file: Path) -> list[Path]:
    return [file, *(file.with_name(f"{file.name}{each}") for each in ("-wal", "-shm"))]


def open_files(service: Served) -> list[str]:
    folder = Path(f"/proc/{service.server.process.pid}/fd")
    return [str(each.readlink()) for each in folder.iterdir()]


def copied(service: Served) -> Path:
    copy = service.file.with_name("copy.sqlite3")
    assert run("backup", str(copy), folder=service.file.parent).returncode == 0
    return copy


def test_database_file_deleted_refuses_writes_until_it_is_restored(serve: Serve) -> None:
    """What would be written to a file without a name is not acknowledged."""
    with serve() as service:
        copy = copied(service)
        later = service.create()["share_hash"]
        assert service.view(later) == 200  # it is kept, and the copy has the same cache generation
        for each in ours(service.file):
            each.unlink()
        assert service.refused() == GONE
        shutil.move(copy, service.file)
        own = service.create()["share_hash"]
        assert service.view(later) == 404
        assert service.links() == {service.link, own}
        service.is_well()
        assert not [each for each in open_files(service) if each.endswith(" (deleted)")]
        service.stops_well()


def test_database_file_moved_away_refuses_writes_until_it_is_back(serve: Serve) -> None:
    with serve() as service:
        away = service.file.with_name("away")
        service.file.rename(away)
        assert service.refused() == GONE
        away.rename(service.file)
        service.is_well()
        assert service.links() == {service.link}
        service.stops_well()


def test_database_file_replaced_beside_its_old_log_is_switched_to(serve: Serve) -> None:
    """The log must not be taken for that of the new file."""
    with serve() as service:
        copy = copied(service)
        later = [service.create()["share_hash"] for _ in range(20)]
        old = service.file.with_name("old")
        service.file.rename(old)
        copy.rename(service.file)
        service.is_well()
        assert service.links() == {service.link}
        with closing(sqlite3.connect(old)) as moved:  # what was acknowledged is in the old one
            rows = moved.execute("SELECT share_hash FROM shared_reports").fetchall()
        assert {row[0] for row in rows} == {service.link, *later}
        service.stops_well()


@pytest.mark.parametrize("which", [1, 2], ids=["log", "index"])
def test_log_deletion_loses_no_acknowledged_write(serve: Serve, which: int) -> None:
    with serve() as service:
        acknowledged = {service.link, *(service.create()["share_hash"] for _ in range(20))}
        ours(service.file)[which].unlink()
        acknowledged.add(service.create()["share_hash"])
        service.server.process.kill()
        service.server.process.wait(PATIENCE)
        with closing(sqlite3.connect(service.file)) as left:
            rows = left.execute("SELECT share_hash FROM shared_reports").fetchall()
        assert {row[0] for row in rows} == acknowledged


def test_database_file_replaced_by_another_format_is_not_opened(serve: Serve) -> None:
    with serve() as service:
        away = service.file.with_name("away")
        service.file.rename(away)
        with closing(sqlite3.connect(service.file)) as stranger:
            stranger.execute("CREATE TABLE t (x)")
        before = service.file.read_bytes()
        said = "test.sqlite3 was replaced by what is no database of this release."
        assert service.refused() == said
        service.file.write_text("no database at all, and longer than a header of a database is")
        assert service.refused() == said
        service.file.write_bytes(before)
        assert service.refused() == said
        assert service.file.read_bytes() == before
        away.rename(service.file)
        service.is_well()
        service.stops_well()


def test_database_file_served_by_another_process_is_not_opened(serve: Serve) -> None:
    with serve() as service:
        copy = copied(service)
        for each in service.file.parent.glob("test.sqlite3*"):  # the lock as well
            each.unlink()
        copy.rename(service.file)
        with serve_lock(service.file, "is being served"):
            assert service.refused().endswith("is served by another process.")
        service.is_well()
        with (
            pytest.raises(Exception, match="is being served"),
            serve_lock(service.file, "is being served"),
        ):
            pass
        service.stops_well()


def test_damaged_file_is_served_where_intact_until_it_is_replaced(serve: Serve) -> None:
    """What the damage has not reached is still served, and the rest once a copy is in its place."""
    with serve() as service:
        copy = copied(service)
        with closing(sqlite3.connect(service.file)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            [[page]] = other.execute(
                "SELECT rootpage FROM sqlite_schema WHERE name = 'shared_reports'"
            ).fetchall()
        service.call("PUT", "/api/videos/job-1", {"video_name": "y"})  # caches are looked at anew
        with service.file.open("r+b") as file:
            file.seek((page - 1) * PAGE)
            file.write(b"\xff" * PAGE)
        with closing(service.connect()) as connection:
            status, problem, retry_after = service.call(
                "POST", "/api/shared-reports", BODY, connection
            )
        assert (status, retry_after) == (503, "1"), problem
        assert service.call("GET", "/api/videos")[0] == 200
        assert (
            service.failing()["database_read"] == "The file is damaged: see `shared-reports check`."
        )
        assert "malformed" in service.faults()[0]
        copy.rename(service.file)
        service.is_well()
        assert service.links() == {service.link}
        service.stops_well()


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_file_descriptor_exhaustion_keeps_connected_clients_served(serve: Serve) -> None:
    """Those who are connected are served, others are turned away without a storm of tries."""
    with serve() as service:
        pid = service.server.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(open_files(service)), limits[1]))
        turned_away = [socket.create_connection(service.address) for _ in range(20)]
        spent, lines = processor_seconds(pid), len(service.server.events())
        for each in turned_away:
            each.settimeout(1)
            with each, suppress(OSError):
                assert not each.recv(1)
        service.reads_go_on()
        service.is_well()
        assert service.call("GET", "/docs")[0] == 200
        assert service.call("GET", "/metrics")[0] == 200
        assert processor_seconds(pid) - spent < 1
        assert len(service.server.events()) - lines < 20 + 20
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        with closing(service.connect()) as connection:
            assert service.call("GET", "/livez", connection=connection)[0] == 200
        service.stops_well()
