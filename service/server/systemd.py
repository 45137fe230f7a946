"""Socket activation and state notification by systemd, or a supervisor with its protocol.

``LISTEN_FDS`` and ``LISTEN_PID`` hand over listening sockets (sd_listen_fds(3)). The state of the
service goes to ``NOTIFY_SOCKET`` (sd_notify(3)).
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

_FIRST_SOCKET = 3

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The supervisor of this process; by default it has no sockets and wants no notification."""

    notify_address: str | None = None
    """A Unix datagram socket; one that begins with ``@`` is abstract."""
    socket_count: int = 0

    @classmethod
    def from_env(cls, environ: Mapping[str, str], pid: int) -> "Supervisor":
        """Return what ``environ`` says to the process ``pid``; sockets for another are ignored."""
        count = environ.get("LISTEN_FDS", "")
        ours = environ.get("LISTEN_PID") == str(pid) and count.isdecimal()
        return cls(environ.get("NOTIFY_SOCKET"), int(count) if ours else 0)

    def sockets(self) -> list[socket.socket]:
        """Return the listening sockets that were handed over."""
        sockets = [socket.socket(fileno=_FIRST_SOCKET + n) for n in range(self.socket_count)]
        for listener in sockets:
            listener.set_inheritable(False)
        return sockets

    def notify(self, state: str) -> None:
        """Send a state such as ``READY=1``. A failure is logged, and serving goes on."""
        if not self.notify_address:
            return
        address = self.notify_address
        if address.startswith("@"):
            address = f"\0{address[1:]}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(0)
                sender.sendto(state.encode(), address)
        except OSError as error:
            log.warning("systemd notification failed", state=state, error=str(error))
