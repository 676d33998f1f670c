"""The composition root of an API process: every part is made here, and can be replaced here."""

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from sanic import Sanic
from sanic.response import BaseHTTPResponse
from sanic_ext import Extend

from commands.errors import ConfigurationError
from commands.executor import Executor
from commands.store import Store
from projections.connection import open_async_redis, open_redis
from projections.keys import APPENDED
from queries.history import changes_after
from queries.movies import ReadModel
from queries.position import PositionFeed
from queries.round_trips import RoundTrips
from service import accounts, history, movies, operations, stream
from service.access import Edge
from service.authorization import Authorization
from service.background import Background
from service.connections import RECEIVE_S, Server, answering
from service.counters import Counters
from service.cross_origin import cross_origin
from service.idempotency import InFlight
from service.keys import load_keys
from service.limits import Limits
from service.links import API
from service.logs import RequestLog
from service.metrics import Metrics
from service.operations import Health
from service.parts import Parts
from service.passwords import Hasher
from service.pools import Pool
from service.problems import ProblemHandler
from service.requests import CinelogRequest
from service.sessions import Sessions
from service.settings import Settings
from service.stream import Live
from service.tokens import Tokens

App = Sanic[Any, Any]
MAX_BODY_BYTES = 1024 * 1024
METRICS = "metrics"
_NAMES_KEPT = 10_000


def _open_store(url: str) -> Store:
    return Store.open(url, create=False)  # made by the command that started this process


def create_app(
    settings: Settings,
    *,
    open_store: Callable[[str], Store] = _open_store,
    open_shared_redis: Callable[[str], Any] = open_async_redis,
    open_thread_redis: Callable[[str], Any] = open_redis,
    name: str = "cinelog",
    edge: bool = True,
) -> App:
    """Return the API, ready to be served; nothing connects before the server starts.

    Without its ``edge`` it limits, counts and logs no request: to measure what that costs.
    """
    problems = ProblemHandler()
    app = Server(
        name,
        request_class=CinelogRequest,
        error_handler=problems,
        configure_logging=False,
    )
    app.config.update(
        REQUEST_MAX_SIZE=MAX_BODY_BYTES,
        REQUEST_TIMEOUT=30,
        RESPONSE_TIMEOUT=30,
        KEEP_ALIVE_TIMEOUT=75,
        RECEIVE_TIMEOUT=RECEIVE_S,
        MAX_CONNECTIONS=settings.max_connections,
        GRACEFUL_SHUTDOWN_TIMEOUT=3.0,
        ACCESS_LOG=False,
        MOTD=False,
    )
    cors = cross_origin(settings.cors_origins)
    Extend(app, config={"OAS": False, "HEALTH": False, "LOGGING": False, **cors})
    app.blueprint(movies.blueprint, url_prefix=API)
    app.blueprint(history.blueprint, url_prefix=API)
    app.blueprint(stream.blueprint, url_prefix=API)
    app.blueprint(accounts.blueprint)
    app.blueprint(operations.blueprint)
    if edge:
        app.register_middleware(_before, "request")
        app.register_middleware(_after, "response")

    @app.before_server_start
    async def open_parts(app: App) -> None:
        store = open_store(settings.event_store_url)
        shared = open_shared_redis(settings.redis_url_or_embedded)
        trips = RoundTrips(shared)
        feed = PositionFeed(shared)
        background = Background()
        metrics = _open_metrics(settings)
        executor = Executor(
            store, partial(_wake_projection, background, trips), on_commit=metrics.committed
        )
        tokens = Tokens(load_keys(settings.signing_keys), settings)
        sessions = Sessions(open_thread_redis(settings.redis_url_or_embedded), settings)
        hasher = Hasher()
        reads = Pool("reading the log", threads=4, waiting=256)
        name_of = lru_cache(_NAMES_KEPT)(store.name_of)
        executor.start()
        await feed.start()
        limits = Limits(settings, Counters(trips))
        lines = RequestLog(metrics.lines_lost.add)
        problems.count = metrics.refused
        _watch(app, metrics, shared, hasher)
        app.ctx.redis, app.ctx.trips, app.ctx.background = shared, trips, background
        app.ctx.lines, app.ctx.turned_away = lines, metrics.turned_away.add
        app.ctx.edge = Edge(settings, limits, metrics, lines)
        app.ctx.sampling = asyncio.get_running_loop().create_task(operations.sample(metrics))
        app.ctx.parts = Parts(
            settings=settings,
            store=store,
            name_of=name_of,
            executor=executor,
            in_flight=InFlight(),
            reads=reads,
            reader=ReadModel(trips),
            feed=feed,
            live=_live(store, name_of, reads, feed),
            tokens=tokens,
            sessions=sessions,
            authorization=Authorization(store, tokens, sessions, hasher),
            hasher=hasher,
            limits=limits,
            metrics=metrics,
            health=Health(settings, store),
            threads=Pool("sessions", threads=4, waiting=256),
        )

    @app.before_server_stop
    async def end_streams(app: App) -> None:
        await app.ctx.parts.live.close()

    @app.after_server_stop
    async def close_parts(app: App) -> None:
        parts: Parts = app.ctx.parts
        await asyncio.to_thread(parts.executor.stop)
        await parts.feed.stop()
        await app.ctx.background.close()
        await app.ctx.trips.close()
        for pool in (parts.hasher, parts.reads, parts.threads):
            pool.close()
        parts.sessions.close()
        await app.ctx.redis.aclose()
        app.ctx.sampling.cancel()
        parts.health.close()
        parts.store.close()
        app.ctx.lines.close()
        parts.metrics.close()

    return app


def _wake_projection(background: Background, trips: RoundTrips, position: int) -> None:
    """Tell the projection that there is something to do; where that fails it looks by itself."""
    background.start(trips.call("PUBLISH", APPENDED, position))


def _live(store: Store, name_of: Callable[[str], str], reads: Pool, feed: PositionFeed) -> Live:
    def read(after: int, limit: int) -> stream.Stretch:
        return stream.rendered(changes_after(store, after, limit), name_of)

    async def read_aside(after: int, limit: int) -> stream.Stretch:
        return await reads.run(read, after, limit)

    return Live(read_aside, feed.wait_for, partial(reads.run, store.head))


def _open_metrics(settings: Settings) -> Metrics:
    try:
        return Metrics(settings.data_dir / METRICS)
    except OSError as error:
        problem = f"cannot write in {settings.data_dir / METRICS} ({error.strerror})"
        raise ConfigurationError("CINELOG_DATA_DIR", problem) from None


def _watch(app: App, metrics: Metrics, redis: Any, hasher: Hasher) -> None:
    def in_use() -> int:
        pool = getattr(redis, "connection_pool", None)  # a cluster has one for each node
        counts = pool.get_connection_count() if pool else []
        return sum(count for count, what in counts if "used" in what.values())

    connections = app.ctx.connections
    metrics.watch("cinelog_workers", "API processes.", lambda: 1)
    metrics.watch(
        "cinelog_requests_in_flight", "Requests being answered.", lambda: answering(connections)
    )
    metrics.watch(
        "cinelog_connections_open", "Connections of clients.", lambda: len(connections)
    )
    metrics.watch("cinelog_redis_connections_used", "Connections to Redis in use.", in_use)
    metrics.watch(
        "cinelog_password_hashes_pending",
        "Passwords being hashed or waiting for it.",
        lambda: hasher.pool.pending,
    )


def _before(request: CinelogRequest) -> Any:
    return request.app.ctx.edge.before(request)


def _after(request: CinelogRequest, response: BaseHTTPResponse) -> None:
    request.app.ctx.edge.after(request, response)
