"""Waking a projection that may run: commands that append say so, and do not mind silence."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import redis

from projections import keys
from projections.redis_client import open_redis
from service.settings import Settings


@contextmanager
def projection_notifier(settings: Settings) -> Iterator[Callable[[int], None]]:
    """Yield a function that tells the projection of a position.

    Where Redis is away it does nothing: the projection looks by itself when it is back.
    """
    if settings.redis_url is None and not settings.embedded_socket.exists():
        yield lambda _: None
        return
    client = open_redis(settings.redis_url_or_embedded)

    def wake(position: int) -> None:
        with suppress(redis.RedisError):
            client.publish(keys.APPENDED, position)

    try:
        yield wake
    finally:
        client.close()
