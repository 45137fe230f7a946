"""The configuration: every variable does something, and none is misread in silence."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from service.config import Config, TrustedProxies
from service.domain.errors import ConfigError


def test_an_empty_environment_is_a_local_service() -> None:
    config = Config.from_env({"HOME": "/root", "PATH": "/bin"})
    assert config == Config()
    assert (config.host, config.port) == ("127.0.0.1", 8080)


def test_every_setting_is_read() -> None:
    given = {
        "DATABASE": "/x/y.sqlite3",
        "CHECKPOINTS": "litestream",
        "HOST": "::1",
        "PORT": "0",
        "SOCKET": "/run/s.sock",
        "BASE_URL": "https://example.com/share/",
        "TRUSTED_PROXIES": "10.0.0.0/8, ::1, unix",
        "GUESSES": "off",
        "PASSWORD_GUESSES": "7",
        "CREATES": "100",
        "SWEEP_INTERVAL": "0.5",
        "RETENTION_DAYS": "90",
        "HASH_LENGTH": "32",
        "FRAME_ANCESTORS": "'self' https://app.example.com",
        "LOG_FORMAT": "console",
        "LOG_LEVEL": "debug",
        "SLOW_STATEMENT": "0.25",
        "CONNECTIONS": "50",
        "HEAD_TIMEOUT": "5",
        "SEND_TIMEOUT": "6",
        "BODY_TIMEOUT": "4",
        "SHUTDOWN_DELAY": "2",
        "SHUTDOWN_TIMEOUT": "3",
    }
    config = Config.from_env({f"SHARED_REPORTS_{name}": text for name, text in given.items()})
    assert config == Config(
        database=Path("/x/y.sqlite3"),
        checkpoints="litestream",
        host="::1",
        port=0,
        socket=Path("/run/s.sock"),
        base_url="https://example.com/share",
        trusted_proxies=TrustedProxies((ip_network("10.0.0.0/8"), ip_network("::1")), unix=True),
        guesses=None,
        password_guesses=7,
        creates=100,
        sweep_interval=0.5,
        retention_days=90,
        hash_length=32,
        frame_ancestors="'self' https://app.example.com",
        log_format="console",
        log_level="debug",
        slow_statement=0.25,
        connections=50,
        head_timeout=5.0,
        send_timeout=6.0,
        body_timeout=4.0,
        shutdown_delay=2.0,
        shutdown_timeout=3.0,
    )
    assert {name.lower() for name in given} == set(Config.__slots__)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CHECKPOINTS", "nobody"),
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", ""),
        ("PORT", "\uff18\uff10"),
        ("GUESSES", "0"),
        ("GUESSES", "none"),
        ("CREATES", "-1"),
        ("BODY_TIMEOUT", "0"),
        ("HEAD_TIMEOUT", "0"),
        ("SEND_TIMEOUT", "-1"),
        ("CONNECTIONS", "0"),
        ("HASH_LENGTH", "15"),
        ("HASH_LENGTH", "65"),
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
        ("SLOW_STATEMENT", "never"),
        ("SHUTDOWN_DELAY", "-1"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "LOUD"),
        ("FRAME_ANCESTORS", "'none'; script-src *"),
        ("FRAME_ANCESTORS", "x\r\ny"),
        ("DATABASE", ""),
        ("SOCKET", ""),
        ("HOST", ""),
        ("SHUTDOWN_TIMEOUT", "-1"),
        ("HASHLENGTH", "16"),
        ("", "x"),
    ],
)
def test_a_bad_value_or_name_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"^SHARED_REPORTS_{name}"):
        Config.from_env({f"SHARED_REPORTS_{name}": text})
