"""An API without a database, for tests of the processes."""

import asyncio
import os
import time

from sanic import Sanic, json

from commands.errors import ConfigurationError, EventStoreUnavailableError


def create_app(settings):
    app = Sanic("tiny", configure_logging=False)

    @app.get("/")
    async def index(_):
        return json({"pid": os.getpid(), "data_dir": str(settings.data_dir)})

    @app.get("/slow")
    async def slow(request):
        await asyncio.sleep(float(request.args.get("s")))
        return json({"pid": os.getpid()})

    @app.get("/hang")
    async def hang(_):
        time.sleep(60)  # noqa: ASYNC251 - a bug

    @app.get("/stubborn")
    async def stubborn(_):
        app.add_task(_never_ends())
        return json({"pid": os.getpid()})

    return app


async def _never_ends():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


def refusing_app(_):
    raise ConfigurationError("CINELOG_ISSUER", "is not allowed")


def refusing_start(settings):
    app = create_app(settings)

    @app.before_server_start
    async def open_parts(_):
        raise EventStoreUnavailableError("connection refused")

    return app


def crashing_app(_):
    raise RuntimeError("a bug")


def sleeping_app(_):
    time.sleep(60)


def fail_before():
    time.sleep(0.3)
    raise ConfigurationError("CINELOG_DATA_DIR", "the sample is missing")


def say_before():
    print("before", flush=True)
