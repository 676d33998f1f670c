"""What commands work with: the settings, the event store and Redis."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.errors import ConfigurationError, ReadModelUnavailableError
from service.cli.console import report
from service.settings import Settings, unknown_variables

if TYPE_CHECKING:
    from commands.event_store.store import Store

_restricted: list[Path] = []
HANDOVER_RETRIES = 20
"""For about 2 s: the embedded Redis starts again when the command that owns it ends."""


def load_settings(*, create: bool = False, **overrides: object) -> Settings:
    """Return the settings of a command, whose data directory is checked.

    ``create`` makes that directory; without it nothing is written. Raises ConfigurationError.
    """
    from service.data_dir import check_data_dir, prepare_data_dir
    from service.observability.logs import configure_logs

    settings = Settings.load(**overrides)
    configure_logs(settings.log_format, settings.log_level)
    for problem in unknown_variables():
        report(problem, "warning")
    if (prepare_data_dir if create else check_data_dir)(settings.data_dir):
        _restricted.append(settings.data_dir)
    return settings


def warn_of_restricted_modes() -> None:
    """Warn that other users could read the data directory; called once nothing else is wrong."""
    while _restricted:
        message = f"other users could read {_restricted.pop()}; its file modes were restricted"
        report(message, "warning")


@contextmanager
def open_store(settings: Settings, *, create: bool = False) -> "Iterator[Store]":
    """Open the event store; ``create`` makes it where it is missing.

    Raises ConfigurationError where it cannot be opened.
    """
    from commands.event_store.store import Store
    from service.data_dir import STORE_DAMAGED

    store = Store.open(settings.event_store_url, create=create)
    store.damage.use_marker(settings.data_dir / STORE_DAMAGED)
    try:
        yield store
    finally:
        store.close()


def running_redis(settings: Settings) -> AbstractContextManager[object]:
    """Run the embedded Redis within the context, unless another Redis is configured."""
    from service.embedded_redis.client import EmbeddedRedis

    if settings.redis_url:
        return nullcontext()
    if not settings.data_dir.exists():
        problem = f"there is no read model: {settings.data_dir} does not exist"
        raise ConfigurationError("CINELOG_DATA_DIR", problem)
    return EmbeddedRedis.join(settings.data_dir)


@contextmanager
def open_store_and_redis() -> "Iterator[tuple[Settings, Store, Any]]":
    """Open the event store and Redis. Raises ReadModelUnavailableError where Redis fails."""
    from redis.exceptions import RedisError

    from projections.redis_client import RETRIES, describe_error, open_redis

    settings = load_settings()
    with open_store(settings) as store, running_redis(settings):
        retries = RETRIES if settings.redis_url else HANDOVER_RETRIES
        redis = open_redis(settings.redis_url_or_embedded, retries=retries)
        try:
            yield settings, store, redis
        except RedisError as error:
            raise ReadModelUnavailableError(f"Redis {describe_error(error)}") from error
        finally:
            redis.close()


@contextmanager
def projection_notifier(settings: Settings) -> Iterator[Callable[[int], None]]:
    """Yield a function that tells a running projection the position of an append.

    Best effort: while Redis is unreachable the function does nothing, and the projection catches
    up by itself once it is back.
    """
    from redis.exceptions import RedisError

    from projections.keys import APPENDED
    from projections.redis_client import open_redis

    if settings.redis_url is None and not settings.embedded_socket.exists():
        yield lambda _: None
        return
    redis = open_redis(settings.redis_url_or_embedded)

    def notify(position: int) -> None:
        with suppress(RedisError):
            redis.publish(APPENDED, position)

    try:
        yield notify
    finally:
        redis.close()
