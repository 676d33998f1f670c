"""The composition root of an API process: every part is made here, and can be replaced here."""

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from sanic import Sanic
from sanic_ext import Extend

from commands.event_store.store import Store
from commands.executor import Executor
from projections.keys import APPENDED
from projections.redis_client import breaker_for, open_async_redis, open_redis
from projections.subprocesses import command, environment
from queries.log.catch_up import EventBatch
from queries.log.change_feed import ChangeFeed, rendered
from queries.log.history import changes_after
from queries.log.timeline import Timeline
from queries.movies import ReadModel
from queries.pipelining import RequestBatcher
from queries.point_in_time import Builder, PointInTimeLists
from queries.read_position import ReadPosition
from queries.slots import FILE, Slots
from service.auth.passwords import Hasher
from service.auth.server import AuthServer
from service.auth.sessions import Sessions
from service.auth.signing_keys import load_keys
from service.auth.tokens import Tokens
from service.background import Background
from service.container import Container
from service.data_dir import STORE_DAMAGED
from service.middleware import RequestMiddleware
from service.observability.telemetry import Telemetry
from service.openapi.document import document_of, produced_types
from service.processes.log_poller import LogPoller
from service.ratelimit.limiter import RateLimiter
from service.ratelimit.storage import Counters
from service.routes import docs, event_stream, health, history, movie_commands, movie_list, movies
from service.routes import tokens as accounts
from service.routes.docs import Docs
from service.routes.pagination import API
from service.settings import Settings
from service.thread_pool import Pool
from service.web.cors import cross_origin
from service.web.in_flight import InFlight
from service.web.negotiation import Negotiation
from service.web.problems import ProblemHandler
from service.web.request import CinelogRequest
from service.web.server import RECEIVE_S, HttpServer, streams_of

App = Sanic[Any, Any]
MAX_BODY_BYTES = 1024 * 1024
_NAMES_KEPT = 10_000


def _open_store(url: str) -> Store:
    return Store.open(url, create=False)  # made by the command that started this process


