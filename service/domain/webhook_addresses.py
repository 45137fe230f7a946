"""Where webhooks may be: their URLs, and the addresses that a connection may go to.

A URL is checked when a webhook is created. A name may mean another address later, so the address is
checked again by each connection, and that address is then connected to.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from service.domain.errors import InvalidError

URL_MAX = 2_000
_NAME_MAX = 253
_LABEL_MAX = 63

Network = IPv4Network | IPv6Network

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.DOTALL,
)
_AUTHORITY = re.compile(
    r"(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<literal>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?"
)
_VISIBLE = re.compile(r"[!-~]+")
_LABEL = re.compile(rf"[A-Za-z0-9_-]{{1,{_LABEL_MAX}}}")
_NUMBER = re.compile(r"[0-9]+|0[Xx][0-9A-Fa-f]*")
"""A last label that makes a name an IPv4 address, by the URL standard."""

# Everything that is not on the public Internet, by the registries of special addresses.
_NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by the customers of a carrier (CGNAT)
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # a cloud's metadata, at a public address
            "169.254.0.0/16",  # link-local, and most clouds' metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments, and a cloud's metadata
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # automatic multicast tunneling
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/3",  # multicast, reserved, broadcast
        ),
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
"""The only part that is given out. Outside are loopback, link-local, unique local and multicast
addresses, mapped IPv4 addresses and those behind NAT64."""
_NOT_PUBLIC_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them: it has an IPv4 address within
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: it has an IPv4 address within
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)

_LOCALHOST = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


class AddressRules:
    """The addresses that outgoing requests may go to: public ones, and ``networks``."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    @property
    def allows_http(self) -> bool:
        """Whether http is allowed anywhere at all."""
        return bool(self._networks)

    def is_named(self, address: str) -> bool:
        """Return whether an IP address is in a network that the operator has named."""
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def is_allowed(self, address: str) -> bool:
        """Return whether an IP address is public, or in a network that the operator has named."""
        parsed = _parsed(address)
        return parsed is not None and (is_public(parsed) or self.is_named(address))

    def check_url(self, url: str) -> None:
        """Raise InvalidError, which says why, for a URL that no delivery could ever be made to."""
        if len(url) > URL_MAX:
            raise InvalidError(f"`url` has more than {URL_MAX} characters.")
        match = _URL.fullmatch(url)
        if match is None or not _VISIBLE.fullmatch(url) or "\\" in url:
            raise InvalidError(
                "`url` is not an absolute URL in ASCII, such as https://example.com/hooks. Other "
                "characters are percent-encoded, those of a host name by Punycode."
            )
        scheme = match["scheme"].lower()
        if scheme != "https" and not (scheme == "http" and self.allows_http):
            raise InvalidError("`url` must begin with https://.")
        if match["fragment"] is not None:
            raise InvalidError("`url` has a fragment (`#`), which is never sent.")
        if "@" in match["authority"]:
            raise InvalidError("`url` must have no credentials: deliveries are signed.")
        authority = _AUTHORITY.fullmatch(match["authority"])
        if authority is None or not 0 < int(authority["port"] or 443) < 2**16:
            raise InvalidError("`url` has no valid host and port.")
        self._check_host(authority["name"], authority["literal"], is_plain=scheme == "http")

    def _check_host(self, name: str | None, literal: str | None, *, is_plain: bool) -> None:
        if literal is not None:
            self._check_address(literal, is_plain=is_plain)
            return
        labels = str(name).removesuffix(".").split(".")
        if sum(map(len, labels)) + len(labels) > _NAME_MAX or not all(
            map(_LABEL.fullmatch, labels)
        ):
            raise InvalidError("`url` has no valid host name.")
        if _NUMBER.fullmatch(labels[-1]):
            self._check_address(".".join(labels), is_plain=is_plain)
        elif labels[-1].lower() == "localhost" and not any(
            self.is_named(str(address)) for address in _LOCALHOST
        ):
            raise InvalidError("`url` leads to this machine, which webhooks may not call.")

    def _check_address(self, text: str, *, is_plain: bool) -> None:
        if _parsed(text) is None:
            raise InvalidError("`url` has an IP address in no valid form.")
        if not (self.is_named(text) if is_plain else self.is_allowed(text)):
            raise InvalidError(f"`url` leads to {text}, which webhooks may not call.")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is one of the public Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return (
        address.scope_id is None
        and address in _PUBLIC_V6
        and not any(address in network for network in _NOT_PUBLIC_V6)
    )


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks in a list with commas between. Raises ValueError."""
    return tuple(ip_network(word.strip()) for word in text.split(","))


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None
