"""Hybrid clock: an event is stamped no earlier than the one before it in the log.

Clocks of machines differ, and are put right. A stamp follows the log's last one as long as that is
at most ``TOLERATED`` ahead of this machine (Kulkarni et al., "Logical Physical Clocks", 2014, with
time alone). Beyond that the other clock is wrong: this machine's time stands, and a warning tells.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

TOLERATED = timedelta(seconds=5)
_WARNED_EVERY_S = 60.0
log = structlog.get_logger(__name__)


def _machine_time() -> datetime:
    return datetime.now(UTC)


class HybridClock:
    """Stamps for the writer whose turn it is. Warns at most once a minute."""

    def __init__(self, now: Callable[[], datetime] = _machine_time) -> None:
        self._now = now
        self._warn_at = time.monotonic()

    def stamp(self, asked: datetime, last: datetime | None) -> datetime:
        """Return when something happens that was ``asked`` for then.

        ``last`` is the stamp of the log's last event, None where there is none.
        """
        if last is None or last <= asked:
            return asked
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
