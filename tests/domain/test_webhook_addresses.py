"""The URLs and addresses of webhooks: no spelling leads into a private network."""

from ipaddress import ip_network

import pytest

from service.domain.errors import InvalidError
from service.domain.webhook_addresses import AddressRules, parse_networks

PUBLIC = AddressRules()
NAMED = AddressRules(parse_networks("127.0.0.0/8, 10.1.0.0/16, fd00:1::/32"))

REFUSED_ADDRESSES = [
    *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1"),
    *("172.31.255.255", "192.168.1.1", "169.254.169.254", "169.254.0.1", "100.64.0.1"),
    *("100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
    *("192.88.99.1", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8"),
    *("::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1"),
    *("2001:0:7f00:1::", "2001:db8::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1"),
    *("fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1", "100::1", "5f00::1", "4000::1"),
    *("127.1", "2130706433", "0x7f000001", "017700000001", "localhost", "", "1.2.3.4.5"),
]
ALLOWED_ADDRESSES = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1"),
    *("172.15.255.255", "172.32.0.1", "192.167.1.1", "192.169.1.1", "169.253.1.1", "198.20.0.1"),
    *("223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "2400:cb00::1", "2003::1"),
]

BYPASS_TRIES = [
    # other schemes, and no scheme
    *("http://example.com/", "ftp://example.com/", "file:///etc/passwd", "//example.com/"),
    *("gopher://127.0.0.1:6379/_x", "javascript:alert(1)", "example.com", "https:/example.com"),
    *("https:example.com", "HTTP://example.com", "unix:///run/docker.sock", "https://", ""),
    # credentials
    *("https://user:password@example.com/", "https://user@example.com/", "https://@example.com/"),
    *("https://example.com@127.0.0.1/", "https://example.com%40127.0.0.1/"),
    *("https://127.0.0.1\\@example.com/", "https://example.com\\@127.0.0.1/"),
    "https://example.com:443@127.0.0.1/",
    # this machine and networks behind it, in every spelling of an address
    *("https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://2130706433/"),
    *("https://0x7f000001/", "https://0X7F.0.0.1/", "https://0177.0.0.1/", "https://017700000001/"),
    *("https://127.0.0.1./", "https://127.0.0.01/", "https://0/", "https://0.0.0.0/"),
    *("https://169.254.169.254/latest/meta-data", "https://0xa9fea9fe/", "https://2852039166/"),
    *("https://10.0.0.1/", "https://192.168.0.1:8443/", "https://999.1.1.1/", "https://1.2.3/"),
    *("https://example.0x7f/", "https://example.127/", "https://100.100.100.200/"),
    # IPv6, also with an IPv4 address within
    *("https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/"),
    *("https://[::127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://[fe80::1]/"),
    *("https://[2606:4700::1%25eth0]/", "https://[64:ff9b::169.254.169.254]/"),
    *("https://[2002:7f00:1::1]/", "https://[fd00:ec2::254]/", "https://[::1", "https://[]/"),
    *("https://[127.0.0.1]/", "https://[::1]x/", "https://::1/", "https://[v1.x]/"),
    # names of this machine
    *("https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://x.localhost/"),
    # names that are none
    *("https://exa mple.com/", "https://example.com\t/", "https://example.com\n/", " https://a.b/"),
    *("https://ex\u00e4mple.com/", "https://\u2460.0.0.1/", "https://127\u30020\u30020\u30021/"),
    *("https://example\uff0ecom/", "https://example.com/\u00e4", "https://.example.com/"),
    *("https://example..com/", "https://example.com../", "https://./", "https://exa%6dple.com/"),
    f"https://{'a' * 64}.com/",
    f"https://{'.'.join(['a' * 60] * 5)}/",
    f"https://example.com/{'a' * 2_000}",
    # ports, and what is never sent
    *("https://example.com:0/", "https://example.com:65536/", "https://example.com:x/"),
    *("https://example.com:/", "https://example.com:-1/", "https://example.com:443:443/"),
    *("https://example.com/#fragment", "https://example.com#@127.0.0.1/"),
    "https://example.com:99999999999999999999/",
]
ALLOWED_URLS = [
    *("https://example.com", "https://example.com/", "HTTPS://Example.COM/hooks?x=1&y=%40"),
    *("https://example.com./", "https://example.com:8443/", "https://xn--exmple-cua.com/"),
    *("https://1.1.1.1/", "https://[2606:4700:4700::1111]:8443/x", "https://under_score.com/"),
    *("https://example.com?x=1", "https://a.b/@user", "https://127.0.0.1.example.com/"),
    *("https://localhost.example.com/", "https://0x7f.example.com/"),
]


@pytest.mark.parametrize("address", REFUSED_ADDRESSES)
def test_address_that_is_not_public_is_refused(address: str) -> None:
    assert not PUBLIC.is_allowed(address)
    assert not PUBLIC.is_named(address)


@pytest.mark.parametrize("address", ALLOWED_ADDRESSES)
def test_address_that_is_public_is_allowed(address: str) -> None:
    assert PUBLIC.is_allowed(address)
    assert NAMED.is_allowed(address)
    assert not NAMED.is_named(address)


@pytest.mark.parametrize("url", BYPASS_TRIES)
def test_url_that_may_lead_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(InvalidError, match="`url`"):
        PUBLIC.check_url(url)


@pytest.mark.parametrize("url", ALLOWED_URLS)
def test_url_that_is_plain_is_allowed(url: str) -> None:
    PUBLIC.check_url(url)
    NAMED.check_url(url)


def test_networks_that_are_named_are_allowed_also_by_http() -> None:
    for url in (
        *("http://127.0.0.1:8080/x", "https://127.0.0.1/", "http://localhost/", "http://10.1.2.3/"),
        *("http://[fd00:1::5]/", "http://name.internal/", "https://10.1.255.255/"),
    ):
        NAMED.check_url(url)
    for url in (
        *("http://10.2.0.1/", "http://1.1.1.1/", "https://10.2.0.1/", "http://[::1]/"),
        *("http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://user@127.0.0.1/"),
    ):
        with pytest.raises(InvalidError):
            NAMED.check_url(url)
    assert NAMED.is_allowed("127.0.0.1")
    assert not NAMED.is_allowed("10.2.0.1")


def test_networks_are_read_from_a_list() -> None:
    expected = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert parse_networks("10.0.0.0/8, fd00::/8") == expected
    for text in ("", "10.0.0.1/8", "example.com", "10.0.0.0/8,", "10.0.0.0/33"):
        with pytest.raises(ValueError, match=r".+"):
            parse_networks(text)
