"""Checks the pages of a SQLite store again and again beside the projection.

Damage is found where nobody reads: an index page that only a rare question needs, or a disk that
forgets. PostgreSQL has its own ways (checksums, amcheck).
"""

import os
import threading
import time
from typing import Self

import structlog

from commands.errors import CinelogError
from commands.event_store.store import Store

FIRST_S, EVERY_S = 2.0, 10.0
# Of the time at most, whatever the size: 1.3 million events take about a second.
_SHARE = 0.005
_NICE, _LAST_S = 10, 1.0
log = structlog.get_logger(__name__)


class IntegrityChecker:
    """A thread that checks for as long as nothing is known; use it as a context."""

    def __init__(self, store: Store, *, first_s: float = FIRST_S, every_s: float = EVERY_S) -> None:
        self._store = store
        self._first_s, self._every_s = first_s, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store watch", daemon=True)

    def __enter__(self) -> Self:
        if self._store.integrity.is_cheap:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_S)

    def _run(self) -> None:
        os.nice(_NICE)  # on Linux, of this thread alone
        pause_s = self._first_s
        while not self._stop.wait(pause_s):
            began = time.monotonic()
            self._check()
            pause_s = max(self._every_s, (time.monotonic() - began) / _SHARE)

    def _check(self) -> None:
        if self._store.damage.reason:
            return
        try:
            wrong = self._store.integrity.check_pages()
        except CinelogError:
            return  # it is away, which others tell
        except Exception as error:  # noqa: BLE001 - the projection must live on
            log.warning("store watch", error=f"{type(error).__name__}: {error}")
            return
        if wrong:
            log.error("the event store is damaged and is only read", damage=wrong[0])
