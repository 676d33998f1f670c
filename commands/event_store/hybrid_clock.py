"""Hybrid clock: an event's timestamp is no earlier than that of the event before it in the log.

Clocks of machines differ and are adjusted. A timestamp follows the log's last one as long as that
is at most ``TOLERATED`` ahead of this machine (Kulkarni et al., "Logical Physical Clocks", 2014,
with time alone). Beyond that the other clock is wrong: this machine's time is used, with a warning.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

TOLERATED = timedelta(seconds=5)
_WARNED_EVERY_S = 60.0
log = structlog.get_logger(__name__)


class HybridClock:
    """Timestamps for the holder of the writer lock. Warns at most once a minute."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._warn_at = time.monotonic()

    def timestamp(self, requested: datetime, last: datetime | None) -> datetime:
        """Return the timestamp of an event that was ``requested`` for a time.

        ``last`` is the timestamp of the log's last event, None for an empty log.
        """
        if last is None or last <= requested:
            return requested
        now = self._now()
        if last - now <= TOLERATED:
            return last
        if time.monotonic() >= self._warn_at:
            self._warn_at = time.monotonic() + _WARNED_EVERY_S
            log.warning(
                "the last event of the log is stamped ahead of this machine's clock",
                ahead_s=round((last - now).total_seconds(), 3),
            )
        return now
