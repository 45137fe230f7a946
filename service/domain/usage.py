"""Quotas: what a user may have, and what a user has."""

from typing import Annotated

import msgspec
from msgspec import Meta

from service.domain.errors import ConflictError

Count = Annotated[int, Meta(ge=0)]


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """What each user may have at most; None for any number."""

    links: int | None = None
    videos: int | None = None
    bytes: int | None = None


class UsageOf(msgspec.Struct, frozen=True):
    """How much a user has of something, and may have."""

    used: Annotated[Count, Meta(description="How much there is.")]
    limit: Annotated[Count | None, Meta(description="How much there may be; null for any number.")]


class Usage(msgspec.Struct, frozen=True):
    """What a user has, and may have."""

    links: Annotated[
        UsageOf,
        Meta(
            description="Links that are `active` or `scheduled`. One that was revoked with all "
            "links of its video counts until its row is deleted, some seconds later."
        ),
    ]
    videos: Annotated[UsageOf, Meta(description="Videos.")]
    bytes: Annotated[UsageOf, Meta(description="Bytes of the analyses of the videos, as JSON.")]

    def require_room_for_link(self) -> None:
        """Raise ConflictError if there is no room for one more link."""
        if _is_full(self.links):
            raise ConflictError(
                f"The quota of links is reached: you have {self.links.used} that are active or "
                f"scheduled, and may have {self.links.limit} (SHARED_REPORTS_MAX_LINKS_PER_USER)."
            )

    def require_room_for_video(self, stored: int | None, size: int) -> None:
        """Raise ConflictError if there is no room for a video whose analysis has ``size`` bytes.

        ``stored`` are the bytes of the one that it replaces; None for none. One that needs no more
        than that may always replace it.
        """
        if stored is None and _is_full(self.videos):
            raise ConflictError(
                f"The quota of videos is reached: you have {self.videos.used}, and may have "
                f"{self.videos.limit} (SHARED_REPORTS_MAX_VIDEOS_PER_USER)."
            )
        added, limit = size - (stored or 0), self.bytes.limit
        if limit is not None and added > 0 and self.bytes.used + added > limit:
            raise ConflictError(
                f"The quota of bytes is reached: your analyses have {self.bytes.used}, this one "
                f"would make them {self.bytes.used + added}, and they may have {limit} "
                "(SHARED_REPORTS_MAX_BYTES_PER_USER)."
            )


def _is_full(usage: UsageOf) -> bool:
    return usage.limit is not None and usage.used >= usage.limit


def usage(used: tuple[int, int, int], quotas: Quotas) -> Usage:
    """Return what a user has, by the numbers of links, videos and bytes."""
    links, videos, size = used
    return Usage(
        UsageOf(links, quotas.links), UsageOf(videos, quotas.videos), UsageOf(size, quotas.bytes)
    )
