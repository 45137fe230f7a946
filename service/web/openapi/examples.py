"""Examples of all request and response bodies.

Responses are values of their types, so they cannot differ from them. Requests are as short as a
caller would write them. All are of one user, one video and one link.
"""

from typing import Any

import msgspec

from service import __version__
from service.domain.access import AccessGrant
from service.domain.api_keys import ApiKey, CreatedApiKey
from service.domain.events import Event, EventList, snapshot_of
from service.domain.links import (
    NO_SETTINGS,
    AllRevoked,
    CreatedLink,
    PublicReport,
    new_report,
)
from service.domain.statistics import ViewBucket, ViewStatistics
from service.domain.types import Done
from service.domain.usage import Usage, UsageOf
from service.domain.videos import PublicVideo, ReportDocument, Segment, Video
from service.domain.webhooks import CreatedWebhook, Webhook, WebhookDelivery

JOB_ID = "a1b2c3d4"
SHARE_HASH = "xK9mP2qR7wLnY4vB"
_USER_ID = "550e8400-e29b-41d4-a716-446655440000"
TIMESTAMP = "2025-01-15T10:00:00"
_PREFIX = "lvz_live_4f6d1c…"

_PUBLIC_VIDEO = PublicVideo(
    id="1",
    job_id=JOB_ID,
    name="Product Demo",
    status="completed",
    duration=120.5,
    processing_time=15.7,
    created_at=TIMESTAMP,
    updated_at=TIMESTAMP,
    modules=("scenes",),
)
_SEGMENT = Segment(
    id="1",
    job_id=JOB_ID,
    module="scenes",
    content="Scene 1",
    start_time=0.0,
    end_time=4.2,
    metadata={"start_frame": 0, "end_frame": 126},
    created_at=TIMESTAMP,
)

_WEBHOOK = Webhook(
    id="1",
    url="https://hooks.example/reports",
    events=("shared_report.viewed", "shared_report.expired"),
    description="the newsroom's",
    is_active=1,
    created_at=TIMESTAMP,
    failing_since=None,
    disabled_reason=None,
)

_LINK = msgspec.structs.replace(
    new_report(
        _USER_ID,
        CreatedLink(SHARE_HASH, 1, 1, TIMESTAMP),
        msgspec.structs.replace(NO_SETTINGS, label="for the press"),
    ),
    view_count=7,
    last_viewed_at=TIMESTAMP,
    bot_view_count=2,
)
_EVENT = Event(
    id="17",
    type="shared_report.viewed",
    created_at=TIMESTAMP,
    data=snapshot_of(_LINK, new_views=3, new_bot_views=1),
)

_ANSWERS = (
    _LINK,
    PublicReport(
        share_hash=SHARE_HASH,
        video=_PUBLIC_VIDEO,
        created_at=TIMESTAMP,
    ),
    Video(
        id="1",
        user_id=_USER_ID,
        job_id=JOB_ID,
        project_id=None,
        name="Product Demo",
        status="completed",
        selected_insights='["scenes"]',
        duration=120.5,
        file_size=None,
        processing_time=15.7,
        storage_path=None,
        created_at=TIMESTAMP,
        updated_at=TIMESTAMP,
    ),
    _SEGMENT,
    ReportDocument(video=_PUBLIC_VIDEO, segments=[_SEGMENT]),
    ApiKey(
        id="1",
        name="ci",
        key_prefix=_PREFIX,
        is_active=1,
        last_used_at=TIMESTAMP,
        created_at=TIMESTAMP,
    ),
    CreatedApiKey(
        id="1",
        name="ci",
        key_prefix=_PREFIX,
        is_active=1,
        last_used_at=None,
        created_at=TIMESTAMP,
        raw_key=f"lvz_live_4f6d1c{'0123456789' * 5}abcdef01",
    ),
    AccessGrant(
        token=f"2025-01-15T10:15:00.{'0123456789abcdef' * 4}", expires_at="2025-01-15T10:15:00"
    ),
    _EVENT,
    EventList(events=(_EVENT,), next="17", has_more=False, enabled=True),
    _WEBHOOK,
    CreatedWebhook(**msgspec.structs.asdict(_WEBHOOK), secret=f"whsec_{'0123456789' * 4}abc="),
    WebhookDelivery(
        id="1",
        event_id="1",
        type="shared_report.created",
        status="pending",
        attempts=1,
        created_at=TIMESTAMP,
        last_attempt_at=TIMESTAMP,
        status_code=503,
        error="The answer had the status 503.",
        next_attempt_at="2025-01-15T10:00:05",
    ),
    Done(),
    AllRevoked(deleted=3),
    ViewStatistics(
        total=12,
        bots=3,
        first_viewed_at=TIMESTAMP,
        last_viewed_at="2025-01-16T09:30:00",
        failed_passwords=1,
        buckets=(
            ViewBucket("2025-01-15T00:00:00", views=9, bots=3, pages=8, api=1, downloads=2),
            ViewBucket("2025-01-16T00:00:00", views=3, bots=0, pages=3, api=0, downloads=0),
        ),
    ),
    Usage(
        links=UsageOf(used=12, limit=1000),
        videos=UsageOf(used=3, limit=None),
        bytes=UsageOf(used=524288, limit=10737418240),
    ),
)

