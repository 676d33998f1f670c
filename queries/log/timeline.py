"""Timeline: which part of the log is "at a time T".

That is the log up to the last position whose every earlier event is stamped at or before T: all of
it that stands before the first event stamped later. Clocks of machines differ and are put right, so
stamps may go back along the log. The latest stamp of all events up to a position never does, and is
what is searched.
"""

import threading
import time
from bisect import bisect_right
from datetime import datetime

from commands.errors import EventStoreUnavailableError
from commands.event_store.store import Store
from commands.rfc3339 import rfc3339
from projections.generation.state import name_at

STRETCH = 1_000
"""How many events a stretch has of which only the end and the latest stamp are kept in memory."""
# How long one question reads of the log; what was read is kept for the next.
_PATIENCE_S = 4.0


class Timeline:
    """Positions by time. Reads the log once, stretch by stretch; safe to share between threads."""

    def __init__(self, store: Store, *, stretch: int = STRETCH) -> None:
        self._store = store
        self._stretch = stretch
        self._lock = threading.Lock()
        self._forget()

    def position_at(self, at: datetime) -> int:
        """Return the last position of the log as it was at a time; 0 where nothing was there yet.

        An event that does not tell its time counts as no later than those before it. Raises
        EventStoreUnavailableError, also where the log is so long that it is not read in 4 s.
        """
        wanted = rfc3339(at)
        with self._lock:
            if name_at(self._store, self._reached) != self._name:
                self._forget()  # another log stands there
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
            if not read:  # the log was cut off meanwhile
                break
        return position

    def _forget(self) -> None:
        self._ends: list[int] = []
        self._latest: list[str] = []
        self._sizes: list[int] = []
        self._reached, self._name = 0, ""

    def _read_up_to(self, wanted: str) -> None:
        """Read on until an event is later than ``wanted``, or the log ends."""
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
        self._name = name_at(self._store, self._reached)
