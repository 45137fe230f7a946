"""The configuration: read once from the environment, validated, immutable."""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from service.domain import setting_values as values
from service.domain.errors import ConfigError
from service.domain.link_rules import LinkRules
from service.domain.postgresql_url import PostgresqlUrl
from service.domain.setting_values import CorsOrigins, TrustedProxies
from service.domain.usage import Quotas
from service.domain.webhook_addresses import Network, parse_networks

PREFIX = "SHARED_REPORTS_"


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
        values.database,
        Path("shared-reports.sqlite3"),
        "The SQLite file, created if missing; or a PostgreSQL database, such as "
        "`postgresql://user@host/name`.",
    )
    postgresql_connections: int = _setting(
        values.whole(3, 100),
        5,
        "The connections to PostgreSQL: one for look-ups, one for small writes, the others for "
        "what takes longer.",
    )
    connect_timeout: float = _setting(
        values.number(0.1, 300),
        3.0,
        "The time, in seconds, in which a connection to a host of PostgreSQL must open.",
    )
    statement_timeout: float = _setting(
        values.number(0.1, 3600),
        10.0,
        "The time, in seconds, after which PostgreSQL ends a statement.",
    )
    statement_cache_size: int = _setting(
        values.whole(0, 10_000),
        100,
        "The statements that each connection to PostgreSQL keeps prepared; 0 behind a pooler in "
        "transaction mode.",
    )
    checkpointer: str = _setting(
        values.one_of("service", "litestream"),
        "service",
        "The process that checkpoints the write-ahead log: `service`, or `litestream` if "
        "Litestream runs beside the service.",
    )
    host: str = _setting(values.not_empty, "127.0.0.1", "The address to listen on.")
    port: int = _setting(
        values.whole(0, 65535), 8080, "The port to listen on; 0 selects a free port."
    )
    unix_socket: Path | None = _setting(
        values.path, None, "A Unix socket to listen on, instead of an address and a port."
    )
    base_url: str | None = _setting(
        values.base_url,
        None,
        "The public address that links begin with, if a proxy is in front. "
        "Unset, links begin with the address of the request.",
    )
    trusted_proxies: TrustedProxies | None = _setting(
        values.trusted_proxies,
        None,
        "The proxies whose `X-Forwarded-*` headers are trusted: addresses and networks separated "
        "by commas, and `unix` for all clients of the Unix socket.",
    )
    lookup_rate_limit: int | None = _setting(
        values.off_or(values.whole(1, 1_000_000)),
        60,
        "Unknown share hashes and API keys that one address may try per minute, or `off`. "
        "Valid ones are not counted.",
    )
    password_rate_limit: int | None = _setting(
        values.off_or(values.whole(1, 1_000_000)),
        10,
        "Wrong passwords that one address may try per minute and link, or `off`.",
    )
    create_rate_limit: int | None = _setting(
        values.off_or(values.whole(1, 1_000_000)),
        60_000,
        "Links, videos and API keys that one API key may create per minute, or `off`.",
    )
    sweep_interval: float = _setting(
        values.number(0.1, 86400),
        60.0,
        "The longest time, in seconds, between two passes of the sweeper, which deactivates "
        "expired links. It also runs whenever a link expires.",
    )
    retention_days: int | None = _setting(
        values.whole(1, 36500),
        None,
        "Days that a link is kept after it has expired, been switched off or been exhausted. "
        "Unset, links are kept until they are deleted.",
    )
    statistics_days: int = _setting(
        values.whole(1, 36500),
        400,
        "Days that the views of an hour are kept in the statistics.",
    )
    default_lifetime_days: int | None = _setting(
        values.whole(1, 36500),
        None,
        "Days that a new link lives if its creation names no `expires_at`. Unset, for ever.",
    )
    max_lifetime_days: int | None = _setting(
        values.whole(1, 36500),
        None,
        "Days that a link may live at most, from its creation or its change on. Unset, for ever.",
    )
    require_password: str = _setting(
        values.one_of("yes", "no"), "no", "Whether a link must have a password: `yes` or `no`."
    )
    max_links_per_user: int | None = _setting(
        values.whole(0, 999_999_999),
        None,
        "Links that a user may have that are `active` or `scheduled`. Unset, any number.",
    )
    max_videos_per_user: int | None = _setting(
        values.whole(0, 999_999_999), None, "Videos that a user may have. Unset, any number."
    )
    max_bytes_per_user: int | None = _setting(
        values.byte_count,
        None,
        "Bytes that the analyses of a user's videos may take, such as `500MiB` or `10GiB`. Unset, "
        "any number.",
    )
    event_days: int = _setting(
        values.whole(1, 36500),
        30,
        "Days that events are kept, for the users who have asked for them.",
    )
    webhook_networks: tuple[Network, ...] | None = _setting(
        parse_networks,
        None,
        "The networks that webhooks may call beside public addresses, also by http: such as "
        "`10.1.0.0/16, fd00::/8`, separated by commas.",
    )
    share_hash_length: int = _setting(
        values.whole(16, 64),
        16,
        "Characters in a new link's share hash; 16 have 95 bits of entropy.",
    )
    console: str = _setting(
        values.one_of("on", "off"),
        "on",
        "Whether the owners' console is served at `/console`: `on` or `off`.",
    )
    frame_ancestors: str = _setting(
        values.frame_ancestors,
        "'none'",
        "The sites that may frame the pages, in the syntax of Content-Security-Policy: `'none'`, "
        "`'self'`, or addresses such as `https://app.example.com`.",
    )
    cors_origins: CorsOrigins | None = _setting(
        values.cors_origins,
        None,
        "The origins whose pages may call the service from a browser (CORS), separated by commas. "
        "`*` stands for every origin, and for the routes that need no API key only.",
    )
    render_cache: int = _setting(
        values.whole(0, 65536),
        64,
        "The memory, in MiB, for pages, downloads, segments and QR codes that are kept once they "
        "are rendered, and as much again for indexes of reports; 0 keeps none.",
    )
    log_format: str = _setting(
        values.one_of("auto", "json", "console"),
        "auto",
        "`json`, one JSON object per line; `console`, for people; `auto`, "
        "`console` on a terminal and `json` otherwise.",
    )
    log_level: str = _setting(
        values.one_of("debug", "info", "warning", "error"),
        "info",
        "The lowest level that is logged: `debug`, `info`, `warning` or `error`.",
    )
    slow_query_seconds: float = _setting(
        values.number(0, 300),
        0.5,
        "The time, in seconds, from which a database statement is logged as slow.",
    )
    max_connections: int = _setting(
        values.whole(1, 100_000),
        1000,
        "The number of open connections. Beyond it, the connections that have waited for their "
        "client longest are closed.",
    )
    header_timeout: float = _setting(
        values.number(0.1, 86400),
        10.0,
        "The time, in seconds, in which a new connection must send the head of its first request.",
    )
    send_timeout: float = _setting(
        values.number(0.1, 86400),
        30.0,
        "The time, in seconds, in which a client must read 64 KiB of a pending response.",
    )
    body_timeout: float = _setting(
        values.number(0.1, 86400),
        30.0,
        "The time, in seconds, in which the body of a request must arrive.",
    )
    shutdown_delay: float = _setting(
        values.number(0, 300),
        0.0,
        "The time, in seconds, in which new connections are still accepted after SIGTERM while "
        "`/readyz` already fails, so that a load balancer can stop first. A second signal ends it.",
    )
    shutdown_timeout: float = _setting(
        values.number(0, 300),
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
        given_values: dict[str, object] = {}
        for given, text in environ.items():
            if not given.startswith(PREFIX):
                continue
            name = RENAMED_VARIABLES.get(given, given)
            if name != given and name in environ:
                raise ConfigError(f"{given} is the old name of {name}: set only one of them")
            if name not in settings:
                raise ConfigError(f"{name} is not a setting; there are {', '.join(settings)}")
            try:
                given_values[settings[name].name] = settings[name].metadata["parse"](text)
            except ValueError as error:
                raise ConfigError(f"{name}={text!r}: {error}") from error
        config = cls(**given_values)  # type: ignore[arg-type] # each value was read by its field's reader
        default, limit = config.default_lifetime_days, config.max_lifetime_days
        if default and limit and default > limit:
            raise ConfigError(
                f"{PREFIX}DEFAULT_LIFETIME_DAYS={default} is more than "
                f"{PREFIX}MAX_LIFETIME_DAYS={limit}"
            )
        return config

    @property
    def link_rules(self) -> LinkRules:
        """The rules that new links and changes keep to."""
        return LinkRules(
            default_lifetime_days=self.default_lifetime_days,
            max_lifetime_days=self.max_lifetime_days,
            requires_password=self.require_password == "yes",  # noqa: S105 - an answer, no password
        )

    @property
    def quotas(self) -> Quotas:
        """What each user may have."""
        return Quotas(
            links=self.max_links_per_user,
            videos=self.max_videos_per_user,
            bytes=self.max_bytes_per_user,
        )

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
