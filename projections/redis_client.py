"""Redis clients from one URL: a server, a socket, sentinels or a cluster.

``redis://`` and ``rediss://`` as usual, ``unix:///path?db=0``,
``redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]`` and
``redis+cluster://[user:password@]host:port[,host:port…]``; the last two also with ``rediss+``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from commands.database.breaker import Breaker
from commands.database.urls import quoted
from commands.errors import ConfigurationError, ReadModelUnavailableError

VARIABLE = "CINELOG_REDIS_URL"
TIMEOUT_S = 1.0
# Retries of a broken connection; a late answer is not waited for again.
RETRIES = 2
_SCHEMES = frozenset(
    ["unix", *(f"redis{tls}{kind}" for tls in ("", "s") for kind in ("", "+sentinel", "+cluster"))]
)
_MAX_DIGITS = 5  # of a database; no server has as many
_MAX_CONNECTIONS = 32  # of one process; further requests wait for one
_NODES = "every node is host:port"
_TIMEOUTS: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}


@dataclass(frozen=True)
class _Address:
    kind: str
    nodes: list[tuple[str, int]]
    path: list[str]
    options: dict[str, Any]


def open_redis(url: str, *, retries: int = RETRIES) -> Any:
    """Return a synchronous client that threads may share.

    Connects only to a cluster, whose nodes must be known first: raises ReadModelUnavailableError if
    none answers. Raises ConfigurationError for an invalid URL.
    """
    retry = Retry(_backoff(), retries, (RedisConnectionError,))
    return _open(redis, redis.Redis.from_url, quoted(url), retry)


def open_async_redis(url: str) -> Any:
    """Return an asynchronous client. Raises ConfigurationError for an invalid URL."""

    def bounded(url: str, **options: Any) -> Any:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url, max_connections=_MAX_CONNECTIONS, timeout=TIMEOUT_S, **options
        )
        return redis.asyncio.Redis.from_pool(pool)

    retry = AsyncRetry(_backoff(), RETRIES, (RedisConnectionError,))
    return _open(redis.asyncio, bounded, quoted(url), retry)


def breaker_for(url: str) -> Breaker:
    """Return a breaker for all clients of one process; it probes the server itself."""

    def probe() -> None:
        client = open_redis(url, retries=0)
        try:
            client.ping()
        finally:
            client.close()

    return Breaker("read model", probe, ReadModelUnavailableError)


@contextmanager
def tripping(breaker: Breaker | None) -> Iterator[None]:
    """Refuse calls while the breaker is open, and trip it when a call loses the server.

    Raises ReadModelUnavailableError for a call that is refused, else what the client raises.
    """
    if breaker is None:
        yield
        return
    breaker.check()
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        breaker.trip(type(error).__name__)
        raise


def describe_error(error: RedisError) -> str:
    """Return what a server does instead of answering, without repeating its words."""
    text = str(error)
    if isinstance(error, AuthenticationError) or "NOAUTH" in text or "WRONGPASS" in text:
        return "refuses the user or the password in the URL"
    if "NOPERM" in text:
        return "does not let its user do what Cinelog needs (see ACL SETUSER)"
    if "DB index" in text:
        return "has no database of that number"
    if "SSL" in text or "certificate" in text:
        return "does not agree on TLS (rediss:// asks for it, redis:// does without)"
    if "Connection closed" in text:
        return "closes the connection (where it speaks TLS, begin the URL with rediss://)"
    return f"does not answer ({type(error).__name__})"


def _open(library: Any, open_server: Callable[..., Any], url: str, retry: Any) -> Any:
    """Return a client of ``library``, which is ``redis`` or ``redis.asyncio``."""
    address = _parse(url)
    options = _TIMEOUTS | {"retry": retry} | address.options
    if address.kind == "sentinel":
        # A sentinel that does not answer is not asked again: the next one is.
        once = _TIMEOUTS | {"retry": type(retry)(NoBackoff(), 0)}
        sentinel = library.Sentinel(address.nodes, sentinel_kwargs=once, **options)
        return sentinel.master_for(address.path[0])
    if address.kind == "cluster":
        nodes = [library.cluster.ClusterNode(*node) for node in address.nodes]
        try:
            return library.RedisCluster(startup_nodes=nodes, **options)
        except (RedisError, redis.exceptions.RedisClusterException) as error:
            raise ReadModelUnavailableError("no node of the cluster answers") from error
    try:
        client = open_server(url, **options)
        # Makes a connection without connecting: an unknown option fails now, not later.
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError):
        raise ConfigurationError(VARIABLE, "it is not a Redis URL") from None
    return client


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=0.01, cap=0.1)


def _parse(url: str) -> _Address:
    """Parse a URL. No message repeats it: it may contain a password."""
    scheme, found, rest = url.partition("://")
    transport, _, kind = scheme.partition("+")
    if not found or not rest or scheme not in _SCHEMES:
        raise ConfigurationError(
            VARIABLE,
            "begin it with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://",
        )
    if not kind:
        return _Address("plain", [], [], {})
    try:
        parts = urlsplit(f"//{rest}")
    except ValueError:  # a bracket is missing
        raise ConfigurationError(VARIABLE, _NODES) from None
    credentials, _, hosts = parts.netloc.rpartition("@")
    path = [part for part in parts.path.split("/") if part]
    options: dict[str, Any] = {"ssl": True} if transport == "rediss" else {}
    if credentials:
        user, _, password = credentials.partition(":")
        options |= {"username": unquote(user) or None, "password": unquote(password) or None}
    if kind == "sentinel":
        if not path:
            raise ConfigurationError(VARIABLE, "name the service behind the sentinels: …/mymaster")
        if len(path) > 1:
            if not (path[1].isascii() and path[1].isdigit() and len(path[1]) <= _MAX_DIGITS):
                raise ConfigurationError(VARIABLE, "the database is a number")
            options["db"] = int(path[1])
    return _Address(kind, [_node(host, kind) for host in hosts.split(",")], path, options)


def _node(host: str, kind: str) -> tuple[str, int]:
    try:
        address = urlsplit(f"//{host}")
        name, port = address.hostname, address.port
    except ValueError:  # the port is not one, or a bracket is missing
        name, port = None, None
    if not name:
        raise ConfigurationError(VARIABLE, _NODES)
    return name, port or (26379 if kind == "sentinel" else 6379)
