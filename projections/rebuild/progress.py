"""How far the running rebuild is, for all to see in Redis, whoever started it."""

import time
from typing import Any, NamedTuple

import orjson
from redis.exceptions import ResponseError

from projections.keys import REBUILD_PROGRESS

_EVERY_S = 0.5
# As long as the lease of a rebuild, which is renewed as often as steps are reported, or longer.
_TTL_MS = 10_000


class RebuildProgress(NamedTuple):
    """A phase of a rebuild (``rebuild``, ``compare``, ``drop``): ``done`` of ``total`` steps."""

    phase: str
    done: int
    total: int


class ProgressReport:
    """Writes the progress of a rebuild, twice a second."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self._phase = ""
        self._due_at = 0.0

    def reach(self, progress: RebuildProgress) -> None:
        """Write the progress if that is due, or another phase begins."""
        now = time.monotonic()
        if progress.phase == self._phase and now < self._due_at:
            return
        self._phase, self._due_at = progress.phase, now + _EVERY_S
        text = orjson.dumps(progress._asdict())
        self._redis.execute_command("SET", REBUILD_PROGRESS, text, "PX", _TTL_MS)

    def end(self) -> None:
        """Remove it."""
        self._redis.execute_command("DEL", REBUILD_PROGRESS)


def running_rebuild(redis: Any) -> RebuildProgress | None:
    """Return the progress of the running rebuild, None if none is running."""
    try:
        text = redis.execute_command("GET", REBUILD_PROGRESS)
        return RebuildProgress(**orjson.loads(text)) if text else None
    except (ResponseError, ValueError, TypeError):  # not what was written
        return None
