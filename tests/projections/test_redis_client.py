"""One URL for a server, a socket, sentinels or a cluster."""

import asyncio

import pytest
import redis as redis_py
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from structlog.testing import capture_logs

from commands.errors import ConfigurationError, ReadModelUnavailableError
from projections.redis_client import (
    breaker_for,
    describe_error,
    open_async_redis,
    open_redis,
    tripping,
)
from tests.running import eventually

URLS = ("redis://host", "unix:///redis.sock", "redis+sentinel://host/mymaster")
BACKOFF = ExponentialWithJitterBackoff(base=0.01, cap=0.1)
SHORT = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


def closed(client):
    asyncio.run(client.aclose())
    return client


def test_a_client_has_short_timeouts_and_few_retries(valkey):
    """An unreachable Redis must not delay a request long."""
    client = open_redis(valkey.url)
    assert client.ping()
    assert client.connection_pool.connection_kwargs["socket_timeout"] == 1.0
    assert client.get_retry().get_retries() == 2
    client.close()


@pytest.mark.parametrize("url", URLS)
def test_a_broken_connection_is_tried_twice_again_a_late_answer_never(url):
    kwargs = open_redis(url).connection_pool.connection_kwargs
    assert SHORT.items() <= kwargs.items()
    assert kwargs["retry"] == Retry(BACKOFF, 2, (RedisConnectionError,))
    kwargs = closed(open_async_redis(url)).connection_pool.connection_kwargs
    assert SHORT.items() <= kwargs.items()
    assert kwargs["retry"] == AsyncRetry(BACKOFF, 2, (RedisConnectionError,))


def test_a_client_may_try_once():
    assert open_redis("redis://host", retries=0).get_retry().get_retries() == 0


def test_a_sentinel_is_asked_once():
    """Without an answer the next one is asked."""
    url = "redis+sentinel://host/mymaster"
    for client, kind in ((open_redis(url), Retry), (closed(open_async_redis(url)), AsyncRetry)):
        (sentinel,) = client.connection_pool.sentinel_manager.sentinels
        kwargs = sentinel.connection_pool.connection_kwargs
        assert SHORT.items() <= kwargs.items()
        assert kwargs["retry"] == kind(NoBackoff(), 0)


def test_an_asynchronous_client_has_32_connections_and_waits_a_second_for_one():
    pool = closed(open_async_redis("redis://host")).connection_pool
    assert (pool.max_connections, pool.timeout) == (32, 1.0)


def test_an_asynchronous_client_waits_for_a_free_connection(valkey):
    async def ping():
        client = open_async_redis(valkey.url)
        assert all(await asyncio.gather(*(client.ping() for _ in range(100))))
        await client.aclose()
        return client

    pool = asyncio.run(ping()).connection_pool
    assert isinstance(pool, redis_py.asyncio.BlockingConnectionPool)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_server_url_is_parsed(scheme):
    for client in (
        open_redis(f"{scheme}://u:p%40@host:7000/3"),
        closed(open_async_redis(f"{scheme}://u:p%40@host:7000/3")),
    ):
        kwargs = client.connection_pool.connection_kwargs
        assert (kwargs["host"], kwargs["port"], kwargs["db"]) == ("host", 7000, 3)
        assert (kwargs["username"], kwargs["password"]) == ("u", "p@")


@pytest.mark.parametrize("tls", [False, True])
def test_a_sentinel_url_is_parsed(tls):
    """It has the sentinels, the service and a database."""
    url = f"{'rediss' if tls else 'redis'}+sentinel://u:p@a:1,b/mymaster/2"
    for client in (open_redis(url), closed(open_async_redis(url))):
        pool = client.connection_pool
        assert pool.service_name == "mymaster"
        nodes = [s.connection_pool.connection_kwargs for s in pool.sentinel_manager.sentinels]
        assert [(node["host"], node["port"]) for node in nodes] == [("a", 1), ("b", 26379)]
        assert pool.connection_kwargs["db"] == 2
        assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == (
            "u",
            "p",
        )
        assert ("SSL" in pool.connection_class.__name__) == tls


@pytest.mark.parametrize(
    ("credentials", "user", "password"),
    [("a%40:b%2F", "a@", "b/"), (":p", None, "p"), ("u", "u", None), ("u:p:q", "u", "p:q")],
)
def test_credentials_of_several_nodes_are_decoded(credentials, user, password):
    client = open_redis(f"redis+sentinel://{credentials}@host/mymaster")
    kwargs = client.connection_pool.connection_kwargs
    assert (kwargs["username"], kwargs["password"]) == (user, password)


def test_without_a_database_or_credentials_the_defaults_of_the_server_hold():
    kwargs = open_redis("redis+sentinel://host/mymaster").connection_pool.connection_kwargs
    assert not {"db", "username", "password", "ssl"} & kwargs.keys()


