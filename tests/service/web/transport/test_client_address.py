"""The client's address and scheme come from trusted proxies only."""

from types import SimpleNamespace

import pytest
from sanic.compat import Header

from service.routes.pagination import link
from service.web.transport.client_address import address_of, counted_as, logged_as, scheme_of

PEER = "192.0.2.1"


def request(*headers, peer=PEER, **settings):
    parts = SimpleNamespace(
        settings=SimpleNamespace(
            **{"public_url": None, "host": "127.0.0.1", "proxies": 0} | settings
        )
    )
    app = SimpleNamespace(ctx=SimpleNamespace(container=parts))
    return SimpleNamespace(headers=Header(headers), ip=peer, app=app)


def forwarded(*lines):
    return request(*(("x-forwarded-for", line) for line in lines))


@pytest.mark.parametrize(
    ("proxies", "lines", "address"),
    [
        (0, ["203.0.113.9"], PEER),
        (1, ["203.0.113.9"], "203.0.113.9"),
        (1, ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (1, ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (2, ["198.51.100.1, 203.0.113.9, 10.0.0.1"], "203.0.113.9"),
        (3, ["203.0.113.9"], "203.0.113.9"),
        (1, [], PEER),
        (1, [""], PEER),
        (1, ["203.0.113.9, nonsense"], PEER),
        (1, ["9" * 5_000], PEER),
        (1, ["203.0.113.9:4711"], "203.0.113.9"),
        (1, ["[2001:db8::1]:4711"], "2001:db8::1"),
        (1, ["2001:DB8:0::1"], "2001:db8::1"),
        (1, ["::ffff:203.0.113.9"], "203.0.113.9"),
        (1, ["fe80::1%eth0"], "fe80::1"),
    ],
)
def test_the_outermost_trusted_proxy_names_the_client(proxies, lines, address):
    assert address_of(forwarded(*lines), proxies) == address


def test_a_local_socket_client_has_no_address():
    assert address_of(request(peer=""), 0) == "unknown"
    assert counted_as("unknown") == logged_as("unknown") == "unknown"


@pytest.mark.parametrize(
    ("proxies", "value", "scheme"),
    [(0, "https", "http"), (1, "https", "https"), (1, "HTTPS", "https"), (1, "gopher", "http"),
     (1, "https, http", "http"), (2, "https, http", "https"), (1, "", "http")],
)  # fmt: skip
def test_only_trusted_proxies_set_the_scheme(proxies, value, scheme):
    assert scheme_of(request(("x-forwarded-proto", value)), proxies) == scheme


@pytest.mark.parametrize(
    ("proxies", "base"), [(0, "http://localhost:8000"), (1, "https://localhost:8000")]
)
def test_links_use_the_trusted_scheme(proxies, base):
    linked = request(("host", "localhost:8000"), ("x-forwarded-proto", "https"), proxies=proxies)
    assert link(linked, "/api/v1/movies/") == f"{base}/api/v1/movies/"


def test_limits_count_hosts_and_logs_contain_networks():
    assert counted_as("203.0.113.9") != counted_as("203.0.113.10")
    assert counted_as("2001:db8:1:2::9") == counted_as("2001:db8:1:2:ffff::1")
    assert counted_as("2001:db8:1:2::9") != counted_as("2001:db8:1:3::9")
    assert logged_as("203.0.113.9") == "203.0.113.0/24"
    assert logged_as("2001:db8:1:2::9") == "2001:db8:1::/48"
