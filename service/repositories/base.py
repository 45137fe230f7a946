"""The interfaces between the rules and the storage engines.

The code above this package sees these protocols only. All methods are coroutines, because an engine
may have to wait for a server. A method of the SQLite engine that only looks something up never
suspends: between its answer and the response no other request runs. An engine that suspends must
let its caller check again before the response begins (``web.report_responses`` does).
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Raw
from prometheus_client.core import Metric

from service.domain.api_keys import ApiKey, CreatedApiKey
from service.domain.idempotency import IdempotencyRecord
from service.domain.links import (
    NO_FILTER,
    CreatedLink,
    LinkCounts,
    LinkFilter,
    LinkSettings,
    ReportWithAnalysis,
    SharedReport,
)
from service.domain.paging import FIRST_PAGE, Page
from service.domain.types import Owner
from service.domain.videos import Analysis, Video
from service.domain.views import HourViews
from service.repositories.base_access import AccessRepository
from service.repositories.base_console import ConsoleRepositories
from service.repositories.base_events import EventRepository
from service.repositories.base_statistics import StatisticsRepositories
from service.repositories.base_webhooks import WebhookRepositories
from service.telemetry.tracing import Tracing

ViewedLink = tuple[str | None, str, str | None, int, bytes]
"""``valid_until, status, expires_at, id, report``: a public link as a view needs it.

The status is ``protected`` if the link requires a password or an unlock. The report is a
PublicReport as JSON. The row holds until ``valid_until`` if nothing is written; None: for ever.
"""

Engine = Literal["sqlite", "postgresql"]

Topic = Literal["expiry"]
"""What an instance announces to the others: a link that expires before all that they know of."""

FoundCreation = tuple[CreatedLink, str, str | None]
"""A link that was created with an idempotency key, the digest of the call's body, and the link's
expiry, which may not be in the body. It is None, too, if a release before stored the key."""

TakeViews = Callable[[], HourViews]
"""Takes counts out of memory, those of one hour.

An engine calls it when the statement that writes them starts, not earlier, so that no later view is
left out. The first call takes them; each further call returns the same.
"""


class LinkRepository(Protocol):
    """The table of links."""

    sweep_seconds: float
    """Seconds that a batch of ``deactivate_expired`` may take."""

    def insert(
        self,
        share_hash: str,
        user_id: str,
        video: str,
        settings: LinkSettings,
        record: IdempotencyRecord | None = None,
    ) -> Awaitable[CreatedLink | None]:
        """Store a new link to a user's video, named by its job id or its id.

        Return None if the hash is taken, the user has no such video or two of that name,
        ``record``'s key is known, or the user's quota is reached.
        """

    async def find_videos(self, user_id: str, video: str) -> Mapping[int, str]:
        """Return the user's videos with this job id or id, at most two: job ids by id."""

    async def find_modules(self, user_id: str, video: str) -> Sequence[str]:
        """Return the modules of the user's video with this job id or id; none if it is not one."""

    async def find_modules_of_link(self, user_id: str, report_id: str) -> Sequence[str]:
        """Return the modules of the video of a user's link; none if there is no such link."""

    async def has_share_hash(self, share_hash: str) -> bool:
        """Return whether a link has this hash."""

    async def find_creation(self, user_id: str, key: str) -> FoundCreation | None:
        """Return the link that a call with this idempotency key created within the last day.

        Return None after its video's deletion.
        """

    async def find_view(self, share_hash: str, now: str) -> ViewedLink | None:
        """Return a link as a view needs it, None if there is none."""

    async def find_report(self, share_hash: str) -> ReportWithAnalysis | None:
        """Return a link's report with the whole analysis, also of modules it does not show."""

    async def add_views(self, take_views: TakeViews) -> None:
        """Add counts to links, their statistics included; they are on disk when this returns."""

    async def change(
        self, user_id: str, report_id: str, settings: LinkSettings, take_views: TakeViews
    ) -> SharedReport:
        """Change a user's link and add its views in one statement; it holds when this returns.

        A limit takes effect with all views that ``take_views`` returns in the row.

        Raises NotFoundError, InvalidError if a time does not go with one that is stored, and
        ConflictError if the link is to be active and would still be dead, or if it would be active
        again and the user's quota is reached.
        """

    async def rotate(self, user_id: str, report_id: str, share_hash: str) -> SharedReport | None:
        """Give a user's link a new hash. Return None if the hash is taken or there is no link."""

    async def delete(self, user_id: str, report_id: str) -> bool:
        """Delete a user's link. Return whether there was one."""

    async def revoke_all(self, user_id: str, job_id: str) -> int:
        """Revoke all links of a user's video. Return how many. Raises NotFoundError.

        They are dead when this returns, and after a crash. Their rows may remain for a while.
        """

    async def delete_revoked(self, limit: int) -> int:
        """Delete up to about ``limit`` remains of bulk revocations and of videos.

        Return how many; 0 if none is left.
        """

    async def deactivate_expired(self, limit: int) -> int:
        """Deactivate up to ``limit`` expired links. Return how many; 0 if none is left."""

    async def count_expired(self) -> int:
        """Return how many expired links are still to be deactivated."""

    async def next_expiry(self) -> str | None:
        """Return the earliest time at which an active link expires."""

    async def delete_old_keys(self, limit: int) -> int:
        """Delete up to ``limit`` idempotency keys older than a day. Return how many."""


