"""The address of a PostgreSQL database, which may hold a password that nothing shows."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

SCHEMES = ("postgresql://", "postgres://")

_USERINFO = re.compile(r"(?<=://)([^/?#@]*:)(.*)(?=@)")  # a password may hold an unescaped @
_PARAMETER = re.compile(r"(?<=[?&])((?:ssl)?password=)([^&]*)")
_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class PostgresqlUrl:
    """An address as libpq's users write it. Its text as ``str`` and ``repr`` has no password."""

    text: str = field(repr=False)
    """The whole address."""

    def __str__(self) -> str:
        return _USERINFO.sub(rf"\1{_HIDDEN}", _PARAMETER.sub(rf"\1{_HIDDEN}", self.text))

    __repr__ = __str__

    @property
    def has_password(self) -> bool:
        """Whether a password is in the address itself."""
        return str(self) != self.text

    def without_password(self, text: str) -> str:
        """Return a message without what is hidden of this address, as written or decoded."""
        found = [
            match[2] for pattern in (_USERINFO, _PARAMETER) for match in pattern.finditer(self.text)
        ]
        for secret in {spelling for each in found if each for spelling in (each, unquote(each))}:
            text = text.replace(secret, _HIDDEN)
        return text.replace(self.text, str(self))


def is_postgresql(text: str) -> bool:
    """Return whether the address of a database is one of PostgreSQL."""
    return text.startswith(SCHEMES)
