"""Timeline: the position that the log had reached at a time.

It is the last position whose every earlier event is stamped at or before that time. Clocks of
machines differ and are corrected, so stamps may decrease along the log. The latest stamp up to a
position never decreases, so the search uses that.
"""

import threading
import time
from bisect import bisect_right
from datetime import datetime
from typing import NamedTuple

from commands.errors import EventStoreUnavailableError
from commands.event_store.store import Store
from commands.rfc3339 import rfc3339
from projections.generation.state import event_name_at

STRETCH = 1_000
"""Events in a stretch; memory holds only its last position and the latest stamp up to there."""
# How long one call reads the log; the next call continues from there.
_TIMEOUT_S = 4.0


class AtTime(NamedTuple):
    """The state at a time."""

    time: datetime


class AtVersion(NamedTuple):
    """The state of one movie at its version."""

    version: int


class AtPosition(NamedTuple):
    """The state at a position of the log."""

    position: int


class Timeline:
    """Positions by time. Reads each stretch of the log once; safe to share between threads."""

    def __init__(self, store: Store, *, stretch: int = STRETCH) -> None:
        self._store = store
        self._stretch = stretch
        self._lock = threading.Lock()
        self._forget()

    def position_at(self, at: datetime) -> int:
        """Return the last position of the log at a time, 0 where the log was empty.

        An event without a valid stamp counts as no later than those before it. Raises
        EventStoreUnavailableError, also where reading the log takes longer than 4 s.
        """
        wanted = rfc3339(at)
        with self._lock:
            if event_name_at(self._store, self._ends[-1]) != self._name:
                self._forget()  # it is another log
            self._read_up_to(wanted)
            position = self._ends[bisect_right(self._latest, wanted) - 1]
        while read := self._store.read_timestamps(position, self._stretch):
            for following, stamp in read:
                if stamp > wanted:
                    return position
                position = following
        return position

    def _forget(self) -> None:
        self._ends, self._latest, self._name = [0], [""], ""

    def _read_up_to(self, wanted: str) -> None:
        """Read whole stretches until an event is later than ``wanted``."""
        deadline = time.monotonic() + _TIMEOUT_S
        while self._latest[-1] <= wanted:
            read = self._store.read_timestamps(self._ends[-1], self._stretch)
            if len(read) < self._stretch:
                return
            self._ends.append(read[-1][0])
            self._latest.append(max(self._latest[-1], *(stamp for _, stamp in read)))
            self._name = event_name_at(self._store, self._ends[-1])
            if time.monotonic() > deadline:
                raise EventStoreUnavailableError("its times are being read", retry_after_s=1)