class LinkCountRepository(Protocol):
    """The number of links."""

    async def count(self) -> LinkCounts:
        """Return how many links there are in each status; of many links, up to 10 s old."""


class LinkListRepository(Protocol):
    """An owner's look at the table of links: lists, filtered and in pages, and one by its id."""

    async def get(self, user_id: str, report_id: str) -> SharedReport:
        """Return a user's link. Raises NotFoundError."""

    async def list_all(
        self,
        user_id: str,
        page: Page = FIRST_PAGE,
        wanted: LinkFilter = NO_FILTER,
        video: str | None = None,
    ) -> tuple[list[Raw], Page | None]:
        """Return a page of a user's links, newest first, and the page after it.

        The links are the JSON of SharedReports, in parts with commas between the links; no part is
        empty. ``link_mapping.read_reports`` decodes them.

        With ``video``, a job id or an id, only the links of that video; none if it is unknown.
        Raises ConflictError if it names two videos.
        """

    async def list_for_video(
        self, user_id: str, job_id: str, page: Page = FIRST_PAGE, wanted: LinkFilter = NO_FILTER
    ) -> tuple[list[Raw], Page | None]:
        """Return a page of the links of a user's video, likewise.

        Raises NotFoundError.
        """


class RetentionRepository(Protocol):
    """The links that have been dead for a number of days."""

    async def purge(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` links that have been dead for ``days``. Return how many."""

    async def count(self, days: int) -> int:
        """Return how many links have been dead for ``days``."""


class VideoRepository(Protocol):
    """The table of videos."""

    async def put(self, user_id: str, analysis: Analysis) -> tuple[Video, bool]:
        """Create or replace a video with its analysis. Return it, and whether it is new.

        Raises ConflictError if a quota of the user is reached.
        """

    async def list_all(
        self,
        user_id: str,
        page: Page = FIRST_PAGE,
        *,
        status: str | None = None,
        project_id: str | None = None,
    ) -> tuple[list[Video], Page | None]:
        """Return a page of a user's videos, newest first, and the page after it."""

    async def get(self, user_id: str, job_id: str) -> Video:
        """Return a user's video. Raises NotFoundError."""

    async def segments(self, user_id: str, job_id: str) -> bytes:
        """Return a video's whole analysis as a JSON array. Raises NotFoundError."""

    async def delete(self, user_id: str, job_id: str) -> None:
        """Delete a video and its analysis, and revoke its links. Raises NotFoundError.

        Its job id is free and its links are dead when this returns.
        """


class ApiKeyRepository(Protocol):
    """The table of API keys. A user's methods carry the user; the others are the operator's."""

    async def owner_of(self, raw_key: str) -> Owner:
        """Return the owner of a key. Raises UnauthorizedError."""

    async def record_use(self) -> None:
        """Write when the keys were last used."""

    async def create(self, user_id: str, name: str) -> CreatedApiKey:
        """Create a key; the answer is the only place where it is whole. Raises ConflictError."""

    async def list_all(self, user_id: str) -> list[ApiKey]:
        """Return a user's keys, newest first."""

    async def set_active(self, user_id: str, key_id: str, *, is_active: bool) -> ApiKey:
        """Switch a user's key on or off. Raises NotFoundError."""

    async def delete(self, user_id: str, key_id: str) -> None:
        """Delete a user's key. Raises NotFoundError."""

    async def list_of_everyone(self) -> list[tuple[str, ApiKey]]:
        """Return every key with its user, oldest first."""

    async def revoke(self, key_id: str) -> ApiKey:
        """Deactivate anyone's key. Raises NotFoundError."""


class Repositories(ConsoleRepositories, StatisticsRepositories, WebhookRepositories, Protocol):
    """All repositories of one open database."""

    @property
    def links(self) -> LinkRepository:
        """The table of links."""

    @property
    def link_counts(self) -> LinkCountRepository:
        """The number of links."""

    @property
    def link_lists(self) -> LinkListRepository:
        """Lists of links."""

    @property
    def retention(self) -> RetentionRepository:
        """Links that have long been dead."""

    @property
    def access(self) -> AccessRepository:
        """Access to protected links."""

    @property
    def videos(self) -> VideoRepository:
        """The table of videos."""

    @property
    def api_keys(self) -> ApiKeyRepository:
        """The table of API keys."""

    @property
    def events(self) -> EventRepository:
        """The table of events."""

    def on_replaced(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when another database takes the place of this one (a restore).

        What is kept in memory by row ids is dropped there: in another database they are the ids of
        other rows.
        """

    async def announce(self, topic: Topic) -> None:
        """Wake the other instances on this database. Raises UnavailableError.

        An announcement may be lost: it saves them the wait for their next look at the table.
        """

    def on_announced(self, topic: Topic, callback: Callable[[], None]) -> None:
        """Call ``callback`` when another instance announces ``topic``, or may have done so."""

    def health(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the checks of the database by name; each raises if it fails."""

    def notes(self) -> list[str]:
        """Return what an operator should know and what does not stop the work."""

    async def startup_warnings(self) -> list[str]:
        """Return what is to be logged once at the start."""

    def trace(self, tracing: Tracing) -> None:
        """Make spans of look-ups and statements, from now on."""

    def metrics(self) -> Iterator[Metric]:
        """Return the metrics of the database."""

    @property
    def engine(self) -> Engine:
        """The name of the database engine."""

    @property
    def engine_version(self) -> str:
        """The version of the database engine."""
