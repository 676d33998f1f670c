"""The supervisor's eye on the embedded Redis, which it joins again when it is lost."""

import time
from collections.abc import Callable
from pathlib import Path

from commands.errors import ConfigurationError
from service.backoff import Backoff
from service.embedded_redis.client import EmbeddedRedis

NEVER = float("inf")


class RedisMonitor:
    """Joins on creation. ``ends`` tells that nobody wants it any more, ``say`` takes a line."""

    def __init__(
        self, data_dir: Path, ends: Callable[[], bool], say: Callable[[str], None]
    ) -> None:
        self._ends = ends
        self._say = say
        self._pauses = Backoff()
        self._redis = EmbeddedRedis.join(data_dir, give_up=ends)
        self._since = time.monotonic()
        self.next_deadline = NEVER

    def fileno(self) -> int:
        """Return what is readable when there is something to mind; -1 for nothing."""
        return self._redis.fileno()

    def check(self, now: float) -> str | None:
        """Join again where that is due; return why it is of no use any more."""
        if not self._redis.lost:
            return None
        if self.next_deadline == NEVER:
            return self._pause(now - self._since, "the embedded Redis ended")
        if now >= self.next_deadline:
            try:
                self._redis.rejoin(give_up=self._ends)
            except ConfigurationError as error:
                return self._pause(0.0, error.problem)
            self.next_deadline, self._since = NEVER, time.monotonic()
        return None

    def close(self, wait_s: float) -> None:
        """Use it no longer."""
        self._redis.close(wait_s)

    def _pause(self, lived_s: float, why: str) -> str | None:
        pause_s = self._pauses.after(lived_s, served_s=lived_s)
        if pause_s is None:
            return f"{why}, {self._pauses.deaths} times in a row"
        self._say(f"{why}; tried again in {pause_s:.1f} s")
        self.next_deadline = time.monotonic() + pause_s
        return None
