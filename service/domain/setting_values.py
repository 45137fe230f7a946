"""Types of the settings, and how each is read from its text. A reader raises ValueError."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from service.domain.postgresql_url import PostgresqlUrl, is_postgresql

# Links and headers contain the address unescaped, so it has no control or reserved characters.
_ADDRESS = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/%-]*)?"
)
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
ANY_ORIGIN = "*"
UNIX = "unix"
"""The address of all clients of the Unix socket: they have no IP address."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The proxies whose ``X-Forwarded-*`` headers are trusted."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    unix: bool = False
    """Whether all clients of the Unix socket are trusted proxies."""


@dataclass(frozen=True, slots=True)
class CorsOrigins:
    """The origins whose pages may read responses (CORS)."""

    listed: frozenset[str]
    """Origins that may call every route but those for operators."""
    any_for_public: bool = False
    """Whether every origin may call the routes that need no API key."""


def number(low: float, high: float) -> Callable[[str], float]:
    """Return a reader of a number within bounds."""

    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return value

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of a whole number within bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return parse


def off_or(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    """Return a reader of ``off``, which is None, or of what ``parse`` reads."""
    return lambda text: None if text == "off" else parse(text)


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a reader of one of these words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return parse


def byte_count(text: str) -> int:
    """Read a number of bytes, of KiB, MiB, GiB or TiB."""
    match = re.fullmatch(r"([0-9]{1,9})([KMGT]iB)?", text)
    if match is None:
        raise ValueError("expected a number of bytes, such as 1000, 500MiB or 10GiB")
    power = ["", "KiB", "MiB", "GiB", "TiB"].index(match[2] or "")
    return int(match[1]) << 10 * power


def base_url(text: str) -> str:
    """Read the public address."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError("expected an address such as https://reports.example.com")
    return text.rstrip("/")


def trusted_proxies(text: str) -> TrustedProxies:
    """Read the networks of proxies."""
    words = [word.strip() for word in text.split(",")]
    networks = tuple(ip_network(word) for word in words if word != UNIX)
    return TrustedProxies(networks, unix=UNIX in words)


def cors_origins(text: str) -> CorsOrigins:
    """Read origins, and ``*``."""
    origins = {word.strip().lower() for word in text.split(",")}
    listed = origins - {ANY_ORIGIN}
    for origin in listed:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"expected * or origins such as https://app.example.com, not {origin}")
    return CorsOrigins(frozenset(map(_without_default_port, listed)), ANY_ORIGIN in origins)


def _without_default_port(origin: str) -> str:
    """The origin as browsers send it."""
    default = ":80" if origin.startswith("http:") else ":443"
    return origin.removesuffix(default)


def frame_ancestors(text: str) -> str:
    """Read a list of sources of Content-Security-Policy."""
    if not re.fullmatch(r"[A-Za-z0-9 .:/*'\[\]-]+", text):
        raise ValueError("expected 'none', 'self' or addresses with spaces between")
    return text


def not_empty(text: str) -> str:
    """Read any text but the empty one."""
    if not text:
        raise ValueError("expected a value")
    return text


def path(text: str) -> Path:
    """Read a path."""
    return Path(not_empty(text))


def database(text: str) -> Path | PostgresqlUrl:
    """Read a path, or the address of a PostgreSQL database."""
    return PostgresqlUrl(text) if is_postgresql(text) else path(text)
