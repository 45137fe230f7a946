"""One-time codes that sign in to the console, as ``serve --demo`` prints one."""

from service.domain.clock import Now, to_seconds, to_text
from service.domain.errors import NotFoundError
from service.domain.types import Owner
from service.security.credentials import digest_of, new_token

_SECONDS = 60
_CODES_MAX = 100


class SignInCodes:
    """The codes that this process has made; each is valid for a minute, and once."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._owners: dict[str, tuple[Owner, str]] = {}
        """The owner and the expiry by the digest of each code, oldest first."""

    def make(self, owner: Owner) -> str:
        """Return a code that signs in with the owner's key."""
        while len(self._owners) >= _CODES_MAX:
            del self._owners[next(iter(self._owners))]
        code = new_token()
        expires_at = to_text(to_seconds(self._now()) + _SECONDS)
        self._owners[digest_of(code)] = owner, expires_at
        return code

    def take(self, code: str) -> Owner:
        """Return the owner of a code, which is then used up. Raises NotFoundError."""
        owner, expires_at = self._owners.pop(digest_of(code), (None, ""))
        if owner is None or expires_at <= self._now():
            raise NotFoundError(
                "This link has been used, or its minute is over. Sign in with your API key.",
                guessed=True,
            )
        return owner
