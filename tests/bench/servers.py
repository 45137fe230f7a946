"""Server processes: each on the servers' core, watched from outside."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE, LOAD_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]
_TICKS = os.sysconf("SC_CLK_TCK")  # a second
_PATIENCE = 30.0


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Seconds of the processor's that all its threads have used."""
        return cpu(self.pid)

    def peak(self) -> float:
        """The most memory that it has ever had, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024


def cpu(pid: int) -> float:
    """Seconds of the processor's that all threads of a process have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def worked() -> float:
    """Seconds that the two cores have worked for anybody, other machines on the same host too."""
    cores = {f"cpu{SERVER_CORE}", f"cpu{LOAD_CORE}"}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    # user, nice, system and steal; what interrupts take is nobody's
    times = [[int(line[field]) for field in (1, 2, 3, 8)] for line in lines if line[0] in cores]
    return sum(map(sum, times)) / _TICKS


def pin(core: int) -> Callable[[], None]:
    """What a new process is to do first, to stay on one core."""
    return lambda: os.sched_setaffinity(0, {core})


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment with these settings of the service, and no others."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("SHARED_REPORTS_")
    }
    return kept | {f"SHARED_REPORTS_{name}": value for name, value in settings.items()}


@contextmanager
def serving(
    command: list[str], log: Path, settings: Mapping[str, str], cwd: Path | None = None
) -> Iterator[Server]:
    """A server from its first accepted connection to its end.

    It is told its port as ``{port}`` in the command, and by the service's setting.
    """
    port = free_port()
    with log.open("w") as output:
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            env=environment({"PORT": str(port), **settings}),
            cwd=cwd,
            stdout=output,
            stderr=output,
            preexec_fn=pin(SERVER_CORE),  # noqa: PLW1509 - no threads here
        )
    try:
        _wait(process, port, log)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.002)
    raise RuntimeError(f"{process.args!r} does not serve: {log.read_text()[-2000:]}")


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
