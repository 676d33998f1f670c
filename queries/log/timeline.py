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
from commands.event_store.log_reader import LogReader
from commands.rfc3339 import rfc3339
from projections.generation.state import event_name_at

STRETCH = 1_000
"""Events in a stretch; memory holds only its last position, its earliest and latest stamp, and the
latest stamp up to there."""
# How long one call reads the log; the next call continues from there.
_TIMEOUT_S, _SKIP_TIMEOUT_S = 4.0, 0.5
# The earliest and the latest stamp of a stretch without any: no range has both.
_NO_STAMP = ("~", "")


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

    def __init__(self, store: LogReader, *, stretch: int = STRETCH) -> None:
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
            self._check_log()
            self._read_up_to(wanted)
            position = self._ends[bisect_right(self._latest, wanted) - 1]
        while read := self._store.read_timestamps(position, self._stretch):
            for following, stamp in read:
                if stamp > wanted:
                    return position
                position = following
        return position

    def skip(self, after: int, since: str, before: str) -> int:
        """Return the position up to which no event after ``after`` is stamped within a range.

        The first event within it may follow much later. ``since`` is included, ``before`` is not;
        both are as ``rfc3339`` writes them, "" bounds nothing. Reads the log for about half a
        second; the next call continues from there.
        """
        deadline = time.monotonic() + _SKIP_TIMEOUT_S
        with self._lock:
            self._check_log()
            number = bisect_right(self._ends, after)
            while number < len(self._ends) or self._read_stretch():
                if number < len(self._ends):
                    earliest, latest = self._ranges[number]
                    may_have = latest >= since and (not before or earliest < before)
                    if may_have and self._ends[number] > after:
                        break
                    number += 1
                if time.monotonic() > deadline:
                    break
            return max(after, self._ends[min(number, len(self._ends)) - 1])

    def _check_log(self) -> None:
        if event_name_at(self._store, self._ends[-1]) != self._name:
            self._forget()  # it is another log

    def _forget(self) -> None:
        self._ends, self._latest, self._name = [0], [""], ""
        self._ranges = [_NO_STAMP]

    def _read_up_to(self, wanted: str) -> None:
        """Read whole stretches until an event is later than ``wanted``."""
        deadline = time.monotonic() + _TIMEOUT_S
        while self._latest[-1] <= wanted:
            if not self._read_stretch():
                return
            if time.monotonic() > deadline:
                raise EventStoreUnavailableError("its times are being read", retry_after_s=1)

    def _read_stretch(self) -> bool:
        """Read the next stretch; False if the log does not have a whole one."""
        read = self._store.read_timestamps(self._ends[-1], self._stretch)
        if len(read) < self._stretch:
            return False
        stamps = [stamp for _, stamp in read if stamp]
        own = (min(stamps), max(stamps)) if stamps else _NO_STAMP
        self._ends.append(read[-1][0])
        self._latest.append(max(self._latest[-1], own[1]))
        self._ranges.append(own)
        self._name = event_name_at(self._store, self._ends[-1])
        return True
