"""The end of every log line: a stream, written at once or by a thread of its own."""

import select
import threading
from contextlib import suppress
from typing import TextIO

import structlog

MAX_PENDING_BYTES = 8 * 2**20
"""Text that may wait for the reader of the log: about 4 s of request lines at 8,000 a second."""

_RETRY_INTERVAL = 1.0  # seconds between two looks at a descriptor that takes nothing

log = structlog.get_logger()


class LogSink:
    """Writes lines to a stream at once.

    Lines that the stream cannot take (a full disk, a closed pipe) are dropped and counted: a
    request must not fail because its log line does.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.dropped_lines = 0
        """Lines that were not written, since the start."""

    def isatty(self) -> bool:
        """Whether a terminal shows the lines."""
        return self._stream.isatty()

    def write(self, text: str) -> None:
        """Write whole lines."""
        try:
            self._stream.write(text)
        except OSError:
            self.dropped_lines += text.count("\n")

    def flush(self) -> None:
        """Write what the stream has buffered."""
        with suppress(OSError):
            self._stream.flush()


class BackgroundLogSink(LogSink):
    """Writes lines to a stream's descriptor from a thread of its own; ``write`` never blocks.

    At most MAX_PENDING_BYTES wait for the thread. If they are exceeded, every line is dropped
    until all of them are written; then one line tells how many were dropped. Lines keep their
    order.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        # The thread must never hold the lock of the stream's buffer: the interpreter flushes
        # `sys.stderr` when it exits, and would wait for that lock.
        self._raw = open(stream.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115 - stays open until the process exits
        self._changed = threading.Condition()  # reentrant: a finalizer may log inside `write`
        self._texts: list[bytes] = []
        self._pending_bytes = 0
        self._overflowing = False
        self._unreported_lines = 0
        self._closing = False
        self._line_is_torn = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Queue whole lines; drop them if too much is waiting already."""
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            size = self._pending_bytes + len(data)
            if self._overflowing or size > MAX_PENDING_BYTES:
                self._overflowing = self._pending_bytes > 0
                self._count_dropped(text.count("\n"))
                return
            self._texts.append(data)
            self._pending_bytes = size
            self._changed.notify()

    def flush(self) -> None:
        """Do nothing: the thread writes without being asked."""

    def close(self, timeout: float) -> bool:
        """Write what is waiting, for at most ``timeout`` seconds; return whether all is written."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (data := self._take()) is not None:
            is_written = self._write_all(data)
            with self._changed:
                self._pending_bytes -= len(data)
                self._overflowing = self._overflowing and self._pending_bytes > 0
                report = is_written and not self._overflowing
                lines = self._unreported_lines if report else 0
                self._unreported_lines -= lines
            if lines:
                log.warning("log lines dropped", count=lines)

    def _take(self) -> bytes | None:
        """Wait for texts and return all of them as one; None if the sink is closed."""
        with self._changed:
            while not self._texts and not self._closing:
                self._changed.wait()
            texts, self._texts = self._texts, []
        return b"".join(texts) if texts else None

    def _write_all(self, data: bytes) -> bool:
        """Write ``data``, however long it takes; return whether the stream took all of it."""
        if self._line_is_torn:
            data = b"\n" + data
        rest = memoryview(data)
        try:
            while rest:
                written = self._raw.write(rest)
                if written is None:  # somebody has made the descriptor non-blocking
                    select.select([], [self._raw], [], _RETRY_INTERVAL)
                else:
                    rest = rest[written:]
        except OSError:
            if done := len(data) - len(rest):
                self._line_is_torn = data[done - 1] != ord("\n")
            with self._changed:
                self._count_dropped(bytes(rest).count(b"\n"))
            return False
        self._line_is_torn = False
        return True

    def _count_dropped(self, lines: int) -> None:
        self.dropped_lines += lines
        self._unreported_lines += lines
