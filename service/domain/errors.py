"""The errors of the domain.

Each error has a stable code for programs and a message that is safe to show to anyone. No error
knows HTTP: ``web.problems`` maps each class to a status. The docstring of an error class is its
published description.
"""

from typing import ClassVar


class ServiceError(Exception):
    """The base class of all errors that a caller may see."""

    code: ClassVar[str]

    def __init__(self, detail: str, *, guessed: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.guessed = guessed
        """Whether the request named an unknown secret. Such requests are limited by address."""


class MalformedError(ServiceError):
    """The request cannot be parsed."""

    code = "malformed-request"


class InvalidError(ServiceError):
    """A value in the request is not acceptable."""

    code = "invalid-request"


class TooLargeError(ServiceError):
    """The request's body is larger than its route takes."""

    code = "too-large"


class TooSlowError(ServiceError):
    """The request's body did not arrive in time."""

    code = "too-slow"


class UnauthorizedError(ServiceError):
    """The request has no valid API key."""

    code = "unauthorized"


class PasswordRequiredError(ServiceError):
    """The link requires a password, and the request has none or a wrong one."""

    code = "password-required"

    def __init__(self, detail: str, *, is_wrong: bool = False) -> None:
        super().__init__(detail)
        self.is_wrong = is_wrong


class OpenRequiredError(ServiceError):
    """The link's views are limited: it must be unlocked first, which counts as one view."""

    code = "open-required"


class NotFoundError(ServiceError):
    """It does not exist, or it belongs to another user."""

    code = "not-found"


class ConflictError(ServiceError):
    """The request conflicts with the current state."""

    code = "conflict"


class ExpiredError(ServiceError):
    """The link has expired."""

    code = "expired"

    def __init__(self, expired_at: str) -> None:
        super().__init__(f"This link expired at {expired_at} (UTC).")
        self.expired_at = expired_at


class ExhaustedError(ServiceError):
    """The link's views are used up."""

    code = "exhausted"


class LimitedError(ServiceError):
    """Too many calls of this kind in a minute: see `Retry-After`."""

    code = "too-many-requests"

    def __init__(self, policy: str, per_minute: int, retry_after: int) -> None:
        super().__init__(f"Too many {policy}: there may be {per_minute} a minute.")
        self.policy = policy
        self.per_minute = per_minute
        self.retry_after = retry_after
        """Seconds."""


class UnavailableError(ServiceError):
    """The database can't do this now; the same call may succeed later."""

    code = "unavailable"


INACTIVE_LINK_ERRORS = (NotFoundError, ExpiredError, ExhaustedError)
"""The errors of a link that is not active, or that does not exist."""
PROTECTED_LINK_ERRORS = (PasswordRequiredError, OpenRequiredError)
"""The errors of an active link that requires a password or an unlock."""


class ConfigError(Exception):
    """The service can't be run like this; the message names the variable, or the library."""


class DatabaseRefusedError(Exception):
    """The database file is not one this program may use; the message says why."""


class BackupError(Exception):
    """A copy of the database was not made; the message says why."""
