"""Standard error that is full, slow, closed or broken stops nothing, and hides no loss."""

import io
import json
import os
import resource
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

import pytest
import structlog
from support.harness import Start
from support.metrics import scrape
from support.process import COMMAND, PATIENCE, await_true, environment, run

from service.telemetry import log_sink, logs
from service.telemetry.log_sink import BackgroundLogSink, LogSink

HEADS = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """The two ends of a pipe, as a descriptor and as a stream."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        yield read, stream
    os.close(read)


@contextmanager
def logging_to(stream: TextIO) -> Iterator[BackgroundLogSink]:
    """Let structlog write to ``stream`` in the background, as JSON."""
    sink = BackgroundLogSink(stream)
    logs.configure("json", "info", sink)
    try:
        yield sink
    finally:
        sink.close(PATIENCE)
        structlog.reset_defaults()


def read_all(descriptor: int) -> Iterator[str]:
    """The lines that a pipe holds and will hold, to its end."""
    with open(descriptor, closefd=False) as stream:
        yield from stream


def test_log_sink_keeps_order_and_writes_all_by_its_close(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(read_all(read)))
    reader.start()
    with logging_to(stream) as sink:
        for number in range(20_000):
            sink.write(f"line {number}\n")
        assert sink.close(PATIENCE)
    stream.close()
    reader.join()
    assert lines == [f"line {number}\n" for number in range(20_000)]
    assert sink.dropped_lines == 0


def test_log_sink_goes_on_after_an_empty_text(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    sink = BackgroundLogSink(stream)
    sink.write("")
    await_true(lambda: not sink._texts, "the thread's turn")
    sink.write("one\n")
    assert sink.close(PATIENCE)
    stream.close()
    assert list(read_all(read)) == ["one\n"]


def test_log_sink_bounds_what_waits_and_reports_drops_once(
    pipe: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_sink, "MAX_PENDING_BYTES", 100_000)
    read, stream = pipe
    with logging_to(stream) as sink:
        for number in range(1_000):
            sink.write(f"{number:03}{'x' * 996}\n")
        written = 1_000 - sink.dropped_lines
        assert 64 <= written <= 100
        sink.write("small\n")  # dropped too: a reader must not take it for the next line
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(read_all(read)))
        reader.start()
        await_true(lambda: len(lines) > written, "the report")
        sink.write("afterwards\n")
    stream.close()
    reader.join()
    assert [line[:3] for line in lines[:written]] == [f"{number:03}" for number in range(written)]
    report = json.loads(lines[written])
    assert (report["level"], report["event"]) == ("warning", "log lines dropped")
    assert report["count"] == sink.dropped_lines == 1_001 - written
    assert lines[written + 1 :] == ["afterwards\n"]


def test_log_sink_closes_in_time_if_nobody_reads(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    sink = BackgroundLogSink(stream)
    sink.write("x" * 2**20 + "\n")
    assert not sink.close(0.01)
    with open(read, "rb", closefd=False) as reader:
        assert reader.read(2**20 + 1).endswith(b"x\n")
    assert sink.close(PATIENCE)


def test_log_sink_waits_for_a_descriptor_that_does_not_block(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    os.set_blocking(stream.fileno(), False)
    sink = BackgroundLogSink(stream)
    sink.write("x" * 2**20 + "\n")
    with open(read, "rb", closefd=False) as reader:
        assert reader.read(2**20 + 1).endswith(b"x\n")
    assert sink.close(PATIENCE)
    assert sink.dropped_lines == 0


def test_log_sink_counts_what_a_full_disk_drops() -> None:
    with Path("/dev/full").open("w") as stream, logging_to(stream) as sink:
        sink.write("one\ntwo\n")
        sink.write("three\n")
        assert sink.close(PATIENCE)
        assert sink.dropped_lines == 3


def test_log_sink_counts_what_a_closed_pipe_drops() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream, logging_to(stream) as sink:
        sink.write("lost\n")
        assert sink.close(PATIENCE)
        assert sink.dropped_lines == 1


def test_log_sink_ends_a_torn_line_before_the_next(tmp_path: Path) -> None:
    file = tmp_path / "log"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with file.open("w") as stream, logging_to(stream) as sink:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
        try:
            sink.write("x" * 100 + "\n")
            await_true(lambda: sink.dropped_lines, "the torn line")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        sink.write("next\n")
        assert sink.close(PATIENCE)
    torn, following, report = file.read_text().splitlines()
    assert (torn, following) == ("x" * 50, "next")
    assert json.loads(report)["count"] == 1


async def test_log_sink_drops_are_a_metric(start: Start) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError

    service = await start(log_sink=LogSink(Full()))
    metrics = await scrape(service.public)
    assert metrics["shared_reports_log_dropped_lines_total"] == 0
    # The request for the first metrics has been logged by now.
    metrics = await scrape(service.public)
    assert metrics["shared_reports_log_dropped_lines_total"] == 1


def test_service_with_a_full_stderr_serves_and_stops(tmp_path: Path) -> None:
    read, write = os.pipe()
    path = tmp_path / "socket"
    with os.fdopen(read, "rb") as reader:
        process = subprocess.Popen(
            [*COMMAND, "serve"],
            env=environment(tmp_path, LOG_FORMAT="json", UNIX_SOCKET=path),
            stderr=write,
        )
        os.close(write)
        try:
            assert any(b'"listening"' in line for line in reader)
            requests = 1_000  # their lines are 3 times what the pipe holds
            assert answered(path, requests) == requests
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()
        # All that the pipe took is there, in order.
        *lines, _torn = reader.read().split(b"\n")
        assert len(lines) > 100
        assert {json.loads(line)["route"] for line in lines} == {"/livez"}


def is_listening(path: Path) -> bool:
    """Whether a process accepts connections; the socket is there a moment earlier."""
    with closing(socket.socket(socket.AF_UNIX)) as client:
        return client.connect_ex(str(path)) == 0


def answered(path: Path, requests: int) -> int:
    """How many of so many requests, one after the other, are answered 200."""
    count = 0
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        for _ in range(requests):
            client.sendall(HEADS.encode())
            count += client.recv(65536).startswith(b"HTTP/1.1 200 ")
    return count


def test_service_with_a_closed_stderr_serves_and_stops(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    closed = ("sh", "-c", 'exec "$@" <&- 2>&-', "sh")
    process = subprocess.Popen(
        [*closed, *COMMAND, "serve"], env=environment(tmp_path, UNIX_SOCKET=path)
    )
    try:
        await_true(lambda: is_listening(path), "the socket")
        assert answered(path, 10) == 10
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    # No file of the database had the descriptor of standard error.
    assert run("check", folder=tmp_path).returncode == 0
    refused = run("keys", "revoke", "1", folder=tmp_path, under=closed)
    assert (refused.returncode, refused.stdout) == (1, "")
