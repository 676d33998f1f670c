"""Accounts over HTTP: the real blueprint on a socket, with a real store and a real Redis."""

import asyncio
import itertools
import socket
import threading
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import httpx
from sanic import Sanic

from commands.event_store.store import Store
from commands.execution.executor import Executor
from projections.redis_client import open_redis
from service.auth.passwords import Hasher
from service.auth.personal_tokens import PersonalTokens
from service.auth.server import AuthServer
from service.auth.sessions import Sessions
from service.auth.signing_keys import load_keys
from service.auth.tokens import Tokens
from service.container import Container
from service.middleware import identify
from service.ratelimit.limiter import RateLimiter
from service.ratelimit.storage import Counters
from service.routes.accounts import tokens as accounts
from service.thread_pool import Pool
from service.web.problems import ProblemHandler
from service.web.request import CinelogRequest

_numbers = itertools.count(1)
API = "/api/v1/auth"
UNLIMITED = {"login_rate": "off", "api_rate": "off"}


@contextmanager
def serving(settings, *, hasher=None):
    """Serve the account routes; yield an HTTP client with the container."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    container = make_container(settings, hasher or Hasher())
    container.executor.start()
    app = Sanic(
        f"accounts_{next(_numbers)}",
        request_class=CinelogRequest,
        error_handler=ProblemHandler(),
        configure_logging=False,
    )
    app.config.ACCESS_LOG = False
    app.config.AUTO_EXTEND = False
    app.config.TOUCHUP = False  # it supports one server per process only
    app.blueprint(accounts.blueprint)
    app.register_middleware(identify, "request")
    app.ctx.container = container
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as sock,
            _running(app, sock) as url,
            httpx.Client(base_url=url, timeout=30) as client,
        ):
            client.container = container
            yield client
    finally:
        container.executor.stop()
        container.hasher.close()
        container.session_threads.close()
        container.log_threads.close()
        container.sessions.close()
        container.store.close()


def make_container(settings, hasher):
    store = Store.open(settings.event_store_url)
    tokens = Tokens(load_keys(settings.signing_keys), settings)
    client, log_threads = open_redis(settings.redis_url), Pool("history", threads=2, waiting=100)
    sessions = Sessions(client, settings)
    container = SimpleNamespace(
        settings=settings,
        store=store,
        username_of=store.username_of,
        executor=Executor(store),
        tokens=tokens,
        sessions=sessions,
        hasher=hasher,
        auth_server=AuthServer(store, tokens, sessions, hasher),
        session_threads=Pool("accounts", threads=4, waiting=100),
        rate_limiter=RateLimiter(settings.model_copy(update=UNLIMITED), Counters(None)),
        log_threads=log_threads,
        personal_tokens=PersonalTokens(store, log_threads),
        redis=client,
    )
    container.end_sessions = partial(Container.end_sessions, container)
    return container


@contextmanager
def _running(app, sock):
    ready, stop = threading.Event(), SimpleNamespace()

    async def serve():
        stop.loop, stop.event = asyncio.get_running_loop(), asyncio.Event()
        server = await app.create_server(sock=sock, return_asyncio_server=True)
        await server.startup()
        ready.set()
        await stop.event.wait()
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield "http://{}:{}".format(*sock.getsockname())
    finally:
        stop.loop.call_soon_threadsafe(stop.event.set)
        thread.join(10)


PASSWORD = "correct horse"


def register(client, username, **overrides):
    body = {
        "username": username,
        "email": f"{username}@example.org",
        "password": PASSWORD,
        "password2": PASSWORD,
    }
    return client.post(f"{API}/register/", json=body | overrides)


def sign_in(client, username, password=PASSWORD):
    return client.post(f"{API}/token/", json={"username": username, "password": password})


def refresh(client, token):
    return client.post(f"{API}/token/refresh/", json={"refresh": token})


def verify(client, token):
    return client.post(f"{API}/token/verify/", json={"token": token}).status_code


def revoke(client, token):
    return client.post(f"{API}/token/revoke/", json={"token": token})


def me(client, access):
    return client.get(f"{API}/me/", headers={"Authorization": f"Bearer {access}"})
