"""What a storm's webhook was sent: each kind of fault is found, and nothing else."""

from dataclasses import replace

import pytest
from calls import Event
from receiver import Message, broken_deliveries

EVENTS = [
    Event(1, "shared_report.created", {"id": "1"}),
    Event(2, "shared_report.revoked", {"id": "1"}),
    Event(3, "video.replaced", {"id": "7"}),
]
GOOD = [
    Message(event.id, {"type": event.type, "data": event.data}, is_genuine=True)
    for event in EVENTS[1:]
]


def test_messages_of_all_events_in_their_order_are_good() -> None:
    assert list(broken_deliveries(GOOD, EVENTS)) == []
    assert list(broken_deliveries([*GOOD, GOOD[0], GOOD[1]], EVENTS)) == []


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        (GOOD[:1], "1 of 2 events were not delivered: [3]"),
        ([*GOOD, replace(GOOD[0], event_id=4)], "1 deliveries of no event: [4]"),
        ([replace(GOOD[0], event_id=1), *GOOD], "1 deliveries of no event: [1]"),
        (GOOD[::-1], "1 deliveries after a later one: [2]"),
        ([GOOD[0], replace(GOOD[1], is_genuine=False)], "a wrong signature"),
        ([GOOD[0], replace(GOOD[1], body=GOOD[0].body)], "is not Event(id=3"),
    ],
)
def test_wrong_messages_are_named(messages: list[Message], fault: str) -> None:
    [broken] = broken_deliveries(messages, EVENTS)
    assert fault in broken
