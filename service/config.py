"""The configuration: read once from the environment, checked at once, frozen for good."""

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from service.domain.errors import ConfigError

PREFIX = "SHARED_REPORTS_"

# Links are put together of it as it stands, so nothing may be in it that a header can't hold.
_ADDRESS = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/%-]*)?"
)
UNIX = "unix"
"""What whoever connects over the Unix socket is called: they have no address."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Whose ``X-Forwarded-*`` headers are believed."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    unix: bool = False
    """Whether whoever connects over the Unix socket is one of them."""


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
"""Old names of variables, which this release still accepts; the next one does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All that an operator can set: each field is the variable ``SHARED_REPORTS_`` and its name."""

    database: Path = _setting(
        _path, Path("shared-reports.sqlite3"), "The SQLite file. Created where missing."
    )
    checkpointer: str = _setting(
        _one_of("service", "litestream"),
        "service",
        "Who moves the write-ahead log into the database: `service`, or `litestream` where that "
        "runs beside it.",
    )
    host: str = _setting(_not_empty, "127.0.0.1", "The address to listen on.")
    port: int = _setting(_whole(0, 65535), 8080, "The port to listen on; 0 takes any that is free.")
    unix_socket: Path | None = _setting(
        _path, None, "A Unix socket to listen on, instead of an address and a port."
    )
    base_url: str | None = _setting(
        _base_url,
        None,
        "The public address that links begin with, when a proxy stands in front. "
        "Unset, links begin with the address of the request.",
    )
    trusted_proxies: TrustedProxies | None = _setting(
        _trusted_proxies,
        None,
        "The proxies whose `X-Forwarded-*` headers are believed: addresses and networks with "
        "commas between, and `unix` for whoever connects over the Unix socket.",
    )
    lookup_rate_limit: int | None = _setting(
        _off_or(_whole(1, 1_000_000)),
        60,
        "How many unknown share hashes and keys an address may try a minute, "
        "or `off`; known ones are not counted.",
    )
    password_rate_limit: int | None = _setting(
        _off_or(_whole(1, 1_000_000)),
        10,
        "How many wrong passwords an address may try a minute on a link, or `off`.",
    )
    create_rate_limit: int | None = _setting(
        _off_or(_whole(1, 1_000_000)),
        60_000,
        "How many links, videos and keys may be created a minute with one key, or `off`.",
    )
    sweep_interval: float = _setting(
        _number(0.1, 86400),
        60.0,
        "The longest time, in seconds, between two passes of the task that deactivates "
        "expired links. It wakes by itself when a link expires earlier.",
    )
    retention_days: int | None = _setting(
        _whole(1, 36500),
        None,
        "For how many days a link is kept that has expired, was switched off or has used up its "
        "views. Unset, links are kept until they are deleted.",
    )
    share_hash_length: int = _setting(
        _whole(16, 64), 16, "Characters in a new link's share hash; 16 have 95 bits of chance."
    )
    frame_ancestors: str = _setting(
        _frame_ancestors,
        "'none'",
        "Who may show the pages in a frame, as Content-Security-Policy writes it: `'none'`, "
        "`'self'`, or addresses such as `https://app.example.com`.",
    )
    log_format: str = _setting(
        _one_of("auto", "json", "console"),
        "auto",
        "`json`, a JSON object a line; `console`, for people; `auto`, "
        "`console` on a terminal and `json` elsewhere.",
    )
    log_level: str = _setting(
        _one_of("debug", "info", "warning", "error"),
        "info",
        "The least level that is logged: `debug`, `info`, `warning` or `error`.",
    )
    slow_query_seconds: float = _setting(
        _number(0, 300),
        0.5,
        "From how long on, in seconds, a statement on the database is logged as slow.",
    )
    max_connections: int = _setting(
        _whole(1, 100_000),
        1000,
        "How many connections there may be. Of more, those that have been waiting for their "
        "client longest are closed.",
    )
    header_timeout: float = _setting(
        _number(0.1, 86400),
        10.0,
        "How long, in seconds, a new connection may take to send its first request's head.",
    )
    send_timeout: float = _setting(
        _number(0.1, 86400),
        30.0,
        "How long, in seconds, a client may take less than 64 KiB of an answer that waits for it.",
    )
    body_timeout: float = _setting(
        _number(0.1, 86400), 30.0, "How long, in seconds, a request's body may take to come in."
    )
    shutdown_delay: float = _setting(
        _number(0, 300),
        0.0,
        "How long, in seconds, new connections are still accepted after SIGTERM, while `/readyz` "
        "fails already, so that a balancer can turn away first. A second signal cuts it short.",
    )
    shutdown_timeout: float = _setting(
        _number(0, 300),
        5.0,
        "How long, in seconds, requests in flight may take to finish once none is accepted.",
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Config":
        """The configuration that ``environ`` describes.

        Raises ConfigError, naming the variable, for a value that can't be used and for a
        variable that begins with ``SHARED_REPORTS_`` and means nothing here.
        """
        settings = {variable(each): each for each in fields(cls)}
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
        return cls(**values)  # type: ignore[arg-type]


def variable(setting: Field[Any]) -> str:
    """The environment variable of one of Config's fields."""
    return PREFIX + setting.name.upper()


def deprecation_warning(environ: Mapping[str, str]) -> str | None:
    """Return one sentence that names the old variables in use and their new names, if any."""
    used = [f"{old} (now {new})" for old, new in RENAMED_VARIABLES.items() if old in environ]
    if not used:
        return None
    return f"Old names of settings, accepted for this release only: {', '.join(used)}."
