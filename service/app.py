"""The composition root of an API process: every part is made here, and can be replaced here."""

from collections.abc import Callable
from functools import partial

import redis
import redis.asyncio
from projections.connection import open_async_redis, open_redis
from queries.movies import ReadModel
from queries.position import PositionFeed
from queries.round_trips import RoundTrips
from sanic import HTTPResponse, Request, Sanic
from sanic_ext import Extend

from commands.executor import Executor
from commands.store import Store
from projections import keys as redis_keys
from service import accounts, movies
from service.keys import load_keys
from service.links import API
from service.parts import Parts
from service.passwords import Hasher
from service.problems import ProblemHandler
from service.requests import CinelogRequest
from service.sessions import Sessions
from service.settings import Settings
from service.tokens import Tokens

MAX_BODY_BYTES = 1024 * 1024


def _open_store(url: str) -> Store:
    return Store.open(url, create=False)  # made by the command that started this process


def create_app(
    settings: Settings,
    *,
    open_store: Callable[[str], Store] = _open_store,
    open_shared_redis: Callable[[str], redis.asyncio.Redis] = open_async_redis,
    open_thread_redis: Callable[[str], "redis.Redis"] = open_redis,
    name: str = "cinelog",
) -> Sanic:  # type: ignore[type-arg]
    """Return the API, ready to be served; nothing connects before the server starts."""
    app: Sanic = Sanic(  # type: ignore[type-arg]
        name,
        request_class=CinelogRequest,
        error_handler=ProblemHandler(),
        configure_logging=False,
    )
    app.config.REQUEST_MAX_SIZE = MAX_BODY_BYTES
    app.config.REQUEST_TIMEOUT = 30
    app.config.RESPONSE_TIMEOUT = 30
    app.config.KEEP_ALIVE_TIMEOUT = 75
    app.config.GRACEFUL_SHUTDOWN_TIMEOUT = 3.0
    app.config.ACCESS_LOG = False
    app.config.FALLBACK_ERROR_FORMAT = "json"
    Extend(app, config={"OAS": False, "HEALTH": False, "LOGGING": False, "CORS": False})

    app.blueprint(movies.blueprint, url_prefix=API)
    app.blueprint(accounts.blueprint)
    app.on_response(_name_request)

    @app.before_server_start
    async def open_parts(app: Sanic) -> None:  # type: ignore[type-arg]
        store = open_store(settings.event_store_url)
        shared = open_shared_redis(settings.redis_url_or_embedded)
        trips = RoundTrips(shared)
        feed = PositionFeed(shared)
        keys = load_keys(settings.signing_keys)
        executor = Executor(store, on_append=partial(_wake_projection, trips))
        executor.start()
        await feed.start()
        app.ctx.parts = Parts(
            settings=settings,
            store=store,
            executor=executor,
            reader=ReadModel(trips),
            feed=feed,
            tokens=Tokens(keys, settings),
            sessions=Sessions(open_thread_redis(settings.redis_url_or_embedded), settings),
            hasher=Hasher(),
        )
        app.ctx.redis = shared

    @app.after_server_stop
    async def close_parts(app: Sanic) -> None:  # type: ignore[type-arg]
        parts: Parts = app.ctx.parts
        await app.loop.run_in_executor(None, parts.executor.stop)
        await parts.feed.stop()
        parts.hasher.close()
        await app.ctx.redis.aclose()
        parts.store.close()

    return app


def _wake_projection(trips: RoundTrips, position: int) -> None:
    """Tell the projection that there is something to do; it looks by itself soon enough if not."""
    trips.send("PUBLISH", redis_keys.APPENDED, position)


async def _name_request(request: Request, response: HTTPResponse) -> None:  # type: ignore[type-arg]
    response.headers["X-Request-ID"] = request.request_id
