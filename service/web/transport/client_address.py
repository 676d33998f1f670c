"""The client's address and scheme, behind trusted reverse proxies.

Each reverse proxy appends the address that called it to ``X-Forwarded-For``. With
``CINELOG_PROXIES=n`` the last n entries are from trusted proxies, so the n-th from the right is the
client's address; entries left of it may be forged. Without proxies the header is ignored.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from sanic import Request

_CACHED = 4_096
_MAX_LENGTH = 64
_UNKNOWN = "unknown"  # a client on a local socket has no address


def address_of(request: Request, proxies: int) -> str:
    """Return the client's address in its canonical form."""
    if proxies:
        forwarded = _entry(request, "x-forwarded-for", proxies)
        if len(forwarded) <= _MAX_LENGTH and (address := _canonical(forwarded)):
            return address
    return _canonical(request.ip) or _UNKNOWN


def scheme_of(request: Request, proxies: int) -> str:
    """Return ``https`` where a trusted proxy says so, else ``http``."""
    if proxies and _entry(request, "x-forwarded-proto", proxies).lower() == "https":
        return "https"
    return "http"


@lru_cache(_CACHED)
def counted_as(address: str) -> str:
    """Return the key of rate limits: the IPv4 address, or the /64 of an IPv6 host."""
    return _network(address, 32, 64)


@lru_cache(_CACHED)
def logged_as(address: str) -> str:
    """Return the network of an address, which identifies no person."""
    return _network(address, 24, 48)


def _entry(request: Request, header: str, from_right: int) -> str:
    """Return one entry of a list that may span several header lines.

    A shorter list passed fewer proxies, all of them trusted: its first entry counts.
    """
    entries = ",".join(request.headers.getall(header, [])).split(",")
    return entries[max(0, len(entries) - from_right)].strip()


@lru_cache(_CACHED)
def _canonical(text: str) -> str:
    """Return an address without port, brackets or zone, "" for an invalid one."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)


def _network(address: str, bits_v4: int, bits_v6: int) -> str:
    if address == _UNKNOWN:
        return address
    bits = bits_v6 if ":" in address else bits_v4
    return str(ip_network((address, bits), strict=False))
