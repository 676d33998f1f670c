"""The loop that keeps the read model up to date, for as long as its process lives."""

import threading
import time
from typing import Any

import structlog

from commands.event_store.store import Store
from projections.follow.lease import Lease
from projections.follow.precedence import NOTICE_MS, Precedence
from projections.follow.subscription import BATCH, OnApplied, Subscription
from projections.follow.wakeup import WakeUp
from projections.generation import lifecycle
from projections.generation.state import ROW_FORMAT
from projections.rebuild.parked import parked_in, retry

POLL_S = 0.25
STANDBY_S = 0.5
# Short even at its longest: a part that was away for long is back as soon as any.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5
_LOG_S = 30.0
log = structlog.get_logger(__name__)


class Projection:
    """Brings the read model up to date and keeps it there."""

    def __init__(  # noqa: PLR0913 - all but the first two are for tests and traces
        self,
        store: Store,
        redis: Any,
        *,
        limit: int = BATCH,
        poll_s: float = POLL_S,
        on_shown: OnApplied | None = None,
        row_format: int = ROW_FORMAT,
        notice_ms: int = NOTICE_MS,
    ) -> None:
        self._store = store
        self._redis = redis
        self._retried_parked = False
        self._subscription = Subscription(
            store, redis, limit=limit, on_shown=on_shown, row_format=row_format
        )
        self._precedence = Precedence(redis, row_format, notice_ms)
        self._lease = Lease(redis)
        self._wake_up = WakeUp(redis)
        self._poll_s = poll_s

    @property
    def position(self) -> int:
        """The position that was applied last."""
        return self._subscription.position

    def run(self, stop: threading.Event) -> None:
        """Follow the log until ``stop`` is set, as the one that holds the lease.

        Stands by while a projection of a release with a newer row format runs.

        A store or Redis that is away is tried again, with a growing pause between.
        """
        pause_s, log_at = 0.0, 0.0
        while not stop.is_set():
            try:
                self._run_once(stop)
                pause_s, log_at = 0.0, 0.0
            except Exception as error:  # noqa: BLE001 - whatever it was, the loop must live on
                self._wake_up.close()
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2 or _FIRST_PAUSE_S)
                if time.monotonic() >= log_at:
                    log_at = time.monotonic() + _LOG_S
                    log.warning(
                        "projection waits",
                        position=self.position,
                        pause_s=pause_s,
                        error=f"{type(error).__name__}: {error}",
                    )
                stop.wait(pause_s)
        self._end()

    def _run_once(self, stop: threading.Event) -> None:
        """Apply what there is and wait for more, or stand by."""
        if not self._precedence.is_first():
            self._lease.release()
        if not self._is_active():
            stop.wait(STANDBY_S)
            return
        self._wake_up.subscribe()
        while not self._subscription.process_batch():
            if stop.is_set() or not self._is_active():
                return
        if not self._retried_parked:
            self._retried_parked = self._retry_parked(stop)
        self._wake_up.wait_for_append(self.position, self._poll_s)

    def _is_active(self) -> bool:
        return self._precedence.is_first() and self._lease.acquire_or_renew()

    def _retry_parked(self, stop: threading.Event) -> bool:
        """Take up again what was parked, once in a process: an earlier release may have done that.

        False where it was not tried to the end.
        """
        live = lifecycle.live_generation(self._redis)
        if live is None:
            return False
        ids = [mark.id for mark in parked_in(live).values() if not mark.dropped]
        for key, error in retry(self._store, live, ids):
            if error is None:
                log.info("taken up again", stream=key)
            if stop.is_set() or not self._is_active():
                return False
        return True

    def _end(self) -> None:
        self._wake_up.close()
        try:
            self._precedence.withdraw()
            self._lease.release()
        except Exception as error:  # noqa: BLE001 - it runs out by itself
            log.info("lease not released", error=str(error))