@pytest.mark.parametrize("tls", [False, True])
def test_a_cluster_url_is_parsed(tls):
    """A node without a port has that of a server."""
    client = closed(open_async_redis(f"{'rediss' if tls else 'redis'}+cluster://u:p@a,[::1]:7000"))
    nodes = client.nodes_manager.startup_nodes.values()
    assert sorted((node.host, node.port) for node in nodes) == [("::1", 7000), ("a", 6379)]
    kwargs = client.connection_kwargs
    assert SHORT.items() <= kwargs.items()
    assert (kwargs["username"], kwargs["password"]) == ("u", "p")
    assert ("SSL" in kwargs["connection_class"].__name__) == tls


def test_an_unreachable_cluster_is_unavailable():
    """A synchronous client connects when it is opened, an asynchronous one when it is used."""
    url = "redis+cluster://u:p@127.0.0.1:1,[::1]:1"
    with pytest.raises(ReadModelUnavailableError, match=r": no node of the cluster answers$"):
        open_redis(url)
    closed(open_async_redis(url))


BEGIN = "begin it with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
NO_URL = "it is not a Redis URL"
NODES = "every node is host:port"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", BEGIN),
        ("redis", BEGIN),
        ("redis://", BEGIN),
        ("http://host", BEGIN),
        ("redis+other://host", BEGIN),
        ("unix+cluster://host", BEGIN),
        ("redis://host:port", NO_URL),
        ("redis://host/0?colour=red", NO_URL),
        ("redis://host/0?colour=a://b", NO_URL),
        ("redis+sentinel://host", "name the service behind the sentinels: …/mymaster"),
        ("redis+sentinel://host/service/x", "the database is a number"),
        ("redis+sentinel://host/service/²", "the database is a number"),
        ("redis+sentinel://host/service/-1", "the database is a number"),
        ("redis+sentinel://host/service/100000", "the database is a number"),
        ("redis+cluster://:1", NODES),
        ("redis+cluster://host:99999999", NODES),
        ("redis+cluster://host:x,other", NODES),
        ("redis+cluster://[::1", NODES),
    ],
)
def test_an_invalid_url_is_refused(url, problem):
    """The error names the variable and does not repeat the URL, which may contain a password."""
    for open_ in (open_redis, open_async_redis):
        with pytest.raises(ConfigurationError) as refused:
            open_(url)
        assert refused.value.variable == "CINELOG_REDIS_URL"
        assert refused.value.problem == problem


def test_five_digits_are_a_database():
    client = open_redis("redis+sentinel://host/mymaster/12345")
    assert client.connection_pool.connection_kwargs["db"] == 12345


def test_a_wrong_password_is_reported(valkey):
    client = open_redis(valkey.url.replace("unix://", "unix://unknown:hu/sh@1@"))
    with pytest.raises(RedisError) as refused:
        client.ping()
    client.close()
    assert describe_error(refused.value) == "refuses the user or the password in the URL"


PASSWORD = "refuses the user or the password in the URL"
TLS = "does not agree on TLS (rediss:// asks for it, redis:// does without)"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AuthenticationError("secret"), PASSWORD),
        (ResponseError("NOAUTH Authentication required."), PASSWORD),
        (ResponseError("WRONGPASS invalid username-password pair"), PASSWORD),
        (
            ResponseError("NOPERM this user has no permissions"),
            "does not let its user do what Cinelog needs (see ACL SETUSER)",
        ),
        (ResponseError("ERR DB index is out of range"), "has no database of that number"),
        (RedisConnectionError("[SSL: WRONG_VERSION_NUMBER]"), TLS),
        (RedisConnectionError("certificate verify failed"), TLS),
        (
            RedisConnectionError("Connection closed by server."),
            "closes the connection (where it speaks TLS, begin the URL with rediss://)",
        ),
        (RedisConnectionError("secret"), "does not answer (ConnectionError)"),
    ],
)
def test_an_error_is_described_without_the_words_of_the_server(error, text):
    assert describe_error(error) == text


def test_a_breaker_closes_when_the_server_answers(valkey, tmp_path):
    breaker = breaker_for(valkey.url)
    with capture_logs() as logged:
        breaker.trip("a test")
    assert logged[0]["part"] == "read model"
    with pytest.raises(ReadModelUnavailableError, match="it is known to be unreachable"):
        breaker.check()
    eventually(lambda: not breaker.is_open)
    breaker.close()

    breaker = breaker_for(f"unix://{tmp_path}/none.sock")
    breaker.trip("a test")
    assert not breaker._closed.wait(0.2)
    assert breaker.is_open
    breaker.close()


def test_a_lost_connection_opens_the_breaker_and_another_error_does_not(valkey, redis, tmp_path):
    breaker = breaker_for(f"unix://{tmp_path}/none.sock")
    with pytest.raises(ResponseError), tripping(breaker):
        redis.execute_command("NO SUCH COMMAND")
    assert not breaker.is_open
    with pytest.raises(RedisConnectionError), tripping(breaker):
        open_redis(f"unix://{tmp_path}/none.sock", retries=0).ping()
    assert breaker.is_open
    with pytest.raises(ReadModelUnavailableError), tripping(breaker):
        pytest.fail("it was called")
    with pytest.raises(ResponseError), tripping(None):
        redis.execute_command("NO SUCH COMMAND")
    breaker.close()
