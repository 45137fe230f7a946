"""The address of a database never shows its password."""

import pytest

from service.domain.postgresql_url import PostgresqlUrl, is_postgresql


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://host/name", "postgresql://host/name"),
        ("postgresql://user@host/name", "postgresql://user@host/name"),
        ("postgres://user:hunter2@host:5432/name", "postgres://user:***@host:5432/name"),
        ("postgresql://user:hunter2@one,two:5433/name", "postgresql://user:***@one,two:5433/name"),
        ("postgresql://user:hun@ter2@host/name", "postgresql://user:***@host/name"),
        ("postgresql://:hunter2@host", "postgresql://:***@host"),
        ("postgresql:///name?user=u&password=hunter2", "postgresql:///name?user=u&password=***"),
        (
            "postgresql://host/?sslpassword=hunter2&sslmode=require",
            "postgresql://host/?sslpassword=***&sslmode=require",
        ),
        ("postgresql://user:hunt/er2@host/name", "postgresql://user:***@host/name"),
    ],
)
def test_address_is_shown_without_its_password(text: str, shown: str) -> None:
    url = PostgresqlUrl(text)
    assert (str(url), repr(url), f"{url}") == (shown,) * 3


def test_message_about_an_address_has_no_password_in_any_spelling() -> None:
    url = PostgresqlUrl("postgresql://user:p%40ss@host/name")
    told = f"bad address {url.text}: p%40ss or p@ss"
    assert url.without_password(told) == ("bad address postgresql://user:***@host/name: *** or ***")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://host/name", True),
        ("postgres://", True),
        ("shared-reports.sqlite3", False),
        ("/data/postgresql/file", False),
    ],
)
def test_database_is_postgresql_by_its_scheme(text: str, *, expected: bool) -> None:
    assert is_postgresql(text) == expected


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgresql:///name?service=x", ["postgresql:///name?service=x"]),
        ("postgresql://u:p,w@one:5433/name", ["postgresql://u:p,w@one:5433/name"]),
        (
            "postgresql://u:p,w@one,[::1]:5433/name?sslmode=require",
            [
                "postgresql://u:p,w@one/name?sslmode=require",
                "postgresql://u:p,w@[::1]:5433/name?sslmode=require",
            ],
        ),
        ("postgresql://one,two", ["postgresql://one", "postgresql://two"]),
        (
            "postgresql://u@/name?host=/run/a,two%2Cthree&sslmode=require",
            [
                "postgresql://u@/name?host=/run/a&sslmode=require",
                "postgresql://u@/name?host=two&sslmode=require",
                "postgresql://u@/name?host=three&sslmode=require",
            ],
        ),
        (
            "postgresql:///?port=1,2&host=one,two",
            ["postgresql:///?port=1&host=one", "postgresql:///?port=2&host=two"],
        ),
        (
            "postgresql:///?port=1&host=one,two",
            ["postgresql:///?port=1&host=one", "postgresql:///?port=1&host=two"],
        ),
    ],
)
def test_address_with_several_hosts_is_an_address_for_each(text: str, hosts: list[str]) -> None:
    assert [url.text for url in PostgresqlUrl(text).hosts()] == hosts
