"""A queue in which callers take turns."""

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

SERVICE_TURNS = 4


class FairQueue(Generic[T]):
    """Items of several callers: a caller with a hundred items delays another one by one item.

    Items of the caller None, which is the service itself, come first, but no more than
    SERVICE_TURNS in a row: the others never wait for all of them.
    """

    def __init__(self) -> None:
        self._items: dict[Hashable, deque[T]] = {}
        """By caller, in the order of their turns."""
        self._service_turns = 0
        """The turns that the caller None has had in a row."""

    def __bool__(self) -> bool:
        return bool(self._items)

    def __iter__(self) -> Iterator[T]:
        for items in self._items.values():
            yield from items

    def count(self, caller: Hashable) -> int:
        """Return how many items of a caller wait."""
        return len(self._items.get(caller, ()))

    def append(self, item: T, caller: Hashable = None) -> None:
        """Add the last item of a caller."""
        self._items.setdefault(caller, deque()).append(item)

    def peek(self) -> tuple[Hashable, T]:
        """Return the caller whose turn it is, and its first item."""
        caller = next(iter(self._items))
        if None in self._items:
            caller = None
            if self._service_turns >= SERVICE_TURNS:
                caller = next((other for other in self._items if other is not None), None)
        return caller, self._items[caller][0]

    def take(self, caller: Hashable) -> T:
        """Remove and return a caller's first item; its next turn is after the other callers'."""
        self._service_turns = self._service_turns + 1 if caller is None else 0
        items = self._items.pop(caller)
        item = items.popleft()
        if items:
            self._items[caller] = items
        return item

    def clear(self) -> None:
        """Remove all items."""
        self._items.clear()
