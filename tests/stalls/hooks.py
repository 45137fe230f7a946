"""Webhooks with the longest fields, and one with many deliveries."""

from asking import Ask
from stored import CREATED, Stored

LONGEST_HOOK = {
    "url": f"https://hooks.invalid/{'x' * 1_900}",
    "events": ["video.deleted"],
    "description": "\u00fc" * 200,
}


def new_hook(stored: Stored) -> str:
    """The one webhook of the owner; a user has few, and events of others must not be delivered."""
    stored.sql("DELETE FROM webhooks")
    return str(stored.call("POST", "/api/webhooks", LONGEST_HOOK)["id"])


def new_delivery(stored: Stored) -> str:
    [hook] = stored.call("GET", "/api/webhooks")
    return str(stored.call("POST", f"/api/webhooks/{hook['id']}/test")["id"])


def delivered_hook(stored: Stored) -> str:
    hook_id = new_hook(stored)
    stored.sql(
        "INSERT INTO webhook_deliveries (webhook_id, event_id, type, created_at, status, error)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " SELECT :id, i, 'video.deleted', :now, 'delivered', :error FROM n",
        id=int(hook_id),
        now=CREATED,
        error="x" * 100,
    )
    return hook_id


def all_hooks(stored: Stored) -> Ask:
    new_hook(stored)
    for _ in range(19):
        stored.call("POST", "/api/webhooks", LONGEST_HOOK)
    return Ask("GET", "/api/webhooks", b"", {"Authorization": stored.key})