EXAMPLES: dict[str, Any] = {
    "NewSharedReport": {"video_id": JOB_ID},
    "SharedReportChange": {"label": "for the press", "is_active": True},
    "UnlockRequest": {"password": "correct horse battery staple"},
    "UnlockForm": {"password": "correct horse battery staple"},
    "Export": {
        "video_name": "Product Demo",
        "status": "completed",
        "duration": 120.5,
        "processing_time": 15.7,
        "segments": [
            {
                "module": "scenes",
                "content": "Scene 1",
                "start_time": 0.0,
                "end_time": 4.2,
                "metadata": {"start_frame": 0, "end_frame": 126},
            }
        ],
    },
    "EventSettings": {"enabled": True},
    "NewApiKey": {"name": "ci"},
    "ApiKeyChange": {"is_active": False},
    "NewWebhook": {"url": "https://hooks.example/reports"},
    "WebhookChange": {"is_active": True},
    "Index": {
        "name": "Shared Reports",
        "version": __version__,
        "documentation": "https://reports.example.com/docs",
        "openapi": "https://reports.example.com/openapi.json",
        "health": "https://reports.example.com/readyz",
        "shared_reports": "https://reports.example.com/api/shared-reports",
        "videos": "https://reports.example.com/api/videos",
        "events": "https://reports.example.com/api/events",
        "webhooks": "https://reports.example.com/api/webhooks",
        "api_keys": "https://reports.example.com/api/keys",
    },
    "Health": {"status": "ok", "checks": {"database_read": "ok", "database_write": "ok"}},
} | {type(value).__name__: msgspec.to_builtins(value) for value in _ANSWERS}
"""By the name of the type."""

DETAILS: dict[str, str] = {
    "malformed-request": "The body is not valid JSON.",
    "unauthorized": "This call needs an API key in the Authorization header.",
    "password-required": "This link asks for a password.",
    "open-required": "This link's views are limited: open it first.",
    "not-found": "No such video.",
    "method-not-allowed": "This path does not take this method; see Allow.",
    "conflict": f"This link expired at {TIMESTAMP} (UTC): it needs a new `expires_at`, too.",
    "expired": f"This link expired at {TIMESTAMP} (UTC).",
    "exhausted": "This link has been viewed as often as it may be.",
    "too-large": "The body may have up to 65536 bytes.",
    "too-slow": "The body may take up to 30 s.",
    "too-many-requests": "Too many guesses: there may be 60 a minute.",
    "invalid-request": "Object missing required field `video_id`.",
    "internal-server-error": "The service failed to answer this request.",
    "unavailable": "The database can't do this now. Try again later.",
}
"""Examples of a problem's ``detail``, by the problem's code."""
