"""The pool and several hosts: the primary is found again, and a silent host costs little."""

import socket
import time

import psycopg
import pytest

from commands.database.postgres.hosts import PostgresHosts
from commands.database.postgres.pool import BoundedPool
from tests.commands.tcp_proxy import Proxy


@pytest.fixture
def proxy(postgres):
    proxy = Proxy(postgres())
    yield proxy
    proxy.close()


@pytest.fixture
def silent_port():
    """A server that accepts connections and never answers, as one that was stopped."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def pool_of(proxy, *, silent_port):
    ours, silent = f"127.0.0.1:{proxy.port}", f"127.0.0.1:{silent_port}"
    return BoundedPool.of_url(proxy.url.replace(ours, f"{silent},{ours}"))


def seconds_to_connect(pool):
    start = time.monotonic()
    with pool.connection() as connection:
        connection.execute("SELECT 1")
    return time.monotonic() - start


@pytest.mark.slow
def test_a_silent_host_is_waited_for_once(proxy, silent_port):
    pool = pool_of(proxy, silent_port=silent_port)
    assert seconds_to_connect(pool) > 1.5
    pool._drop_idle()
    assert seconds_to_connect(pool) < 1.0
    pool.close()


def test_idle_connections_are_dropped_when_the_server_is_known_away(proxy):
    """Those to a server that is cut off look usable, and each would cost a whole time limit."""
    pool = BoundedPool.of_url(proxy.url)
    with pool.connection() as one, pool.connection() as other:
        pass
    assert not one.closed
    pool.breaker.trip("a test")
    assert one.closed
    assert other.closed
    pool.close()


def refuse(kwargs):
    raise psycopg.OperationalError(f"{kwargs['host']} refuses")


def be_silent(kwargs):
    raise psycopg.errors.ConnectionTimeout(f"{kwargs['host']} is silent")


def test_the_host_that_accepted_last_is_tried_first():
    hosts = PostgresHosts({"host": "a,b,c", "port": "1,2,3", "dbname": "d"})
    tried = []

    def accept_b(kwargs):
        tried.append(kwargs)
        return "connected" if kwargs["host"] == "b" else refuse(kwargs)

    assert hosts.connect(accept_b) == "connected"
    assert hosts.connect(accept_b) == "connected"
    assert [one["host"] for one in tried] == ["a", "b", "b"]
    assert tried[1] == {"host": "b", "port": "2", "dbname": "d"}


def test_a_silent_host_is_left_out_while_others_refuse():
    hosts = PostgresHosts({"host": "a,b", "port": "5432"})
    tried = []

    def attempt(kwargs):
        tried.append(kwargs["host"])
        return be_silent(kwargs) if kwargs["host"] == "a" else refuse(kwargs)

    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            hosts.connect(attempt)
    assert tried == ["a", "b", "b"]


def test_the_only_host_is_always_tried():
    hosts = PostgresHosts({"host": "a"})
    for _ in range(2):
        with pytest.raises(psycopg.errors.ConnectionTimeout, match="a is silent"):
            hosts.connect(be_silent)


def test_the_error_names_what_every_host_said():
    hosts = PostgresHosts({"host": "a,b"})
    with pytest.raises(psycopg.OperationalError, match="a refuses; b refuses"):
        hosts.connect(refuse)
