"""What can go wrong, in the words of the domain.

Each error has a stable code for programs and a message that is safe to show to anyone. None
of them knows HTTP: one table in ``problems`` gives each its status.
"""

from typing import ClassVar


class ServiceError(Exception):
    """The base of all errors that a caller may see."""

    code: ClassVar[str]

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class MalformedError(ServiceError):
    """The request can't be read at all, as opposed to being read and found wrong."""

    code = "malformed-request"


class InvalidError(ServiceError):
    """The request was read, and a value in it is not acceptable."""

    code = "invalid-request"


class TooLargeError(ServiceError):
    """The request's body is larger than its route takes."""

    code = "too-large"


class UnauthorizedError(ServiceError):
    """There is no API key in the request, or none that works."""

    code = "unauthorized"


class NotFoundError(ServiceError):
    """It does not exist, or not for this caller: the two must look the same."""

    code = "not-found"


class ExpiredError(ServiceError):
    """The link existed and its time is over."""

    code = "expired"

    def __init__(self, expired_at: str) -> None:
        super().__init__(f"This link expired at {expired_at} (UTC).")
        self.expired_at = expired_at


class UnavailableError(ServiceError):
    """The database can't do this now; the same call may succeed later."""

    code = "unavailable"


class ConfigError(Exception):
    """The configuration is unusable; the message names the variable."""


class DatabaseRefusedError(Exception):
    """The database file is not one this program may use; the message says why."""
