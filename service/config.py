"""The configuration: read once from the environment, validated, immutable."""

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from service.domain.errors import ConfigError
from service.domain.postgresql_url import PostgresqlUrl, is_postgresql
from service.domain.webhook_addresses import Network, parse_networks

PREFIX = "SHARED_REPORTS_"

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


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return value

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return parse


def _off_or(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    return lambda text: None if text == "off" else parse(text)


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return parse


def _base_url(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("expected an address such as https://reports.example.com")
    return text.rstrip("/")


def _trusted_proxies(text: str) -> TrustedProxies:
    words = [word.strip() for word in text.split(",")]
    networks = tuple(ip_network(word) for word in words if word != UNIX)
    return TrustedProxies(networks, unix=UNIX in words)


def _cors_origins(text: str) -> CorsOrigins:
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


def _frame_ancestors(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9 .:/*'\[\]-]+", text):
        raise ValueError("expected 'none', 'self' or addresses with spaces between")
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("expected a value")
    return text


def _path(text: str) -> Path:
    return Path(_not_empty(text))


def _database(text: str) -> Path | PostgresqlUrl:
    return PostgresqlUrl(text) if is_postgresql(text) else _path(text)


def _setting(parse: Callable[[str], object], default: object, meaning: str) -> Any:  # noqa: ANN401 - a dataclass field stands for a value of its own type
    return field(default=default, metadata={"parse": parse, "meaning": meaning})


RENAMED_VARIABLES = {
    f"{PREFIX}{old}": f"{PREFIX}{new}"
    for old, new in (
        ("GUESSES", "LOOKUP_RATE_LIMIT"),
        ("PASSWORD_GUESSES", "PASSWORD_RATE_LIMIT"),
        ("CREATES", "CREATE_RATE_LIMIT"),
        ("CONNECTIONS", "MAX_CONNECTIONS"),
        ("HEAD_TIMEOUT", "HEADER_TIMEOUT"),
        ("SLOW_STATEMENT", "SLOW_QUERY_SECONDS"),
        ("CHECKPOINTS", "CHECKPOINTER"),
        ("SOCKET", "UNIX_SOCKET"),
        ("HASH_LENGTH", "SHARE_HASH_LENGTH"),
    )
}
"""New name by old name. This release accepts the old names; the next one rejects them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings. Each field is the variable ``SHARED_REPORTS_`` plus its name in capitals."""

    database: Path | PostgresqlUrl = _setting(
        _database,
        Path("shared-reports.sqlite3"),
        "The SQLite file, created if missing; or a PostgreSQL database, such as "
        "`postgresql://user@host/name`.",
    )
    postgresql_connections: int = _setting(
        _whole(3, 100),
        5,
        "The connections to PostgreSQL: one for look-ups, one for small writes, the others for "
        "what takes longer.",
    )
    connect_timeout: float = _setting(
        _number(0.1, 300),
        3.0,
        "The time, in seconds, in which a connection to a host of PostgreSQL must open.",
    )
    statement_timeout: float = _setting(
        _number(0.1, 3600),
        10.0,
        "The time, in seconds, after which PostgreSQL ends a statement.",
    )
    statement_cache_size: int = _setting(
        _whole(0, 10_000),
        100,
        "The statements that each connection to PostgreSQL keeps prepared; 0 behind a pooler in "
        "transaction mode.",
    )
    checkpointer: str = _setting(
        _one_of("service", "litestream"),
        "service",
        "The process that checkpoints the write-ahead log: `service`, or `litestream` if "
        "Litestream runs beside the service.",
    )
    host: str = _setting(_not_empty, "127.0.0.1", "The address to listen on.")
    port: int = _setting(_whole(0, 65535), 8080, "The port to listen on; 0 selects a free port.")
    unix_socket: Path | None = _setting(
        _path, None, "A Unix socket to listen on, instead of an address and a port."
    )
    base_url: str | None = _setting(
        _base_url,
        None,
        "The public address that links begin with, if a proxy is in front. "
        "Unset, links begin with the address of the request.",
    )
    trusted_proxies: TrustedProxies | None = _setting(
        _trusted_proxies,
        None,
        "The proxies whose `X-Forwarded-*` headers are trusted: addresses and networks separated "
        "by commas, and `unix` for all clients of the Unix socket.",
    )
    lookup_rate_limit: int | None = _setting(
        _off_or(_whole(1, 1_000_000)),
        60,
        "Unknown share hashes and API keys that one address may try per minute, or `off`. "
        "Valid ones are not counted.",
    )
    password_rate_limit: int | None = _setting(
        _off_or(_whole(1, 1_000_000)),
        10,
        "Wrong passwords that one address may try per minute and link, or `off`.",
    )
    create_rate_limit: int | None = _setting(
        _off_or(_whole(1, 1_000_000)),
        60_000,
        "Links, videos and API keys that one API key may create per minute, or `off`.",
    )
    sweep_interval: float = _setting(
        _number(0.1, 86400),
        60.0,
        "The longest time, in seconds, between two passes of the sweeper, which deactivates "
        "expired links. It also runs whenever a link expires.",
    )
    retention_days: int | None = _setting(
        _whole(1, 36500),
        None,
        "Days that a link is kept after it has expired, been switched off or been exhausted. "
        "Unset, links are kept until they are deleted.",
    )
    webhook_networks: tuple[Network, ...] | None = _setting(
        parse_networks,
        None,
        "The networks that webhooks may call beside public addresses, also by http: such as "
        "`10.1.0.0/16, fd00::/8`, separated by commas.",
    )
    share_hash_length: int = _setting(
        _whole(16, 64), 16, "Characters in a new link's share hash; 16 have 95 bits of entropy."
    )
    frame_ancestors: str = _setting(
        _frame_ancestors,
        "'none'",
        "The sites that may frame the pages, in the syntax of Content-Security-Policy: `'none'`, "
        "`'self'`, or addresses such as `https://app.example.com`.",
    )
    cors_origins: CorsOrigins | None = _setting(
        _cors_origins,
        None,
        "The origins whose pages may call the service from a browser (CORS), separated by commas. "
        "`*` stands for every origin, and for the routes that need no API key only.",
    )
    render_cache: int = _setting(
        _whole(0, 65536),
        64,
        "The memory, in MiB, for pages, downloads, segments and QR codes that are kept once they "
        "are rendered; 0 keeps none.",
    )
    log_format: str = _setting(
        _one_of("auto", "json", "console"),
        "auto",
        "`json`, one JSON object per line; `console`, for people; `auto`, "
        "`console` on a terminal and `json` otherwise.",
    )
    log_level: str = _setting(
        _one_of("debug", "info", "warning", "error"),
        "info",
        "The lowest level that is logged: `debug`, `info`, `warning` or `error`.",
    )
    slow_query_seconds: float = _setting(
        _number(0, 300),
        0.5,
        "The time, in seconds, from which a database statement is logged as slow.",
    )
    max_connections: int = _setting(
        _whole(1, 100_000),
        1000,
        "The number of open connections. Beyond it, the connections that have waited for their "
        "client longest are closed.",
    )
    header_timeout: float = _setting(
        _number(0.1, 86400),
        10.0,
        "The time, in seconds, in which a new connection must send the head of its first request.",
    )
    send_timeout: float = _setting(
        _number(0.1, 86400),
        30.0,
        "The time, in seconds, in which a client must read 64 KiB of a pending response.",
    )
    body_timeout: float = _setting(
        _number(0.1, 86400),
        30.0,
        "The time, in seconds, in which the body of a request must arrive.",
    )
    shutdown_delay: float = _setting(
        _number(0, 300),
        0.0,
        "The time, in seconds, in which new connections are still accepted after SIGTERM while "
        "`/readyz` already fails, so that a load balancer can stop first. A second signal ends it.",
    )
    shutdown_timeout: float = _setting(
        _number(0, 300),
        5.0,
        "The time, in seconds, that requests in flight have to finish once no more are accepted.",
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Config":
        """Return the configuration in ``environ``.

        Raises ConfigError, which names the variable, for a value that is not valid and for an
        unknown variable that begins with ``SHARED_REPORTS_``.
        """
        settings = {variable(setting): setting for setting in fields(cls)}
        values: dict[str, object] = {}
        for given, text in environ.items():
            if not given.startswith(PREFIX):
                continue
            name = RENAMED_VARIABLES.get(given, given)
            if name != given and name in environ:
                raise ConfigError(f"{given} is the old name of {name}: set only one of them")
            if name not in settings:
                raise ConfigError(f"{name} is not a setting; there are {', '.join(settings)}")
            try:
                values[settings[name].name] = settings[name].metadata["parse"](text)
            except ValueError as error:
                raise ConfigError(f"{name}={text!r}: {error}") from error
        return cls(**values)  # type: ignore[arg-type] # each value was read by its field's reader

    @property
    def sqlite_file(self) -> Path:
        """The SQLite file. Raises ConfigError for a database of PostgreSQL."""
        if isinstance(self.database, PostgresqlUrl):
            raise ConfigError(f"{self.database} is no SQLite file")
        return self.database


def variable(setting: Field[Any]) -> str:
    """Return the environment variable of a field of Config."""
    return PREFIX + setting.name.upper()


def deprecation_warning(environ: Mapping[str, str]) -> str | None:
    """Return a sentence that names the old variables in use and their new names; None if none."""
    used = [f"{old} (now {new})" for old, new in RENAMED_VARIABLES.items() if old in environ]
    if not used:
        return None
    return f"Old names of settings, accepted for this release only: {', '.join(used)}."
