"""Salvage: reads all of a damaged log that can be read, around what cannot.

The database is asked first, in ever smaller parts; a position that it cannot read is looked for in
the pages of a SQLite file itself, where a broken tree hides more than is lost.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from commands.errors import StoreDamagedError
from commands.event_store.sqlite_leaves import Leaves
from commands.event_store.store import RawEvent, Store

_BATCH = 1_000
_BEYOND = 1 << 62
_position = attrgetter("position")


class LostEvents(NamedTuple):
    """Positions, from the first to the last, whose events cannot be read."""

    first: int
    last: int


def read_around(store: Store, until: int) -> Iterator[list[RawEvent] | LostEvents]:
    """Yield all events up to a position in log order, and what between them cannot be read."""
    position = 0
    while position < until:
        events = _some(store, position, until)
        if events is None:
            following = _next(store, position + 1, until)
            yield LostEvents(position + 1, following)
            position = following
        elif events:
            yield events
            position = events[-1].position
        else:
            return


def _some(store: Store, after: int, until: int) -> list[RawEvent] | None:
    """Return events that follow a position, None where the next one cannot be read."""
    limit = _BATCH
    while limit:
        try:
            return store.read_raw(after, limit, until)
        except StoreDamagedError:
            limit //= 2
    return None


def _next(store: Store, after: int, until: int) -> int:
    """Return the first position from which on there is something to read, at most ``until``."""
    fails, step = after - 1, 1
    while after < until and not _reads(store, after, until):
        fails, after, step = after, min(until, after + step), step * 2
    while fails + 1 < after:
        between = (fails + after) // 2
        if _reads(store, between, until):
            after = between
        else:
            fails = between
    return after


def _reads(store: Store, after: int, until: int) -> bool:
    try:
        store.read_raw(after, 1, until)
    except StoreDamagedError:
        return False
    return True


def head_of(store: Store) -> int | None:
    """Return the last position, None where the database cannot tell it."""
    try:
        return store.head()
    except StoreDamagedError:
        return None


OnProgress = Callable[[str, int, int | None], None]


class Salvage:
    """All that can be read of a log, in its order, and what between cannot.

    ``store`` is None where the database cannot even be opened; ``file`` is that of SQLite, None for
    PostgreSQL. ``advance`` is told what is done, how much of it and of how much.
    """

    def __init__(self, store: Store | None, file: Path | None, advance: OnProgress) -> None:
        self._store, self._file, self._advance = store, file, advance
        self._until = head_of(store) if store else None
        if store and self._until is not None and file and _indexed_end(store) > self._until:
            self._until = None  # the last page is broken: what it tells is not the end
        self._missing: list[LostEvents] = []
        if store is None or self._until is None:
            self._missing.append(LostEvents(1, _BEYOND))
            return
        last, gaps = 0, []
        for part in read_around(store, self._until):
            if isinstance(part, LostEvents):
                self._missing.append(part)
                last = part.last
                continue
            for event in part:
                if event.position > last + 1:
                    gaps.append(LostEvents(last + 1, event.position - 1))
                last = event.position
            advance("read", last, self._until)
        if gaps and file:
            self._missing = sorted(self._missing + _known_in(store, gaps))

    def parts(self) -> Iterator[list[RawEvent] | LostEvents]:
        """Yield events and losses in log order; each call reads all of it anew."""
        if self._store is None or self._until is None:
            yield from _from_pages(self._file, self._missing, self._advance)
            return
        # Few, so that they are held: all but what stands on pages that are damaged.
        rescued = list(_from_pages(self._file, self._missing, self._advance))
        for part in read_around(self._store, self._until):
            if isinstance(part, LostEvents):
                continue
            events = part
            while rescued and _start(rescued[0]) < part[-1].position:
                cut = bisect_left(events, _start(rescued[0]), key=_position)
                if cut:
                    yield events[:cut]
                events = events[cut:]
                yield rescued.pop(0)
            yield events
            self._advance("write", part[-1].position, self._until)
        yield from rescued


def _known_in(store: Store, gaps: list[LostEvents]) -> list[LostEvents]:
    """Return the parts of gaps in which there were events, as far as the index knows.

    A log that came from PostgreSQL has gaps in which there never were any.
    """
    try:
        known = store.indexed_positions()
    except StoreDamagedError:
        return gaps
    lost: list[LostEvents] = []
    for first, last in gaps:
        for position in known[bisect_left(known, first) : bisect_right(known, last)]:
            if lost and lost[-1].last + 1 == position:
                lost[-1] = LostEvents(lost[-1].first, position)
            else:
                lost.append(LostEvents(position, position))
    return lost


def _indexed_end(store: Store) -> int:
    """Return the last position that the index knows, 0 where it cannot be read."""
    try:
        return max(store.indexed_positions(), default=0)
    except StoreDamagedError:
        return 0


def _start(part: list[RawEvent] | LostEvents) -> int:
    return part.first if isinstance(part, LostEvents) else part[0].position


def _from_pages(
    file: Path | None, missing: Sequence[LostEvents], advance: OnProgress
) -> Iterator[list[RawEvent] | LostEvents]:
    """Yield what the pages have of missing positions, and what they have not, in log order."""
    if file is None or not missing:
        yield from missing
        return
    firsts = [one.first for one in missing]

    def range_of(position: int) -> int:
        at = bisect_right(firsts, position) - 1
        return at if at >= 0 and position <= missing[at].last else -1

    at, expected = 0, firsts[0]
    for row in Leaves(file).rows(
        lambda position: range_of(position) >= 0, lambda done, of: advance("pages", done, of)
    ):
        while row.position > missing[at].last:
            if expected <= missing[at].last:
                yield LostEvents(expected, missing[at].last)
            at += 1
            expected = firsts[at]
        if row.position > expected:
            yield LostEvents(expected, row.position - 1)
        one = row.stream_id
        stream = f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}"
        yield [RawEvent(row.position, stream, row.version, row.topic, row.state)]
        expected = row.position + 1
    for rest in missing[at:]:
        if (first := max(expected, rest.first)) <= rest.last < _BEYOND:
            yield LostEvents(first, rest.last)
