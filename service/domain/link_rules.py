"""The operator's rules for links: how long they live, and whether they need a password."""

from datetime import datetime, timedelta

import msgspec
from msgspec import UNSET

from service.domain.errors import InvalidError
from service.domain.links import LinkSettings

_LATEST = "9999-12-31T23:59:59"


class LinkRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules that new links and changes keep to. Links from before a rule stay as they are."""

    default_lifetime_days: int | None = None
    max_lifetime_days: int | None = None
    requires_password: bool = False

    def complete(self, settings: LinkSettings, now: str) -> LinkSettings:
        """Return the settings of a new link by the rules, none UNSET. Raises InvalidError."""
        if self.requires_password and not settings.password:
            raise InvalidError(
                "`password`: each link needs one here (SHARED_REPORTS_REQUIRE_PASSWORD)."
            )
        if settings.expires_at is UNSET:
            settings = self._with_default(settings, now)
        self._check_lifetime(settings.expires_at or None, now)
        return settings

    def check_change(self, settings: LinkSettings, now: str) -> None:
        """Raise InvalidError if a change breaks a rule. What it does not name may stay as it is."""
        if self.requires_password and settings.password is None:
            raise InvalidError(
                "`password`: no link may lose its own here (SHARED_REPORTS_REQUIRE_PASSWORD)."
            )
        if settings.expires_at is not UNSET:
            self._check_lifetime(settings.expires_at, now)

    def _with_default(self, settings: LinkSettings, now: str) -> LinkSettings:
        if self.default_lifetime_days is None:
            return msgspec.structs.replace(settings, expires_at=None)
        expires_at = _days_after(now, self.default_lifetime_days)
        if settings.not_before and settings.not_before >= expires_at:
            raise InvalidError(
                f"`not_before` is not before `expires_at`, which is {expires_at} (UTC) by default "
                "(SHARED_REPORTS_DEFAULT_LIFETIME_DAYS)."
            )
        return msgspec.structs.replace(settings, expires_at=expires_at)

    def _check_lifetime(self, expires_at: str | None, now: str) -> None:
        if self.max_lifetime_days is None:
            return
        latest = _days_after(now, self.max_lifetime_days)
        if expires_at is None or expires_at > latest:
            raise InvalidError(
                f"`expires_at`: a link lives {self.max_lifetime_days} days at most here "
                f"(SHARED_REPORTS_MAX_LIFETIME_DAYS), which is until {latest} (UTC)."
            )


def _days_after(now: str, days: int) -> str:
    try:
        return (datetime.fromisoformat(now) + timedelta(days=days)).isoformat()
    except OverflowError:
        return _LATEST
