"""Wakes the projection after an append."""

import time
from typing import Any

from projections.keys import APPENDED


class WakeUp:
    """A subscription to ``APPENDED``. Notifications may be lost: the projection also polls."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self._pubsub: Any = None

    def subscribe(self) -> None:
        """Receive the notifications of appends from now on."""
        if self._pubsub is None:
            self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
            self._pubsub.subscribe(APPENDED)

    def wait_for_append(self, position: int, timeout_s: float) -> None:
        """Return after an append beyond ``position``, or after ``timeout_s``."""
        self.subscribe()
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            message = self._pubsub.get_message(timeout=left_s)
            if message and _appended(message["data"]) > position:
                return

    def close(self) -> None:
        """End the subscription; the next wait subscribes again."""
        if self._pubsub is not None:
            pubsub, self._pubsub = self._pubsub, None
            pubsub.close()


def _appended(data: object) -> int:
    return int(data) if isinstance(data, bytes) and data.isdigit() else 0
