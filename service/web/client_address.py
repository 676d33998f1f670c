"""Who is at the other end: the client's address and scheme, as far as they can be believed.

Each reverse proxy adds the address it was called from to ``X-Forwarded-For``. With
``CINELOG_PROXIES=n`` the last n entries were written by proxies of ours, so the n-th from the right
is the client's; what stands left of it, anybody may have written. Without proxies nothing of it is
believed.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from sanic import Request

_KNOWN = 4_096
_LONGEST = 64
_UNKNOWN = "unknown"  # a client on a local socket has no address


def address_of(request: Request, proxies: int) -> str:
    """Return the client's address in its canonical form."""
    if proxies:
        forwarded = _entry(request, "x-forwarded-for", proxies)
        if len(forwarded) <= _LONGEST and (address := _canonical(forwarded)):
            return address
    return _canonical(request.ip) or _UNKNOWN


def scheme_of(request: Request, proxies: int) -> str:
    """Return ``https`` where a proxy that is believed says so, else ``http``."""
    if proxies and _entry(request, "x-forwarded-proto", proxies).lower() == "https":
        return "https"
    return "http"


@lru_cache(_KNOWN)
def counted_as(address: str) -> str:
    """Return what counts as one client: an IPv6 host has a whole /64 to choose from."""
    return _network(address, 32, 64)


@lru_cache(_KNOWN)
def logged_as(address: str) -> str:
    """Return what a log line may say: the network, not the person."""
    return _network(address, 24, 48)


def _entry(request: Request, header: str, from_right: int) -> str:
    """Return one entry of a list that may span several header lines.

    A list that is shorter came through fewer proxies, all of them ours: its first entry counts.
    """
    entries = ",".join(request.headers.getall(header, [])).split(",")
    return entries[max(0, len(entries) - from_right)].strip()


@lru_cache(_KNOWN)
def _canonical(text: str) -> str:
    """Return an address without port, brackets or zone; empty for what is none."""
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
