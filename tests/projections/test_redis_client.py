"""One URL for a server, a socket, sentinels or a cluster."""

import asyncio

import pytest
import redis as redis_py
from redis.exceptions import RedisError

from commands.errors import ConfigurationError, ReadModelUnavailableError
from projections.redis_client import describe_error, open_async_redis, open_redis


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
        assert ("SSL" in pool.connection_class.__name__) == tls


def test_an_unreachable_cluster_is_unavailable():
    """A synchronous client connects when it is opened, an asynchronous one when it is used."""
    url = "redis+cluster://u:p@127.0.0.1:1,[::1]:1"
    with pytest.raises(ReadModelUnavailableError):
        open_redis(url)
    closed(open_async_redis(url))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "redis://",
        "http://host",
        "redis+other://host",
        "unix+cluster://host",
        "redis://host:port",
        "redis://host/0?colour=red",
        "redis+sentinel://host",
        "redis+sentinel://host/service/x",
        "redis+cluster://:1",
        "redis+cluster://host:99999999",
        "redis+cluster://host:x,other",
    ],
)
def test_an_invalid_url_is_refused(url):
    """The error names the variable and does not repeat the URL, which may contain a password."""
    for open_ in (open_redis, open_async_redis):
        with pytest.raises(ConfigurationError) as refused:
            open_(url)
        assert refused.value.variable == "CINELOG_REDIS_URL"
        assert "host" not in refused.value.problem.replace("host:port", "")


def test_a_wrong_password_is_reported(valkey):
    client = open_redis(valkey.url.replace("unix://", "unix://unknown:hu/sh@1@"))
    with pytest.raises(RedisError) as refused:
        client.ping()
    client.close()
    assert describe_error(refused.value) == "refuses the user or the password in the URL"
