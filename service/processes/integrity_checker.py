"""Checks the pages of a SQLite store periodically, beside the projection.

It finds damage in pages that are rarely read. PostgreSQL has its own means (checksums, amcheck).
"""

import os
import threading
import time
from typing import Self

import structlog

from commands.errors import CinelogError
from commands.event_store.store import Store

DELAY_S, INTERVAL_S = 2.0, 10.0
SHARE = 0.005
"""Largest share of the time, for stores of any size: 1.3 million events take about a second."""
_NICE, _LAST_S = 10, 1.0
log = structlog.get_logger(__name__)


class IntegrityChecker:
    """A thread that checks until it finds damage; use it as a context manager."""

    def __init__(
        self,
        store: Store,
        *,
        delay_s: float = DELAY_S,
        interval_s: float = INTERVAL_S,
        share: float = SHARE,
    ) -> None:
        self._store = store
        self._delay_s, self._interval_s, self._share = delay_s, interval_s, share
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="integrity checker", daemon=True)

    def __enter__(self) -> Self:
        if self._store.integrity.is_cheap:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_S)

    def _run(self) -> None:
        os.nice(_NICE)  # on Linux, only this thread
        pause_s = self._delay_s
        while not self._stop.wait(pause_s):
            began = time.monotonic()
            self._check()
            pause_s = max(self._interval_s, (time.monotonic() - began) / self._share)

    def _check(self) -> None:
        if self._store.damage.reason:
            return
        try:
            wrong = self._store.integrity.check_pages()
        except CinelogError:
            return  # unreachable, which others report
        except Exception as error:  # noqa: BLE001 - the projection must live on
            log.warning("integrity checker", error=f"{type(error).__name__}: {error}")
            return
        if wrong:
            log.error("the event store is damaged and is only read", damage=wrong[0])