def create_app(  # noqa: PLR0915 - a part a line
    settings: Settings,
    *,
    open_store: Callable[[str], Store] = _open_store,
    open_shared_redis: Callable[[str], Any] = open_async_redis,
    open_thread_redis: Callable[[str], Any] = open_redis,
    name: str = "cinelog",
) -> App:
    """Return the API, ready to be served; nothing connects before the server starts."""
    problems = ProblemHandler()
    app = HttpServer(
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
    edge = RequestMiddleware(settings.proxies)
    # Middleware of responses runs in reverse: this one comes after all of the extension's.
    app.register_middleware(edge.after, "response")
    Extend(app, config={"OAS": False, "HEALTH": False, "LOGGING": False, **cors})
    _add_routes(app)
    _add_middleware(app, edge)
    app.ctx.docs = Docs.of(document_of(app, settings), settings)

    @app.before_server_start
    async def open_parts(app: App) -> None:
        store = open_store(settings.event_store_url)
        store.damage.use_marker(settings.data_dir / STORE_DAMAGED)
        shared = open_shared_redis(settings.redis_url_or_embedded)
        app.ctx.breaker = breaker = breaker_for(settings.redis_url_or_embedded)
        trips = RequestBatcher(shared, breaker=breaker)
        feed = ReadPosition(shared, log=lambda: store.continuity.text, breaker=breaker)
        watch = LogPoller(store.continuity)
        background = Background()
        telemetry = Telemetry(settings, store, breaker)
        executor = Executor(
            store,
            on_append=partial(_wake_projection, background, trips),
            on_commit=telemetry.committed,
        )
        tokens = Tokens(load_keys(settings.signing_keys), settings)
        sessions = Sessions(open_thread_redis(settings.redis_url_or_embedded), settings, breaker)
        hasher = Hasher()
        reads = Pool("reading the log", threads=4, waiting=256)
        name_of = lru_cache(_NAMES_KEPT)(store.username_of)
        store.continuity.on_change(name_of.cache_clear)
        reader = ReadModel(trips, lambda: store.continuity.text)
        executor.start()
        await watch.start()
        await feed.start()
        limiter, slots = RateLimiter(settings, Counters(trips)), Slots(settings.data_dir / FILE)
        edge.open(limiter, telemetry.ledger)
        problems.count = telemetry.metrics.refused
        telemetry.watch(app.ctx.connections, shared, lambda: hasher.pending)
        app.ctx.turned_away = telemetry.metrics.turned_away.add
        app.ctx.redis, app.ctx.trips, app.ctx.background = shared, trips, background
        app.ctx.watch = watch
        live = _live(store, name_of, reads, feed, streams_of(app.config.MAX_CONNECTIONS))
        _forget_on_change(store, feed, live)
        app.ctx.container = Container(
            settings=settings,
            store=store,
            name_of=name_of,
            executor=executor,
            in_flight=InFlight(),
            log_threads=reads,
            read_model=reader,
            point_in_time=_past_lists(settings, reader, slots),
            timeline=Timeline(store),
            read_position=feed,
            change_feed=live,
            tokens=tokens,
            sessions=sessions,
            auth_server=AuthServer(store, tokens, sessions, hasher),
            hasher=hasher,
            rate_limiter=limiter,
            telemetry=telemetry,
            slots=slots,
            session_threads=Pool("sessions", threads=4, waiting=256),
        )

    @app.before_server_stop
    async def end_streams(app: App) -> None:
        await app.ctx.watch.close()
        await app.ctx.container.change_feed.close()
        await app.ctx.container.point_in_time.close()

    @app.after_server_stop
    async def close_parts(app: App) -> None:
        container: Container = app.ctx.container
        await asyncio.to_thread(container.executor.stop)
        await container.read_position.stop()
        await app.ctx.background.close()
        await app.ctx.trips.close()
        app.ctx.breaker.close()
        for pool in (container.hasher, container.log_threads, container.session_threads):
            pool.close()
        container.sessions.close()
        await app.ctx.redis.aclose()
        container.slots.close()
        container.telemetry.close()
        container.store.close()

    return app


def _add_middleware(app: App, edge: RequestMiddleware) -> None:
    app.register_middleware(edge.before, "request")
    app.register_middleware(Negotiation(produced_types()).check, "request")
    app.register_middleware(edge.admit, "request")


def _add_routes(app: App) -> None:
    for module in (movie_list, movies, movie_commands, history, event_stream):
        app.blueprint(module.blueprint, url_prefix=API)
    app.blueprint(accounts.blueprint)
    app.blueprint(health.blueprint)
    app.blueprint(docs.blueprint)


def _wake_projection(background: Background, trips: RequestBatcher, position: int) -> None:
    """Tell the projection that there is something to do; where that fails it looks by itself."""
    background.start(trips.call("PUBLISH", APPENDED, position))


def _forget_on_change(store: Store, feed: ReadPosition, live: ChangeFeed) -> None:
    """Let what follows the log begin again when another epoch of it begins."""
    loop = asyncio.get_running_loop()
    for forget in (feed.forget, live.restart):
        store.continuity.on_change(partial(loop.call_soon_threadsafe, forget))


def _past_lists(settings: Settings, reader: ReadModel, slots: Slots) -> PointInTimeLists:
    urls = (settings.event_store_url, settings.redis_url_or_embedded)
    return PointInTimeLists(
        reader, Builder(command("projections.rebuild.point_in_time"), environment(), *urls), slots
    )


def _live(
    store: Store, name_of: Callable[[str], str], reads: Pool, feed: ReadPosition, most: int
) -> ChangeFeed:
    def read(after: int, limit: int) -> EventBatch:
        return rendered(changes_after(store, after, limit), name_of)

    async def read_aside(after: int, limit: int) -> EventBatch:
        return await reads.run(read, after, limit)

    return ChangeFeed(read_aside, feed.wait_for, partial(reads.run, store.head), most=most)
