"""The thread pools of the web, one for each kind of work."""

from collections.abc import Iterator

from service.concurrency.bounded_pool import BoundedPool


class Pools:
    """Pools that render, write downloads, parse, render the console, and compress.

    A call gets its place before it reads an analysis of up to 32 MiB, so what is in memory at once
    is bounded by the places. Only calls that wait to be parsed hold their bodies meanwhile.
    """

    def __init__(self) -> None:
        self.rendering = BoundedPool("rendering", 2, queue_size=100, caller_limit=50)
        self.downloads = BoundedPool("downloads", 2, queue_size=100, caller_limit=50)
        self.parsing = BoundedPool("parsing", 2, queue_size=256, caller_limit=128)
        self.console = BoundedPool("console", 1, queue_size=100, caller_limit=20)
        self.compression = BoundedPool("compression", 1, queue_size=16, caller_limit=8)

    def __iter__(self) -> Iterator[BoundedPool]:
        return iter((self.rendering, self.downloads, self.parsing, self.console, self.compression))

    def close(self) -> None:
        """Reject the calls that wait, and end the threads."""
        for pool in self:
            pool.close()
