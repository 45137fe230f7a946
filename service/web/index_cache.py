"""Kept indexes of reports, so that to move about in a report, or to search it, reads it once.

An index is of what a link shows of one version of a video: links that show the same share it. Like
a kept rendering it is never wrong, because a change makes it one of another key; whether a link may
be shown is checked for each request.
"""

from collections import OrderedDict
from typing import NamedTuple

from service.domain.links import Link
from service.web.pages.report_index import ReportIndex

_MIB = 2**20


class IndexKey(NamedTuple):
    """What an index depends on."""

    modules: str | None
    video_version: str


class IndexCache:
    """Keeps indexes, ``capacity`` MiB at most; the least recently used goes first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity * _MIB
        self._indexes: OrderedDict[IndexKey, ReportIndex] = OrderedDict()
        self.epoch = 0
        """Grows when another database takes the place of the one that was read."""
        self.size = 0

    def get(self, link: Link) -> ReportIndex | None:
        """Return the index of what a link shows, if it is kept."""
        key = IndexKey(link.modules, link.video_version)
        index = self._indexes.get(key)
        if index is not None:
            self._indexes.move_to_end(key)
        return index

    def keep(self, link: Link, index: ReportIndex, epoch: int) -> None:
        """Keep an index that was made in an epoch, unless it is larger than all that is kept."""
        key = IndexKey(link.modules, link.video_version)
        if epoch != self.epoch or index.size > self._capacity or key in self._indexes:
            return
        self._indexes[key] = index
        self.size += index.size
        while self.size > self._capacity:
            self.size -= self._indexes.popitem(last=False)[1].size

    def clear(self) -> None:
        """Drop all indexes: the database is another one, with other rows of the same ids."""
        self.epoch += 1
        self._indexes.clear()
        self.size = 0
