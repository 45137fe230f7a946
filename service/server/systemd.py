"""What systemd and the like agree on with the services they start, by the environment.

``LISTEN_FDS`` and ``LISTEN_PID`` hand over sockets that listen already (sd_listen_fds(3));
``NOTIFY_SOCKET`` wants to be told how things stand (sd_notify(3)).
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

_FIRST_SOCKET = 3

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Whoever started this process; the default is someone who asks nothing and hands nothing."""

    notify_address: str | None = None
    """A Unix datagram socket; one that begins with ``@`` is abstract."""
    socket_count: int = 0

    @classmethod
    def from_env(cls, environ: Mapping[str, str], pid: int) -> "Supervisor":
        """What ``environ`` says to the process ``pid``; sockets for another are left alone."""
        count = environ.get("LISTEN_FDS", "")
        ours = environ.get("LISTEN_PID") == str(pid) and count.isdecimal()
        return cls(environ.get("NOTIFY_SOCKET"), int(count) if ours else 0)

    def sockets(self) -> list[socket.socket]:
        """The listening sockets that were handed over."""
        sockets = [socket.socket(fileno=_FIRST_SOCKET + n) for n in range(self.socket_count)]
        for each in sockets:
            each.set_inheritable(False)
        return sockets

    def notify(self, state: str) -> None:
        """Send a state such as ``READY=1`` to systemd. A failure is logged; serving continues."""
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
