"""What the commands stand on: how they say things, the settings, the event store and Redis."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from commands.errors import ReadModelUnavailableError
from service.settings import Settings

if TYPE_CHECKING:
    from commands.store import Store

# A pipe has no width: tables in it are not folded to that of a terminal.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False)
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


def wrong_use(message: str) -> NoReturn:
    """Say what is wrong with the call, and end with 2."""
    err.print(f"cinelog: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(2)


def prepared(**over: object) -> Settings:
    """Return the settings; logs and the directory of data are ready then."""
    from service.data_dir import prepare_data_dir  # noqa: PLC0415 - commands start fast one by one
    from service.logs import configure_logs  # noqa: PLC0415

    configure_logs()
    settings = Settings.load(**over)
    prepare_data_dir(settings.data_dir)
    return settings


@contextmanager
def open_store(settings: Settings) -> "Iterator[Store]":
    """Open the event store, and make what is missing of it."""
    from commands.store import Store  # noqa: PLC0415

    store = Store.open(settings.event_store_url)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def hold_redis(settings: Settings) -> Iterator[None]:
    """Hold on to the embedded Redis where none is configured."""
    from service.embedded import EmbeddedRedis  # noqa: PLC0415

    if settings.redis_url:
        yield
        return
    with EmbeddedRedis.join(settings.data_dir):
        yield


@contextmanager
def open_both() -> "Iterator[tuple[Settings, Store, Any]]":
    """Open the event store and Redis; a Redis that goes away is one line."""
    from redis.exceptions import RedisError  # noqa: PLC0415

    from projections.connection import open_redis  # noqa: PLC0415

    settings = prepared()
    with open_store(settings) as store, hold_redis(settings):
        redis = open_redis(settings.redis_url_or_embedded)
        try:
            yield settings, store, redis
        except RedisError as error:
            raise ReadModelUnavailableError(type(error).__name__) from error
        finally:
            redis.close()
