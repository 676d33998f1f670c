"""Circuit breaker: once a part does not answer, everybody is told at once until it does again.

The first call that fails opens it. From then on calls fail without being tried, and one thread
probes beside them; its first success closes the breaker. The pause between probes is constant, so
that a part that was away for long is back as soon as one that was away briefly.
"""

import threading
from collections.abc import Callable

import structlog

from commands.errors import UnavailableError

PAUSE_S = 0.1
log = structlog.get_logger(__name__)


class Breaker:
    """Safe to share between threads.

    ``probe`` raises while the part is away; it must come back by itself within a second or two.
    ``error`` is what calls are refused with.
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
        self._open = False
        self._closed = threading.Event()
        self._on_open: list[Callable[[], object]] = []

    @property
    def is_open(self) -> bool:
        """Whether the part is known to be away."""
        return self._open

    def on_open(self, tell: Callable[[], object]) -> None:
        """Have ``tell`` called, on any thread, when the part is found to be away."""
        self._on_open.append(tell)

    def check(self) -> None:
        """Raise the error while the part is known to be away."""
        if self._open:
            raise self._error("it is known to be away")

    def trip(self, why: str) -> None:
        """Refuse calls from now on, until a probe succeeds."""
        with self._lock:
            if self._open or self._closed.is_set():
                return
            self._open = True
        log.warning("known to be away", part=self._part, error=why)
        threading.Thread(target=self._watch, name=f"probing the {self._part}", daemon=True).start()
        for tell in self._on_open:
            tell()

    def close(self) -> None:
        """End the probing, for good."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                self._probe()
            except Exception as error:  # noqa: BLE001 - whatever it was, the part is not back
                log.debug("probed", part=self._part, error=f"{type(error).__name__}: {error}")
                self._closed.wait(self._pause_s)
            else:
                self._open = False
                log.info("answers again", part=self._part)
                return
