"""The address of a PostgreSQL database, which may hold a password that nothing shows."""

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

SCHEMES = ("postgresql://", "postgres://")

_USERINFO = re.compile(r"(?<=://)([^/?#@]*:)(.*)(?=@)")  # a password may hold an unescaped @
_PARAMETER = re.compile(r"(?<=[?&])((?:ssl)?password=)([^&]*)")
_HOSTS = re.compile(r"(?<=://)((?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)(?=[/?#]|$)")
_HOST_PARAMETER = re.compile(r"(?<=[?&]host=)[^&]*")
_PORT_PARAMETER = re.compile(r"(?<=[?&]port=)[^&]*")
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

    def hosts(self) -> list["PostgresqlUrl"]:
        """Return an address for each host of this one, in order.

        The hosts of a service file or of the environment are not told apart: they are one address.
        """
        if match := _HOSTS.search(self.text):
            start, end = match.span(2)
            parts = [(self.text[:start], host, self.text[end:]) for host in match[2].split(",")]
            return [PostgresqlUrl("".join(part)) for part in parts]
        if not (match := _HOST_PARAMETER.search(self.text)):
            return [self]
        hosts = unquote(match[0]).split(",")
        parameter = _PORT_PARAMETER.search(self.text)
        ports = unquote(parameter[0]).split(",") if parameter else []
        texts = [_HOST_PARAMETER.sub(quote(host), self.text) for host in hosts]
        if len(ports) == len(hosts):
            texts = [
                _PORT_PARAMETER.sub(port, text) for port, text in zip(ports, texts, strict=True)
            ]
        return [PostgresqlUrl(text) for text in texts]

    def without_password(self, text: str) -> str:
        """Return a message without what is hidden of this address, as written or decoded."""
        passwords = [
            match[2] for pattern in (_USERINFO, _PARAMETER) for match in pattern.finditer(self.text)
        ]
        for secret in {
            spelling
            for password in passwords
            if password
            for spelling in (password, unquote(password))
        }:
            text = text.replace(secret, _HIDDEN)
        return text.replace(self.text, str(self))


def is_postgresql(text: str) -> bool:
    """Return whether the address of a database is one of PostgreSQL."""
    return text.startswith(SCHEMES)
