"""``X-Forwarded-*`` is believed from trusted proxies, and from nobody else."""

import asyncio
import io
import json
import socket
from dataclasses import replace
from ipaddress import ip_network

import pytest
from aiohttp import web
from multidict import CIMultiDict
from support.harness import Service, Start

from service.app import create_app
from service.config import Config
from service.domain.setting_values import TrustedProxies
from service.server.run import make_runner
from service.telemetry.log_sink import LogSink
from service.web.app_keys import REQUESTS

FORWARDED = {
    "X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.1.2.3",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "reports.example.com",
}
LOCAL = TrustedProxies((ip_network("127.0.0.1"), ip_network("10.0.0.0/8")))


async def link_base(service: Service, headers: dict[str, str]) -> str:
    await service.alice.put_video()
    answer = await service.alice.post("/api/shared-reports", {"video_id": "job-1"}, headers=headers)
    return answer.headers["Location"].partition("/api/")[0]


async def client_of(service: Service, stream: io.StringIO, headers: dict[str, str]) -> str:
    await service.public.get("/livez", headers=headers)
    service.app[REQUESTS].flush()
    return str(json.loads(stream.getvalue().splitlines()[-1])["client"])


async def test_forwarded_headers_are_ignored_by_default(start: Start) -> None:
    stream = io.StringIO()
    service = await start(log_sink=LogSink(stream))
    own = f"http://127.0.0.1:{service.client.port}"
    assert await link_base(service, FORWARDED) == own
    assert await client_of(service, stream, FORWARDED) == "127.0.0.1"


async def test_forwarded_headers_of_an_untrusted_peer_are_ignored(
    start: Start, config: Config
) -> None:
    stream = io.StringIO()
    others = TrustedProxies((ip_network("192.0.2.0/24"),), unix=True)
    service = await start(replace(config, trusted_proxies=others), log_sink=LogSink(stream))
    assert await link_base(service, FORWARDED) == f"http://127.0.0.1:{service.client.port}"
    assert await client_of(service, stream, FORWARDED) == "127.0.0.1"


async def test_forwarded_headers_of_a_trusted_proxy_are_used(start: Start, config: Config) -> None:
    service = await start(replace(config, trusted_proxies=LOCAL))
    assert await link_base(service, FORWARDED) == "https://reports.example.com"


async def test_base_url_overrides_forwarded_headers(start: Start, config: Config) -> None:
    service = await start(
        replace(config, trusted_proxies=LOCAL, base_url="https://other.example.com/x")
    )
    assert await link_base(service, FORWARDED) == "https://other.example.com/x"


@pytest.mark.parametrize(
    ("proto", "host", "expected"),
    [
        ("javascript", "reports.example.com", "http://reports.example.com"),
        ("https", "evil.example/x>", "https://127.0.0.1"),
        ("http, HTTPS", "a.example, b.example:8443", "https://b.example:8443"),
        ("https", "[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("", "", "http://127.0.0.1"),
    ],
)
async def test_forwarded_proto_and_host_are_used_only_if_valid(
    start: Start, config: Config, proto: str, host: str, expected: str
) -> None:
    service = await start(replace(config, trusted_proxies=LOCAL))
    headers = {"X-Forwarded-Proto": proto, "X-Forwarded-Host": host}
    base = await link_base(service, headers)
    assert base.removesuffix(f":{service.client.port}") == expected


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("6.6.6.6, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("10.9.9.9, 10.1.2.3", "10.9.9.9"),
        ('203.0.113.7, x"y', "127.0.0.1"),
        ('x"y, 10.1.2.3', "10.1.2.3"),
        ("", "127.0.0.1"),
    ],
)
async def test_client_address_is_the_last_untrusted_hop(
    start: Start, config: Config, forwarded: str, client: str
) -> None:
    stream = io.StringIO()
    service = await start(replace(config, trusted_proxies=LOCAL), log_sink=LogSink(stream))
    assert await client_of(service, stream, {"X-Forwarded-For": forwarded}) == client


@pytest.mark.parametrize("hops_in_last_header", [1, 31, 32, 33, 40])
async def test_client_address_looks_at_the_last_32_hops(
    start: Start, config: Config, hops_in_last_header: int
) -> None:
    stream = io.StringIO()
    service = await start(replace(config, trusted_proxies=LOCAL), log_sink=LogSink(stream))
    hops = [f"10.0.0.{number}" for number in range(40, 0, -1)]
    headers = CIMultiDict[str]()
    for part in (["203.0.113.7", *hops[:-hops_in_last_header]], hops[-hops_in_last_header:]):
        headers.add("X-Forwarded-For", ", ".join(part))
    async with service.client.get("/livez", headers=headers):
        service.app[REQUESTS].flush()
    assert json.loads(stream.getvalue().splitlines()[-1])["client"] == "10.0.0.32"


@pytest.mark.parametrize(
    ("trusted", "client"),
    [(None, "unix"), (LOCAL, "unix"), (TrustedProxies((), unix=True), "203.0.113.7")],
)
@pytest.mark.parametrize("bound", ["", "127.0.0.1"])
async def test_unix_socket_client_is_named_unix_and_can_be_trusted(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    trusted: TrustedProxies | None,
    client: str,
    bound: str,
) -> None:
    """Even one that has bound its own end to a path that looks like an address."""
    folder = config.sqlite_file.parent
    monkeypatch.chdir(folder)
    stream = io.StringIO()
    app = create_app(replace(config, trusted_proxies=trusted), log_sink=LogSink(stream))
    runner = make_runner(app)
    await runner.setup()
    await web.UnixSite(runner, folder / "s.sock").start()
    with socket.socket(socket.AF_UNIX) as end:
        if bound:
            end.bind(bound)
        end.connect(str(folder / "s.sock"))
        reader, writer = await asyncio.open_unix_connection(sock=end)
        writer.write(b"GET /livez HTTP/1.0\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.0 200 ")
        writer.close()
        await writer.wait_closed()
    await runner.cleanup()
    assert json.loads(stream.getvalue())["client"] == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ('fe80::1%"}, {"event": "forged', "127.0.0.1"),
        ('fe80::1%"} forged', "fe80::1"),
        (f"fe80::1%lvz_live_{'0' * 64}", "fe80::1"),
        ("203.0.113.7%lvz_live_", "203.0.113.7"),
        ("2001:DB8:0::0001", "2001:db8::1"),
        (f"lvz_live_{'0' * 64}", "127.0.0.1"),
        ("::ffff:203.0.113.7%x", "203.0.113.7"),
    ],
)
async def test_client_address_is_canonical_and_has_no_zone(
    start: Start, config: Config, forwarded: str, client: str
) -> None:
    stream = io.StringIO()
    service = await start(replace(config, trusted_proxies=LOCAL), log_sink=LogSink(stream))
    assert await client_of(service, stream, {"X-Forwarded-For": forwarded}) == client
    assert "forged" not in stream.getvalue()
    assert "lvz_live_" not in stream.getvalue()


@pytest.mark.parametrize(
    "host",
    [
        "a" * 256,
        "a" * 2900,
        "a:65536",
        "a:99999",
        "[1.2.3.4]",
        "[:::]",
        "[fe80::1%25x]",
        "[1::2::3]",
    ],
)
async def test_forwarded_host_that_is_invalid_is_not_taken(
    start: Start, config: Config, host: str
) -> None:
    service = await start(replace(config, trusted_proxies=LOCAL))
    base = await link_base(service, {"X-Forwarded-Host": host})
    assert base == f"http://127.0.0.1:{service.client.port}"
