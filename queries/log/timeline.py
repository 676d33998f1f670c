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
"""Events in a stretch; memory holds only its last position and its latest stamp."""
# How long one call reads the log; the next call continues from there.
_PATIENCE_S = 4.0


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
    """Positions by time. Reads the log once, stretch by stretch; safe to share between threads."""

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
            if event_name_at(self._store, self._reached) != self._name:
                self._forget()  # it is another log
            self._read_up_to(wanted)
            later = bisect_right(self._latest, wanted)
            if later == len(self._latest):
                return self._reached
            position = self._ends[later - 1] if later else 0
            until = self._ends[later]
        while position < until:
            read = self._store.read_timestamps(position, self._stretch)
            for following, stamp in read:
                if stamp > wanted:
                    return position
                position = following
            if not read:  # the log was truncated meanwhile
                break
        return position

    def _forget(self) -> None:
        self._ends: list[int] = []
        self._latest: list[str] = []
        self._sizes: list[int] = []
        self._reached, self._name = 0, ""

    def _read_up_to(self, wanted: str) -> None:
        """Read until an event is later than ``wanted``, or to the end of the log."""
        give_up = time.monotonic() + _PATIENCE_S
        while not self._latest or self._latest[-1] <= wanted:
            read = self._store.read_timestamps(self._reached, self._stretch)
            if not read:
                return
            self._add(read)
            if time.monotonic() > give_up:
                raise EventStoreUnavailableError("its times are being read", retry_after_s=1)

    def _add(self, read: list[tuple[int, str]]) -> None:
        latest = max(stamp for _, stamp in read)
        if self._latest:
            latest = max(latest, self._latest[-1])
        if self._sizes and self._sizes[-1] + len(read) <= self._stretch:
            self._sizes[-1] += len(read)
            self._ends[-1], self._latest[-1] = read[-1][0], latest
        else:
            self._sizes.append(len(read))
            self._ends.append(read[-1][0])
            self._latest.append(latest)
        self._reached = read[-1][0]
        self._name = event_name_at(self._store, self._reached)
