"""The four calls of a shared report, by a client that was generated from the document.

Run by ``run.py``, with the address of the service and a key.
"""

import sys
from http import HTTPStatus

from shared_reports_client import AuthenticatedClient, Client
from shared_reports_client.api.shared_reports import (
    create_shared_report,
    list_shared_reports,
    revoke_shared_report,
    view_shared_report,
)
from shared_reports_client.api.videos import put_video
from shared_reports_client.models import (
    Done,
    Export,
    ExportedSegment,
    NewSharedReport,
    Problem,
    PublicReport,
    SharedReportResponse,
)

url, key = sys.argv[1:]
public = Client(base_url=url)
bearer = AuthenticatedClient(base_url=url, token=key)
bare = AuthenticatedClient(base_url=url, token=key, prefix="")

put_video.sync(
    "a1b2c3d4",
    client=bearer,
    body=Export(
        video_name="Product Demo",
        duration=120.5,
        segments=[ExportedSegment(module="scenes", start_time=0, end_time=4.2)],
    ),
)

created = create_shared_report.sync_detailed(client=bare, body=NewSharedReport("a1b2c3d4"))
report = created.parsed
assert created.status_code == HTTPStatus.CREATED
assert isinstance(report, SharedReportResponse)
assert report.expires_at is None
assert report.is_active == 1

viewed = view_shared_report.sync(report.share_hash, client=public)
assert isinstance(viewed, PublicReport)
assert viewed.video.name == "Product Demo"
assert viewed.video.modules == ["scenes"]

assert list_shared_reports.sync("a1b2c3d4", client=bearer) == [report]

assert revoke_shared_report.sync(report.id, client=bare) == Done(ok=True)

gone = view_shared_report.sync_detailed(report.share_hash, client=public)
assert gone.status_code == HTTPStatus.NOT_FOUND
assert isinstance(gone.parsed, Problem)
assert gone.parsed.type_ == "urn:shared-reports:problem:not-found"

refused = create_shared_report.sync(client=bearer, body=NewSharedReport("unknown"))
assert isinstance(refused, Problem)

print("A generated client creates, views, lists and revokes a link, and understands a refusal.")
