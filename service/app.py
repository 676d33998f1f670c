"""The composition root of an API process: makes and wires the parts, and closes them."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from functools import lru_cache, partial
from typing import Any

import structlog
from sanic import Sanic
from sanic_ext import Extend
from sanic_ext.extensions.http.extension import HTTPExtension

from commands.errors import UnavailableError
from commands.event_store.log_reader import LogReader
from commands.event_store.store import Store
from commands.execution.executor import Executor
from projections.generation.state import event_name_at
from projections.keys import APPENDED
from projections.redis_client import breaker_for, open_async_redis, open_redis
from projections.subprocesses import command, environment
from queries.admission.slots import FILE, Slots
from queries.event_summary import EventSummary
from queries.log.accounts import AccountList
from queries.log.change_feed import ChangeFeed, EventBatch, rendered
from queries.log.movie_events import MovieEvents
from queries.log.timeline import Timeline
from queries.mirror.mirrors import Mirrors
from queries.movies import Readers
from queries.pipelining import RequestBatcher
from queries.point_in_time import Builder, PointInTimeLists
from queries.position.read_floor import ReadFloor
from queries.position.read_position import ReadPosition
from queries.read_model import ReadModel
from service.auth.passwords import Hasher
from service.auth.personal_tokens import PersonalTokens
from service.auth.server import AuthServer
from service.auth.sessions import Sessions
from service.auth.signing_keys import load_keys
from service.auth.tokens import Tokens
from service.container import Container
from service.data_dir import STORE_DAMAGED
from service.middleware import RequestMiddleware
from service.observability.telemetry import Telemetry
from service.openapi.document import document_of, produced_types
from service.operations.job_runner import JobRunner
from service.operations.jobs import Jobs
from service.processes.log_poller import LogPoller
from service.ratelimit.limiter import RateLimiter
from service.ratelimit.storage import Counters
from service.routes import docs, health, web_page
from service.routes.accounts import browser_session, tokens
from service.routes.docs import Docs
from service.routes.events import history, stream, summary
from service.routes.movies import changes, listing, movie, reverts
from service.routes.operators import accounts, read_model
from service.settings import Settings
from service.thread_pool import Pool
from service.web.browsers.cors import cross_origin
from service.web.idempotency import InFlight
from service.web.negotiation import Negotiation
from service.web.problems import ProblemHandler
from service.web.request import API, CinelogRequest
from service.web.transport.server import RECEIVE_S, HttpServer, streams_of, writes_of

App = Sanic[Any, Any]
MAX_BODY_BYTES = 1024 * 1024
_NAMES_KEPT = 10_000
log = structlog.get_logger(__name__)


def _open_store(url: str) -> Store:
    return Store.open(url, create=False)  # the command that started this process has created it


def create_app(
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
        name, request_class=CinelogRequest, error_handler=problems, configure_logging=False
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
    middleware = _setup_routes_and_middleware(app, settings)
    stack = AsyncExitStack()

    @app.before_server_start
    async def start(app: App) -> None:
        store = stack.enter_context(closing(open_store(settings.event_store_url)))
        container = await _bootstrap(
            app,
            settings,
            store,
            stack,
            open_shared_redis=open_shared_redis,
            open_thread_redis=open_thread_redis,
        )
        middleware.open(container.rate_limiter, container.telemetry.request_log)
        problems.count = container.telemetry.metrics.refused
        app.ctx.turned_away = container.telemetry.metrics.connection_turned_away
        app.ctx.container = container

    @app.before_server_stop
    async def end_streams(app: App) -> None:
        await app.ctx.container.change_feed.close()
        await app.ctx.container.readers.past.close()

    @app.after_server_stop
    async def close(_: App) -> None:
        await stack.aclose()

    return app


def _setup_routes_and_middleware(app: App, settings: Settings) -> RequestMiddleware:
    middleware = RequestMiddleware(settings.proxies, Negotiation(produced_types()))
    # Response middleware runs in reverse order: this one runs after all of the extension's.
    app.register_middleware(middleware.after, "response")
    cors = cross_origin(settings.cors_origins)
    # Only what is used: injection of arguments would cost each request a signal.
    Extend(
        app, extensions=[HTTPExtension], built_in_extensions=False, config={"OAS": False, **cors}
    )
    for module in (listing, movie, changes, reverts, history, stream, summary):
        app.blueprint(module.blueprint, url_prefix=API)
    for module in (tokens, browser_session, read_model, accounts, health, docs, web_page):
        app.blueprint(module.blueprint)
    app.register_middleware(middleware.before, "request")
    app.ctx.docs = Docs.of(document_of(app, settings), settings)
    return middleware


async def _bootstrap(  # noqa: PLR0913 - each may be replaced
    app: App,
    settings: Settings,
    store: Store,
    stack: AsyncExitStack,
    *,
    open_shared_redis: Callable[[str], Any],
    open_thread_redis: Callable[[str], Any],
) -> Container:
    """Make and start the parts; ``stack`` closes them in reverse order."""
    redis_url, continuity = settings.redis_url_or_embedded, store.continuity
    store.damage.use_marker(settings.data_dir / STORE_DAMAGED)
    breaker = breaker_for(redis_url)
    telemetry = stack.enter_context(closing(Telemetry(settings, store, breaker)))
    slots = stack.enter_context(closing(Slots(settings.data_dir / FILE)))
    redis = open_shared_redis(redis_url)
    stack.push_async_callback(redis.aclose)
    sessions = Sessions(open_thread_redis(redis_url), settings, breaker)
    stack.callback(sessions.close)
    jobs = Jobs(open_thread_redis(redis_url), breaker)
    stack.callback(jobs.close)
    job_runner = JobRunner(jobs, settings)
    stack.push_async_callback(job_runner.close)
    hasher = stack.enter_context(closing(Hasher()))
    log_threads = stack.enter_context(closing(Pool("reading the log", threads=4, waiting=256)))
    session_threads = stack.enter_context(closing(Pool("sessions", threads=4, waiting=256)))
    stack.callback(breaker.close)
    batcher = RequestBatcher(redis, breaker=breaker)
    stack.push_async_callback(batcher.close)
    mirrors = Mirrors(batcher, max_bytes=settings.mirror_mb * 2**20)
    stack.push_async_callback(mirrors.close)
    read_position = ReadPosition(redis, log=lambda: continuity.text, breaker=breaker)
    stack.push_async_callback(read_position.stop)
    log_poller = LogPoller(store)
    stack.push_async_callback(log_poller.close)
    notify = _projection_notifier(batcher, stack)
    most, wait_s = writes_of(app.config.MAX_CONNECTIONS), settings.commit_wait_s
    executor = Executor(store, notify, telemetry.committed, wait_s=wait_s, most=most)
    stack.push_async_callback(asyncio.to_thread, executor.stop)
    executor.start()
    await log_poller.start()
    await read_position.start()
    telemetry.watch(app.ctx.connections, redis, mirrors, lambda: hasher.pending)

    reader = store.reader(settings.event_store_read_url, on_read=telemetry.metrics.log_read)
    username_of = lru_cache(_NAMES_KEPT)(reader.username_of)
    timeline = Timeline(reader)
    movie_events = MovieEvents(reader, username_of, timeline)
    change_feed = _change_feed(app, reader, movie_events, log_threads, read_position)
    continuity.on_change(username_of.cache_clear)
    loop = asyncio.get_running_loop()
    for forget in (read_position.forget, change_feed.restart):
        continuity.on_change(partial(loop.call_soon_threadsafe, forget))
    tokens = Tokens(load_keys(settings.signing_keys), settings)
    floor = ReadFloor(lambda read_model: log_threads.run(store.floor, read_model))
    live = ReadModel(batcher, mirrors, lambda: continuity.text, floor)
    await live.load()
    stack.callback(asyncio.create_task(live.keep_loaded(), name="follow the read model").cancel)
    argv = command("projections.rebuild.point_in_time")
    urls = settings.event_store_url, redis_url, settings.event_store_read_url
    builder = Builder(argv, environment(), *urls)
    return Container(
        settings=settings,
        store=store,
        reader=reader,
        username_of=username_of,
        executor=executor,
        in_flight=InFlight(),
        log_threads=log_threads,
        readers=Readers(
            live,
            read_position,
            PointInTimeLists(live, builder, slots),
            lambda at: log_threads.run(reader.read_current, timeline.position_at, at),
            lambda position: log_threads.run(reader.read_current, event_name_at, reader, position),
        ),
        timeline=timeline,
        movie_events=movie_events,
        event_summary=EventSummary(live),
        read_position=read_position,
        change_feed=change_feed,
        tokens=tokens,
        personal_tokens=PersonalTokens(store, log_threads),
        sessions=sessions,
        auth_server=AuthServer(store, tokens, sessions, hasher),
        hasher=hasher,
        rate_limiter=RateLimiter(settings, Counters(batcher)),
        telemetry=telemetry,
        slots=slots,
        session_threads=session_threads,
        job_runner=job_runner,
        account_list=AccountList(store),
    )


def _projection_notifier(batcher: RequestBatcher, stack: AsyncExitStack) -> Callable[[int], None]:
    """Return a function that notifies the projection of an append, without waiting.

    The projection also looks by itself, so a failure costs only time.
    """
    appended = asyncio.Event()
    last = 0

    async def publish() -> None:
        while True:
            await appended.wait()
            appended.clear()
            try:
                await batcher.call("PUBLISH", APPENDED, last)
            except UnavailableError:
                continue
            except Exception:
                log.exception("projection not notified")

    def notify(position: int) -> None:
        nonlocal last
        last = position
        appended.set()

    task = asyncio.create_task(publish(), name="notify the projection")
    stack.callback(task.cancel)
    return notify


def _change_feed(
    app: App,
    reader: LogReader,
    movie_events: MovieEvents,
    log_threads: Pool,
    read_position: ReadPosition,
) -> ChangeFeed:
    def read(after: int, limit: int) -> EventBatch:
        with reader.reading(after):
            return rendered(movie_events.after(after, limit), movie_events.username_of)

    return ChangeFeed(
        lambda after, limit: log_threads.run(read, after, limit),
        read_position.wait_for,
        partial(log_threads.run, reader.read_current, reader.head),
        most=streams_of(app.config.MAX_CONNECTIONS),
    )
