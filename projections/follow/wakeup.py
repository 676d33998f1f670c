"""Wakes the projection when something was appended."""

import time
from typing import Any

from projections.keys import APPENDED


class WakeUp:
    """A subscription to ``APPENDED``. A ring may be lost: whoever waits looks by itself, too."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self._pubsub: Any = None

    def open(self) -> None:
        """Subscribe, so that nothing appended from now on goes unheard."""
        if self._pubsub is None:
            self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
            self._pubsub.subscribe(APPENDED)

    def wait(self, position: int, timeout_s: float) -> None:
        """Return when something was appended after ``position``, or after ``timeout_s``."""
        self.open()
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            message = self._pubsub.get_message(timeout=left)
            if message and _appended(message["data"]) > position:
                return

    def close(self) -> None:
        """End the subscription; the next wait makes a new one."""
        if self._pubsub is not None:
            pubsub, self._pubsub = self._pubsub, None
            pubsub.close()


def _appended(data: object) -> int:
    return int(data) if isinstance(data, bytes) and data.isdigit() else 0
