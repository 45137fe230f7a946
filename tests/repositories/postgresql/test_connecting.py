"""The ways in which libpq's users say where a server is, and how to connect."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support import postgresql
from support.postgresql import PostgresServer

from service.config import Config
from service.domain.errors import DatabaseRefusedError
from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.connect import open_repositories
from service.repositories.postgresql.engine.connector import Connector

pytestmark = pytest.mark.slow

PASSWORD = "hunter2 @,/"
RULES = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that listens on a port and asks for a password."""
    folder = postgresql.make_folder()
    try:
        postgresql.initialize(folder)
        (folder / "data/pg_hba.conf").write_text(RULES)
        settings = {"listen_addresses": "127.0.0.1", "port": free_port()} | postgresql.FAST
        with postgresql.started(folder, **settings) as server:
            server.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
            yield server
    finally:
        shutil.rmtree(folder)


def make_certificate(folder: Path) -> Path:
    """Create a key in a folder, and a certificate that it has signed itself."""
    certificate = folder / "server.crt"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", folder / "server.key", "-out", certificate),
        ],
        capture_output=True,
        check=True,
    )
    return certificate


@pytest.fixture
def certificate(server: PostgresServer) -> Path:
    """The certificate of the server, which encrypts from now on. Skips if it can't."""
    build = subprocess.run(
        postgresql.command("pg_config", "--configure"), capture_output=True, text=True, check=True
    )
    if "ssl" not in build.stdout:
        pytest.skip("this PostgreSQL was built without SSL")
    data = server.folder / "data"
    make_certificate(data)
    for name in ("server.key", "server.crt"):
        (data / name).chmod(0o600)
        shutil.chown(data / name, data.owner(), data.group())
    server.execute("ALTER SYSTEM SET ssl = on")
    server.execute("SELECT pg_reload_conf()")
    return data / "server.crt"


async def is_encrypted(url: str) -> bool:
    """Connect as the service does; returns whether the connection is encrypted."""
    connection = await Connector(PostgresqlUrl(url), 5, 5, 100).connect()
    ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    encrypted: bool = await connection.fetchval(ssl)
    await connection.close()
    return encrypted


async def refusal(url: str) -> str:
    """Open the database at an address that is refused; returns the one line."""
    with pytest.raises(DatabaseRefusedError) as refused:
        async with open_repositories(Config(database=PostgresqlUrl(url)), lambda: "", serves=True):
            pass
    text = str(refused.value)
    assert "\n" not in text
    assert PASSWORD not in text
    return text


async def test_password_is_taken_from_each_of_its_places(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{server.port}/postgres"
    url = f"postgresql://postgres@{address}"
    assert "password" in await refusal(url)
    await is_encrypted(f"postgresql://postgres:{quote(PASSWORD, safe='')}@{address}")
    await is_encrypted(f"{url}?password={quote(PASSWORD)}")
    with monkeypatch.context() as environment:
        environment.setenv("PGPASSWORD", PASSWORD)
        await is_encrypted(url)
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{server.port}:*:postgres:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    await is_encrypted(url)


async def test_wrong_password_is_refused_in_one_line_without_it(server: PostgresServer) -> None:
    url = f"postgresql://postgres:wrong-secret@127.0.0.1:{server.port}/postgres"
    text = await refusal(url)
    assert "password authentication failed" in text
    assert "wrong-secret" not in text


async def test_service_file_says_where_the_server_is(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "services"
    file.write_text(
        f"[reports]\nhost=127.0.0.1,127.0.0.1\nport={free_port()},{server.port}\n"
        f"user=postgres\npassword={PASSWORD}\ndbname=postgres\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    await is_encrypted("postgresql://?service=reports")
    assert "no connection" in await refusal("postgresql://?service=unknown&host=/nowhere")


async def test_hosts_are_tried_in_turn(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one is closed, the second one listens and says nothing."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = free_port(), silent.getsockname()[1], server.port
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        url = PostgresqlUrl(f"postgresql://postgres@{hosts}/postgres")
        connection = await Connector(url, 0.5, 5, 100).connect()
        await connection.close()
    names = ",".join(["127.0.0.1"] * 2)
    url = PostgresqlUrl(
        f"postgresql://postgres@/postgres?host={names}&port={free_port()},{server.port}"
    )
    await (await Connector(url, 5, 5, 100).connect()).close()


async def test_sslmode_without_ssl_of_the_server(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    url = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
    for mode in ("disable", "allow", "prefer"):
        assert not await is_encrypted(f"{url}?sslmode={mode}")
    assert "rejected SSL upgrade" in await refusal(f"{url}?sslmode=require")
    assert "sslmode" in await refusal(f"{url}?sslmode=sometimes")


async def test_sslmode_with_ssl_of_the_server(
    server: PostgresServer, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    known = tmp_path / "root.crt"
    shutil.copyfile(certificate, known)
    url = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
    assert await is_encrypted(f"{url}?sslmode=require")
    assert await is_encrypted(f"{url}?sslmode=verify-full&sslrootcert={known}")
    assert not await is_encrypted(f"{url}?sslmode=disable")
    other = make_certificate(tmp_path)
    text = await refusal(f"{url}?sslmode=verify-full&sslrootcert={other}")
    assert "certificate verify failed" in text
