"""The projection: a loop that keeps the read model up to date."""

import threading
import time
from typing import Any

import structlog

from commands.event_store.store import Store
from projections.follow.lease import Lease
from projections.follow.precedence import NOTICE_MS, Precedence
from projections.follow.subscription import OnApplied, Subscription
from projections.follow.wakeup import WakeUp
from projections.generation import lifecycle
from projections.generation.state import LIVE, ROW_FORMAT
from projections.keys import lease_of
from projections.rebuild.parked import parked_in, retry

POLL_S = 0.25
STANDBY_S = 0.5
# The maximum is short too: after a long outage the read model must be back at once.
_MIN_BACKOFF_S, _MAX_BACKOFF_S = 0.05, 0.5
_LOG_INTERVAL_S = 30.0
log = structlog.get_logger(__name__)


class Projection:
    """Follows the log while it holds the lease, and retries parked movies once."""

    def __init__(  # noqa: PLR0913 - all but the first two are for tests and traces
        self,
        store: Store,
        redis: Any,
        *,
        poll_s: float = POLL_S,
        on_shown: OnApplied | None = None,
        row_format: int = ROW_FORMAT,
        notice_ms: int = NOTICE_MS,
    ) -> None:
        self._store = store
        self._redis = redis
        self._poll_s = poll_s
        self._row_format = row_format
        self._precedence = Precedence(redis, row_format, notice_ms)
        self._subscription = Subscription(
            store,
            redis,
            on_shown=on_shown,
            row_format=row_format,
            may_build=self._precedence.may_build,
        )
        self._lease = Lease(redis, key=lease_of(row_format))
        self._wake_up = WakeUp(redis)
        self._retried_parked = False

    @property
    def position(self) -> int:
        """The position that was applied last."""
        return self._subscription.position

    def run(self, stop: threading.Event) -> None:
        """Project until ``stop`` is set.

        Stands by while another projection of this row format holds the lease, or once one of a
        release with a newer row format has its generation live. Retries an unreachable store or
        Redis with a growing pause.
        """
        backoff_s, log_at = 0.0, 0.0
        while not stop.is_set():
            try:
                self._run_once(stop)
                backoff_s, log_at = 0.0, 0.0
            except Exception as error:  # noqa: BLE001 - the loop must outlive any error
                self._wake_up.close()
                backoff_s = min(_MAX_BACKOFF_S, backoff_s * 2 or _MIN_BACKOFF_S)
                if time.monotonic() >= log_at:
                    log_at = time.monotonic() + _LOG_INTERVAL_S
                    log.warning(
                        "projection waits",
                        position=self.position,
                        pause_s=backoff_s,
                        error=f"{type(error).__name__}: {error}",
                    )
                stop.wait(backoff_s)
        self._close()

    def _run_once(self, stop: threading.Event) -> None:
        """Catch up and wait for the next append, or stand by."""
        if not self._has_work():
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
        return self._has_work() and self._lease.acquire_or_renew()

    def _has_work(self) -> bool:
        """Return whether this projection builds, or keeps up what a newer release replaces soon."""
        if self._precedence.is_first():
            return True
        live = lifecycle.live_generation(self._redis, self._row_format)
        state = live.read_state() if live else None
        return state is not None and state.state == LIVE

    def _retry_parked(self, stop: threading.Event) -> bool:
        """Retry the movies that an earlier release may have parked; False if interrupted."""
        live = lifecycle.live_generation(self._redis)
        if live is None:
            return False
        ids = [movie.id for movie in parked_in(live).values() if not movie.dropped]
        for key, error in retry(self._store, live, ids):
            if error is None:
                log.info("taken up again", stream=key)
            if stop.is_set() or not self._is_active():
                return False
        return True

    def _close(self) -> None:
        self._wake_up.close()
        try:
            self._precedence.withdraw()
            self._lease.release()
        except Exception as error:  # noqa: BLE001 - the lease expires
            log.info("lease not released", error=str(error))
