"""Circuit breaker: once a part does not answer, calls fail at once until it answers again.

The first call that fails opens it. While it is open, calls fail without being tried and one thread
probes the part; the first successful probe closes it. The pause between probes is constant, so that
a long outage is noticed to be over as soon as a short one.
"""

import threading
from collections.abc import Callable

import structlog

from commands.errors import UnavailableError

PAUSE_S = 0.1
log = structlog.get_logger(__name__)


class Breaker:
    """Safe to share between threads.

    ``probe`` raises while the part is unavailable, and must return within a second or two. Refused
    calls get ``error``.
    """

    def __init__(
        self,
        part: str,
        probe: Callable[[], object],
        error: type[UnavailableError],
        *,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._part = part
        self._probe = probe
        self._error = error
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._is_open = False
        self._closed = threading.Event()
        self._listeners: list[Callable[[], object]] = []

    @property
    def is_open(self) -> bool:
        """Whether calls are refused."""
        return self._is_open

    def on_open(self, listener: Callable[[], object]) -> None:
        """Call ``listener``, on any thread, when the breaker opens, before the first probe."""
        self._listeners.append(listener)

    def check(self) -> None:
        """Raise the error while the breaker is open."""
        if self._is_open:
            raise self._error("it is known to be unreachable")

    def trip(self, reason: str) -> None:
        """Open the breaker until a probe succeeds."""
        with self._lock:
            if self._is_open or self._closed.is_set():
                return
            self._is_open = True
        log.warning("known to be unreachable", part=self._part, error=reason)
        for listener in self._listeners:
            listener()
        threading.Thread(target=self._watch, name=f"probing the {self._part}", daemon=True).start()

    def close(self) -> None:
        """Stop probing for good."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                self._probe()
            except Exception as error:  # noqa: BLE001 - after any error the part is still away
                log.debug("probed", part=self._part, error=f"{type(error).__name__}: {error}")
                self._closed.wait(self._pause_s)
            else:
                self._is_open = False
                log.info("answers again", part=self._part)
                return
