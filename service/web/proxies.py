"""Proxies: what a request says of itself when one stands in front.

``X-Forwarded-*`` headers are believed only where the connection comes from a trusted proxy;
anyone else could write what they like into them.
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp import web

from service.config import UNIX, TrustedProxies
from service.domain.errors import MalformedError
from service.web.app_keys import CONFIG

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def client_address(request: web.Request, trusted: TrustedProxies | None) -> str:
    """Who is asking: an IP address, or ``unix``.

    Behind ``trusted`` proxies that is the last hop that is not one of them: what stands before it
    in ``X-Forwarded-For`` was written by someone nobody has to believe.
    """
    client = _peer(request)
    if trusted is None or not _trusts(trusted, client):
        return client
    for hop in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
        address = _address(hop.strip())
        if address is None:
            break
        client = str(address)
        if not _trusts(trusted, client):
            break
    return client


def rate_limit_key(request: web.Request) -> str:
    """Who is counted for a guess: an IPv4 address, or the 64 bits of an IPv6 network.

    Whoever has one IPv6 address has 2^64 of them.
    """
    client = client_address(request, request.app[CONFIG].trusted_proxies)
    if isinstance(_address(client), IPv6Address):
        return str(ip_network((client.partition("%")[0], 64), strict=False))
    return client


def base_url(request: web.Request) -> str:
    """What links begin with: as configured, else the address that the request came to.

    Raises MalformedError where the request names none: it would end up in headers and pages.
    """
    config = request.app[CONFIG]
    if config.base_url is not None:
        return config.base_url
    scheme, host = request.scheme, request.host
    if config.trusted_proxies is not None and _trusts(config.trusted_proxies, _peer(request)):
        forwarded = _last(request, "X-Forwarded-Proto").lower()
        scheme = forwarded if forwarded in {"http", "https"} else scheme
        forwarded = _last(request, "X-Forwarded-Host")
        host = forwarded if _HOST.fullmatch(forwarded) else host
    return _origin(scheme, host)


@lru_cache(maxsize=64)
def _origin(scheme: str, host: str) -> str:
    if not _HOST.fullmatch(host):
        raise MalformedError("The Host header is no address.")
    return f"{scheme}://{host}"


def _peer(request: web.Request) -> str:
    peer = request.protocol.peername
    # Over a Unix socket it is the path that the client has bound, if any: no address.
    return peer[0] if isinstance(peer, tuple) else UNIX


def _trusts(trusted: TrustedProxies, peer: str) -> bool:
    if peer == UNIX:
        return trusted.unix
    address = _address(peer)
    return address is not None and any(address in network for network in trusted.networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # An IPv4 peer looks like this to a socket that listens on ``::``.
    return getattr(address, "ipv4_mapped", None) or address


def _last(request: web.Request, header: str) -> str:
    """The value that the nearest proxy has written, where several have added theirs."""
    return ",".join(request.headers.getall(header, ())).rpartition(",")[2].strip()
