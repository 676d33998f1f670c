"""Redis clients from one URL: a server, a socket, sentinels or a cluster.

``redis://`` and ``rediss://`` as usual, ``unix:///path?db=0``,
``redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]`` and
``redis+cluster://[user:password@]host:port[,host:port…]``; the last two also with ``rediss+``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from commands.database.breaker import Breaker
from commands.database.urls import quoted
from commands.errors import ConfigurationError, ReadModelUnavailableError

VARIABLE = "CINELOG_REDIS_URL"
TIMEOUT_S = 1.0
# Of a connection that broke; an answer that does not come in time is not waited for again.
RETRIES = 2
_RETRIED = (RedisConnectionError,)
_SCHEMES = frozenset(
    ["unix", *(f"redis{tls}{kind}" for tls in ("", "s") for kind in ("", "+sentinel", "+cluster"))]
)
_MAX_NUMBER = 65_535  # of a port; no server has as many databases
_CONNECTIONS = 32  # of one process at a time; who comes later waits


@dataclass(frozen=True)
class _Address:
    kind: str
    nodes: list[tuple[str, int]]
    path: list[str]
    options: dict[str, Any]


def open_redis(url: str, *, retries: int = RETRIES) -> Any:
    """Return a synchronous client that is safe to share between threads.

    Raises ConfigurationError for a URL that makes no sense; whether a server answers is not asked,
    but for a cluster, whose nodes must be known first: ReadModelUnavailableError.
    """
    url = quoted(url)
    address = _address(url)
    settings = _settings(Retry(_backoff(), retries, _RETRIED)) | address.options
    if address.kind == "sentinel":
        sentinel: Any = redis.Sentinel
        return sentinel(address.nodes, sentinel_kwargs=_timeouts(), **settings).master_for(
            address.path[0]
        )
    if address.kind == "cluster":
        node: Any = redis.cluster.ClusterNode
        nodes = [node(*place) for place in address.nodes]
        try:
            return redis.RedisCluster(startup_nodes=nodes, **settings)
        except (RedisError, redis.exceptions.RedisClusterException) as error:
            raise ReadModelUnavailableError("no node of the cluster answers") from error
    return _plain(redis.Redis.from_url, url, settings)


def open_async_redis(url: str) -> Any:
    """Return a client for one event loop.

    Raises ConfigurationError for a URL that makes no sense.
    """
    url = quoted(url)
    address = _address(url)
    settings = _settings(AsyncRetry(_backoff(), RETRIES, _RETRIED)) | address.options
    if address.kind == "sentinel":
        sentinel: Any = redis.asyncio.Sentinel
        return sentinel(address.nodes, sentinel_kwargs=_timeouts(), **settings).master_for(
            address.path[0]
        )
    if address.kind == "cluster":
        nodes = [redis.asyncio.cluster.ClusterNode(*node) for node in address.nodes]
        return redis.asyncio.RedisCluster(startup_nodes=nodes, **settings)

    def bounded(given: str, **kwargs: Any) -> Any:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            given, max_connections=_CONNECTIONS, timeout=TIMEOUT_S, **kwargs
        )
        return redis.asyncio.Redis.from_pool(pool)

    return _plain(bounded, url, settings)


def breaker_for(url: str) -> Breaker:
    """Return a breaker that all clients of one process share: it asks the server by itself."""

    def probe() -> None:
        client = open_redis(url, retries=0)
        try:
            client.ping()
        finally:
            client.close()

    return Breaker("read model", probe, ReadModelUnavailableError)


def why_not(error: RedisError) -> str:
    """Return what a server does instead of answering; what it said is not repeated."""
    said = str(error)
    if isinstance(error, AuthenticationError) or "NOAUTH" in said or "WRONGPASS" in said:
        return "refuses the user or the password in the URL"
    if "NOPERM" in said:
        return "does not let its user do what Cinelog needs (see ACL SETUSER)"
    if "DB index" in said:
        return "has no database of that number"
    if "SSL" in said or "certificate" in said:
        return "does not agree on TLS (rediss:// asks for it, redis:// does without)"
    if "Connection closed" in said:
        return "closes the connection (where it speaks TLS, begin the URL with rediss://)"
    return f"does not answer ({type(error).__name__})"


def _plain(open_: Callable[..., Any], url: str, settings: dict[str, Any]) -> Any:
    try:
        client = open_(url, **settings)
        pool = client.connection_pool
        # Not connected, only made: an option that no connection knows is told now, not later.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError):
        raise ConfigurationError(VARIABLE, "it is not a Redis URL") from None
    return client


def _timeouts() -> dict[str, Any]:
    return {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}


def _settings(retry: Any) -> dict[str, Any]:
    return _timeouts() | {"retry": retry}


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=0.01, cap=0.1)


def _address(url: str) -> _Address:
    """Take a URL apart. No message repeats it: it may hold a password."""
    scheme, found, rest = url.partition("://")
    transport, _, kind = scheme.partition("+")
    if not found or not rest or scheme not in _SCHEMES:
        raise ConfigurationError(
            VARIABLE,
            "begin it with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://",
        )
    if not kind:
        return _Address("plain", [], [], {})
    credentials, _, hosts = urlsplit(f"//{rest}").netloc.rpartition("@")
    path = [part for part in urlsplit(f"//{rest}").path.split("/") if part]
    options: dict[str, Any] = {"ssl": True} if transport == "rediss" else {}
    if credentials:
        user, _, password = credentials.partition(":")
        options |= {"username": unquote(user) or None, "password": unquote(password) or None}
    if kind == "sentinel":
        if not path:
            raise ConfigurationError(VARIABLE, "name the service behind the sentinels: …/mymaster")
        if len(path) > 1:
            options["db"] = _number(path[1], "the database is a number")
    return _Address(kind, [_node(host, kind) for host in hosts.split(",")], path, options)


def _node(host: str, kind: str) -> tuple[str, int]:
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name, port = host, "26379" if kind == "sentinel" else "6379"
    name = name.strip("[]")
    if not name:
        raise ConfigurationError(VARIABLE, "every node is host:port")
    return name, _number(port, "every node is host:port")


def _number(text: str, problem: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= _MAX_NUMBER):
        raise ConfigurationError(VARIABLE, problem)
    return int(text)
