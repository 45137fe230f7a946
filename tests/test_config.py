"""The configuration: every variable does something, and none is misread in silence."""

import json
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import pytest
from support.process import create_database, run_in_process

from service.config import (
    RENAMED_VARIABLES,
    Config,
    CorsOrigins,
    TrustedProxies,
    deprecation_warning,
    variable,
)
from service.domain.errors import ConfigError


def test_config_without_variables_is_a_local_service() -> None:
    config = Config.from_env({"HOME": "/root", "PATH": "/bin"})
    assert config == Config()
    assert (config.host, config.port) == ("127.0.0.1", 8080)


EVERY_SETTING = {
    "DATABASE": "/x/y.sqlite3",
    "POSTGRESQL_CONNECTIONS": "7",
    "CONNECT_TIMEOUT": "1.5",
    "STATEMENT_TIMEOUT": "20",
    "STATEMENT_CACHE_SIZE": "0",
    "CHECKPOINTER": "litestream",
    "HOST": "::1",
    "PORT": "0",
    "UNIX_SOCKET": "/run/s.sock",
    "BASE_URL": "https://example.com/share/",
    "CORS_ORIGINS": "https://app.example.com",
    "TRUSTED_PROXIES": "10.0.0.0/8, ::1, unix",
    "LOOKUP_RATE_LIMIT": "off",
    "PASSWORD_RATE_LIMIT": "7",
    "CREATE_RATE_LIMIT": "100",
    "SWEEP_INTERVAL": "0.5",
    "RETENTION_DAYS": "90",
    "WEBHOOK_NETWORKS": "10.1.0.0/16, fd00::/8",
    "SHARE_HASH_LENGTH": "32",
    "FRAME_ANCESTORS": "'self' https://app.example.com",
    "RENDER_CACHE": "128",
    "LOG_FORMAT": "console",
    "LOG_LEVEL": "debug",
    "SLOW_QUERY_SECONDS": "0.25",
    "MAX_CONNECTIONS": "50",
    "HEADER_TIMEOUT": "5",
    "SEND_TIMEOUT": "6",
    "BODY_TIMEOUT": "4",
    "SHUTDOWN_DELAY": "2",
    "SHUTDOWN_TIMEOUT": "3",
}
"""A value for each setting, by the name of its variable without the prefix."""
AS_READ = Config(
    database=Path("/x/y.sqlite3"),
    postgresql_connections=7,
    connect_timeout=1.5,
    statement_timeout=20.0,
    statement_cache_size=0,
    checkpointer="litestream",
    host="::1",
    port=0,
    unix_socket=Path("/run/s.sock"),
    base_url="https://example.com/share",
    cors_origins=CorsOrigins(frozenset({"https://app.example.com"})),
    trusted_proxies=TrustedProxies((ip_network("10.0.0.0/8"), ip_network("::1")), unix=True),
    lookup_rate_limit=None,
    password_rate_limit=7,
    create_rate_limit=100,
    sweep_interval=0.5,
    retention_days=90,
    webhook_networks=(ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
    share_hash_length=32,
    frame_ancestors="'self' https://app.example.com",
    render_cache=128,
    log_format="console",
    log_level="debug",
    slow_query_seconds=0.25,
    max_connections=50,
    header_timeout=5.0,
    send_timeout=6.0,
    body_timeout=4.0,
    shutdown_delay=2.0,
    shutdown_timeout=3.0,
)


def test_config_reads_every_setting() -> None:
    texts = {f"SHARED_REPORTS_{name}": text for name, text in EVERY_SETTING.items()}
    assert Config.from_env(texts) == AS_READ
    assert {name.lower() for name in EVERY_SETTING} == set(Config.__slots__)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CHECKPOINTER", "nobody"),
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", ""),
        ("PORT", "\uff18\uff10"),
        ("LOOKUP_RATE_LIMIT", "0"),
        ("LOOKUP_RATE_LIMIT", "none"),
        ("CREATE_RATE_LIMIT", "-1"),
        ("BODY_TIMEOUT", "0"),
        ("HEADER_TIMEOUT", "0"),
        ("SEND_TIMEOUT", "-1"),
        ("MAX_CONNECTIONS", "0"),
        ("SHARE_HASH_LENGTH", "15"),
        ("SHARE_HASH_LENGTH", "65"),
        ("SWEEP_INTERVAL", "0"),
        ("SWEEP_INTERVAL", "nan"),
        ("SWEEP_INTERVAL", "inf"),
        ("BASE_URL", "example.com"),
        ("BASE_URL", "ftp://example.com"),
        ("BASE_URL", "https://example.com/?x=1"),
        ("BASE_URL", "https://example.com\r\nX: y"),
        ("BASE_URL", "https://example.com/a b"),
        ("BASE_URL", "https://ex\u00e4mple.com"),
        ("TRUSTED_PROXIES", ""),
        ("TRUSTED_PROXIES", "proxy.example.com"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("SLOW_QUERY_SECONDS", "never"),
        ("SHUTDOWN_DELAY", "-1"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "LOUD"),
        ("FRAME_ANCESTORS", "'none'; script-src *"),
        ("FRAME_ANCESTORS", "x\r\ny"),
        ("DATABASE", ""),
        ("UNIX_SOCKET", ""),
        ("HOST", ""),
        ("SHUTDOWN_TIMEOUT", "-1"),
        ("HASHLENGTH", "16"),
        ("", "x"),
    ],
)
def test_config_names_the_setting_that_it_rejects(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"^SHARED_REPORTS_{name}"):
        Config.from_env({f"SHARED_REPORTS_{name}": text})


@pytest.mark.parametrize(("old", "new"), RENAMED_VARIABLES.items())
def test_old_setting_name_is_accepted_and_warned_about(old: str, new: str) -> None:
    [setting] = [each for each in fields(Config) if variable(each) == new]
    text = {"CHECKPOINTER": "litestream", "UNIX_SOCKET": "/run/x"}.get(new[15:], "20")
    config = Config.from_env({old: text})
    assert config == Config.from_env({new: text})
    assert getattr(config, setting.name) != setting.default
    assert f"{old} (now {new})" in (deprecation_warning({old: text}) or "")
    assert deprecation_warning({new: text}) is None
    with pytest.raises(ConfigError, match=f"{old} is the old name of {new}"):
        Config.from_env({old: text, new: text})


def test_old_setting_names_are_one_warning_line(tmp_path: Path) -> None:
    create_database(tmp_path)
    result = run_in_process(
        "keys", "list", folder=tmp_path, GUESSES=5, CREATES=5, LOG_FORMAT="json"
    )
    [line] = result.stderr.splitlines()
    assert json.loads(line)["level"] == "warning"
    assert "SHARED_REPORTS_GUESSES (now SHARED_REPORTS_LOOKUP_RATE_LIMIT)" in line
    assert "SHARED_REPORTS_CREATES (now SHARED_REPORTS_CREATE_RATE_LIMIT)" in line
