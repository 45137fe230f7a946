"""What a reverse proxy says of a request: its client, scheme and host.

``X-Forwarded-*`` headers are believed only if the connection comes from a trusted proxy: any other
client may write anything into them.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp import web

from service.domain.errors import MalformedError
from service.domain.setting_values import UNIX, TrustedProxies
from service.web.app_keys import CONFIG

_HOST_MAX = 255
"""Characters of a host without its port: https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2."""
_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+|\[(?P<ip6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?"
)
_PORT_MAX = 65535
_HOPS_MAX = 32
"""Hops of X-Forwarded-For that are looked at, from the last: 88,000 took 0.7 to 1.7 s."""


def is_host(text: str) -> bool:
    """Return whether ``text`` is a name or an IP address, with a port or without one."""
    match = _HOST.fullmatch(text) if len(text) <= _HOST_MAX + len(":65535") else None
    if match is None or len(match["name"]) > _HOST_MAX or int(match["port"] or 0) > _PORT_MAX:
        return False
    try:
        return match["ip6"] is None or bool(IPv6Address(match["ip6"]))
    except ValueError:
        return False


def client_address(request: web.Request, trusted: TrustedProxies | None) -> str:
    """Return the client's IP address in canonical form without a zone, or ``unix``.

    Behind ``trusted`` proxies it is the last hop of ``X-Forwarded-For`` that is not one of them:
    the client itself may have written the hops before. A hop that is no address ends the search,
    and so does the 32nd.
    """
    client = _peer(request)
    if trusted is None or not _trusts(trusted, client):
        return client
    for hop in _last_hops(request.headers.getall("X-Forwarded-For", ())):
        address = _address(hop.strip())
        if address is None:
            break
        client = str(address)
        if not _trusts(trusted, client):
            break
    return client


def rate_limit_key(request: web.Request) -> str:
    """Return the key that a guess is counted by: an IPv4 address, or the /64 of an IPv6 address.

    A client with one IPv6 address has 2^64 of them.
    """
    return _limited_network(client_address(request, request.app[CONFIG].trusted_proxies))


@lru_cache(maxsize=1024)
def _limited_network(client: str) -> str:
    """Parsing an address takes as long as the look-up of an unknown share hash."""
    if isinstance(_address(client), IPv6Address):
        return str(ip_network((client, 64), strict=False))
    return client


def base_url(request: web.Request) -> str:
    """Return the origin that links begin with: as configured, else the request's own.

    Raises MalformedError if the request's Host is invalid: it would get into headers and pages.
    """
    config = request.app[CONFIG]
    if config.base_url is not None:
        return config.base_url
    scheme, host = request.scheme, request.host
    if config.trusted_proxies is not None and _trusts(config.trusted_proxies, _peer(request)):
        forwarded = _last(request, "X-Forwarded-Proto").lower()
        scheme = forwarded if forwarded in {"http", "https"} else scheme
        forwarded = _last(request, "X-Forwarded-Host")
        host = forwarded if is_host(forwarded) else host
    return _origin(scheme, host)


@lru_cache(maxsize=64)
def _origin(scheme: str, host: str) -> str:
    if not is_host(host):
        raise MalformedError("The Host header is no address.")
    return f"{scheme}://{host}"


def _peer(request: web.Request) -> str:
    peer = request.protocol.peername
    # Over a Unix socket it is the path that the client has bound, if any: no address.
    if not isinstance(peer, tuple):
        return UNIX
    host: str = peer[0]
    return host if "%" not in host else host.partition("%")[0]


def _trusts(trusted: TrustedProxies, peer: str) -> bool:
    if peer == UNIX:
        return trusted.unix
    address = _address(peer)
    return address is not None and any(address in network for network in trusted.networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address without its zone, which may hold any text; None if it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # An IPv4 peer looks like this to a socket that listens on ``::``.
    return getattr(address, "ipv4_mapped", None) or address


def _last_hops(values: Sequence[str]) -> list[str]:
    """Return the hops in the values of a header, the last one first and 32 at most."""
    hops: list[str] = []
    for value in reversed(values):
        wanted = _HOPS_MAX - len(hops)
        if not wanted:
            break
        hops += reversed(value.rsplit(",", wanted)[-wanted:])
    return hops


def _last(request: web.Request, header: str) -> str:
    """Return the value of the nearest proxy, if several have added theirs."""
    return ",".join(request.headers.getall(header, ())).rpartition(",")[2].strip()
