"""The types of request and response bodies as JSON Schemas, under their published names."""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.domain.idempotency import KEY_MAX
from service.domain.links import BARE_DATE, LinkState
from service.domain.paging import LIMIT, LIMIT_MAX
from service.domain.platform_export import ExportedSegment
from service.domain.types import Id, ShareHash
from service.domain.videos import JobId, Status
from service.domain.webhooks import DeliveryStatus

Json = dict[str, Any]

_REF = "#/components/schemas/"

# Published component names, by the name of the Python class. Renaming a class must not change the
# published document, so each class has its entry here; the `…Response` names are the platform's.
_PUBLISHED_NAMES = {
    "UnlockRequest": "Unlocking",
    "AccessGrant": "Opened",
    "UnlockForm": "OpenForm",
    "AllRevoked": "AllRevoked",
    "ApiKey": "ApiKeyResponse",
    "ApiKeyChange": "ApiKeyChange",
    "CreatedApiKey": "CreatedApiKey",
    "CreatedWebhook": "CreatedWebhook",
    "Done": "Done",
    "Export": "Export",
    "ExportedSegment": "ExportedSegment",
    "Health": "Health",
    "Index": "Index",
    "NewApiKey": "NewApiKey",
    "NewSharedReport": "NewSharedReport",
    "NewWebhook": "NewWebhook",
    "Problem": "Problem",
    "PublicReport": "PublicReport",
    "PublicVideo": "PublicVideo",
    "ReportDocument": "ReportDocument",
    "Segment": "Segment",
    "SharedReport": "SharedReportResponse",
    "SharedReportChange": "SharedReportChange",
    "Video": "VideoResponse",
    "Webhook": "Webhook",
    "WebhookChange": "WebhookChange",
    "WebhookDelivery": "WebhookDelivery",
}

_PARAMETERS: dict[str, Any] = {
    "share_hash": ShareHash,
    "report_id": Annotated[Id, Meta(description="The report's id, not its share hash.")],
    "job_id": JobId,
    "key_id": Annotated[Id, Meta(description="The key's id.")],
    "webhook_id": Annotated[Id, Meta(description="The webhook's id.")],
    "delivery_id": Annotated[Id, Meta(description="The delivery's id.")],
    "Webhooks.status": Annotated[
        DeliveryStatus, Meta(description="Only deliveries in this status.", examples=["failed"])
    ],
    "module": Annotated[
        str, Meta(description="Only what this module has found.", examples=["scenes"])
    ],
    "status": Annotated[
        Status, Meta(description="Only videos in this status.", examples=["completed"])
    ],
    "Shared reports.status": Annotated[
        LinkState, Meta(description="Only links in this status.", examples=["active"])
    ],
    "video_id": Annotated[
        str,
        Meta(description="Only links to this video: its job id, or its id.", examples=["a1b2c3d4"]),
    ],
    "label": Annotated[
        str, Meta(description="Only links whose label begins so.", examples=["for the"])
    ],
    "expires_before": Annotated[
        str,
        Meta(
            description="Only links that expire, or have expired, before then (ISO 8601). "
            f"{BARE_DATE}",
            examples=["2030-01-15T10:00:00Z"],
        ),
    ],
    "part": Annotated[
        str,
        Meta(
            description="Which part of a long report, from 1 on. A person who asks for one that "
            "is not there gets the nearest.",
            examples=["1"],
        ),
    ],
    "excel": Annotated[
        str,
        Meta(description="`1` for a byte order mark, which Excel needs.", examples=["1"]),
    ],
    "Idempotency-Key": Annotated[
        str,
        Meta(
            pattern=f"^[ -~]{{1,{KEY_MAX}}}$",
            description="A value that no other call has, such as a UUID. The call may be made "
            "again, a creation for 24 hours and an unlock for 15 minutes: it gets the same answer "
            "and makes no second link or view.",
            examples=["5f0f0bd4-9c2c-4d12-a0d1-1f3c7d6f7f55"],
        ),
    ],
    "X-Share-Token": Annotated[
        str,
        Meta(
            description="The token from `unlock`, or from a view of a limited link. It is valid "
            "for 15 minutes. An unprotected link needs none.",
        ),
    ],
    "limit": Annotated[
        int,
        Meta(ge=1, le=LIMIT_MAX, description=f"How many to show; {LIMIT} beside a `cursor`."),
    ],
    "cursor": Annotated[
        str, Meta(description="Where the page begins; from the `Link` of the page before.")
    ],
    "project_id": Annotated[
        str, Meta(description="Only videos of this project.", examples=["summer-campaign"])
    ],
}
"""Parameters of paths, queries and headers, by name. A name has one meaning on all routes, unless
it is listed below a tag."""


def schema(cls: Any) -> Json:  # noqa: ANN401 - a type, or a form of types such as list[Video]
    """The schema of a type; it refers to those of ``components``."""
    [schema], _ = _schemas([cls])
    return schema


def components(types: Iterable[Any]) -> Json:
    """The schemas that the schemas of ``types`` refer to, by name."""
    _, named = _schemas([*types, ExportedSegment])
    return {name: named[name] | {"title": name} for name in sorted(named)}


def parameter(name: str, tag: str = "") -> Json:
    """The description, schema and example of a parameter, without its place."""
    fields = schema(_PARAMETERS.get(f"{tag}.{name}", _PARAMETERS.get(name, str)))
    examples = fields.pop("examples", [])
    return {
        "description": fields.pop("description", ""),
        "schema": fields,
        **({"example": examples[0]} if examples else {}),
    }


def _schemas(types: list[Any]) -> tuple[list[Json], Json]:
    schemas, named = msgspec.json.schema_components(types, ref_template=f"{_REF}{{name}}")
    return list(map(_renamed, schemas)), {
        _name(name): _renamed(schema) for name, schema in named.items()
    }


def _name(name: str) -> str:
    return _PUBLISHED_NAMES[name]


def _renamed(value: Any) -> Any:  # noqa: ANN401 - JSON of any type
    if isinstance(value, dict):
        return {
            key: f"{_REF}{_name(item.removeprefix(_REF))}" if key == "$ref" else _renamed(item)
            for key, item in value.items()
        }
    return list(map(_renamed, value)) if isinstance(value, list | tuple) else value
