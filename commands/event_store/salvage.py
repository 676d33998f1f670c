"""Salvage: reads everything readable from a damaged log, and checks what it reads.

The database is asked first, in ever smaller batches. A position that it cannot read is looked up in
the pages of a SQLite file directly, because a broken tree hides more than is lost.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from commands.errors import StoreDamagedError
from commands.event_store.event_codec import RawEvent, decoding_problem
from commands.event_store.sqlite.leaves import LeafPages
from commands.event_store.store import Store

_BATCH = 1_000
_UNBOUNDED = 1 << 62
_position = attrgetter("position")
OnProgress = Callable[[str, int, int | None], None]


class LostEvents(NamedTuple):
    """Positions, from the first to the last, whose events cannot be read."""

    first: int
    last: int


class EventProblem(NamedTuple):
    """A problem of the events from one position to another, which may be the same."""

    first: int
    last: int
    problem: str


Part = list[RawEvent] | LostEvents


def check_events(store: Store, advance: Callable[[int, int], None]) -> Iterator[EventProblem]:
    """Yield unreadable events and incomplete streams, in log order.

    ``advance`` is called with each position that was reached, and the last one.
    """
    until = _head(store)
    if until is None:
        yield EventProblem(0, 0, "the end of the log cannot be read")
        return
    for part in _read_parts(store, until):
        if isinstance(part, LostEvents):
            yield EventProblem(part.first, part.last, "cannot be read")
            continue
        for event in part:
            if problem := decoding_problem(event):
                yield EventProblem(event.position, event.position, problem)
        advance(part[-1].position, until)
    try:
        torn = store.torn_streams()
    except StoreDamagedError as error:
        yield EventProblem(0, 0, f"streams cannot be counted: {error.reason}")
        return
    for stream, position in torn:
        problem = f"its stream {stream} lacks an event before or after it"
        yield EventProblem(position, position, problem)


class Salvage:
    """The readable events of a log, in its order, and the lost positions between them.

    ``store`` is None if the database cannot be opened; ``file`` is the file of SQLite, None for
    PostgreSQL. ``advance`` is called with a phase, the work done and all its work.
    """

    def __init__(self, store: Store | None, file: Path | None, advance: OnProgress) -> None:
        self._store, self._file, self._advance = store, file, advance
        self._until = _head(store) if store else None
        if store and self._until is not None and file and _indexed_end(store) > self._until:
            self._until = None  # the last page is broken: its last event is not the end of the log
        self._missing: list[LostEvents] = []
        if store is None or self._until is None:
            self._missing.append(LostEvents(1, _UNBOUNDED))
            return
        last, gaps = 0, []
        for part in _read_parts(store, self._until):
            if isinstance(part, LostEvents):
                self._missing.append(part)
                last = part.last
                continue
            for event in part:
                if event.position > last + 1:
                    gaps.append(LostEvents(last + 1, event.position - 1))
                last = event.position
            advance("read", last, self._until)
        if file:
            # A broken tree may hide the end of the log without an error.
            behind = LostEvents(self._until + 1, _UNBOUNDED)
            self._missing = sorted([*self._missing, *_indexed_in(store, gaps), behind])

    def parts(self) -> Iterator[Part]:
        """Yield events and losses in log order; each call reads the log again."""
        if self._store is None or self._until is None:
            yield from self._parts_of_pages()
            return
        # Only events of damaged pages: few enough to keep in memory.
        salvaged = list(self._parts_of_pages())
        for part in _read_parts(self._store, self._until):
            if isinstance(part, LostEvents):
                continue
            events = part
            while salvaged and _start(salvaged[0]) < part[-1].position:
                cut = bisect_left(events, _start(salvaged[0]), key=_position)
                if cut:
                    yield events[:cut]
                events = events[cut:]
                yield salvaged.pop(0)
            yield events
            self._advance("write", part[-1].position, self._until)
        yield from salvaged

    def _parts_of_pages(self) -> Iterator[Part]:
        """Yield the missing positions in log order: events found in the pages, and losses."""
        missing = self._missing
        if self._file is None or not missing:
            yield from missing
            return
        firsts = [one.first for one in missing]

        def is_missing(position: int) -> bool:
            at = bisect_right(firsts, position) - 1
            return at >= 0 and position <= missing[at].last

        at, expected = 0, firsts[0]
        events = LeafPages(self._file).events(
            is_missing, lambda done, of: self._advance("pages", done, of)
        )
        for event in events:
            while event.position > missing[at].last:
                if expected <= missing[at].last:
                    yield LostEvents(expected, missing[at].last)
                at += 1
                expected = firsts[at]
            if event.position > expected:
                yield LostEvents(expected, event.position - 1)
            yield [event]
            expected = event.position + 1
        for rest in missing[at:]:
            if (first := max(expected, rest.first)) <= rest.last < _UNBOUNDED:
                yield LostEvents(first, rest.last)


def _read_parts(store: Store, until: int) -> Iterator[Part]:
    """Yield what the database can read up to a position, and the positions that it cannot."""
    position = 0
    while position < until:
        events = _read_some(store, position, until)
        if events is None:
            last = _first_readable(store, position + 1, until)
            yield LostEvents(position + 1, last)
            position = last
        elif events:
            yield events
            position = events[-1].position
        else:  # a broken tree that leads nowhere
            yield LostEvents(position + 1, until)
            return


def _read_some(store: Store, after: int, until: int) -> list[RawEvent] | None:
    """Return events after a position, None if the next one cannot be read."""
    limit = _BATCH
    while limit:
        try:
            return store.read_raw(after, limit, until)
        except StoreDamagedError:
            limit //= 2
    return None


def _first_readable(store: Store, after: int, until: int) -> int:
    """Return the first position after which a read succeeds, at most ``until``."""
    fails, step = after - 1, 1
    while after < until and not _is_readable(store, after, until):
        fails, after, step = after, min(until, after + step), step * 2
    while fails + 1 < after:
        between = (fails + after) // 2
        if _is_readable(store, between, until):
            after = between
        else:
            fails = between
    return after


def _is_readable(store: Store, after: int, until: int) -> bool:
    try:
        store.read_raw(after, 1, until)
    except StoreDamagedError:
        return False
    return True


def _head(store: Store) -> int | None:
    try:
        return store.head()
    except StoreDamagedError:
        return None


def _indexed_in(store: Store, gaps: list[LostEvents]) -> list[LostEvents]:
    """Return the parts of gaps that had events, according to the index.

    A log that came from PostgreSQL has gaps that never had any.
    """
    if not gaps:
        return []
    try:
        indexed = store.indexed_positions()
    except StoreDamagedError:
        return gaps
    lost: list[LostEvents] = []
    for first, last in gaps:
        for position in indexed[bisect_left(indexed, first) : bisect_right(indexed, last)]:
            if lost and lost[-1].last + 1 == position:
                lost[-1] = LostEvents(lost[-1].first, position)
            else:
                lost.append(LostEvents(position, position))
    return lost


def _indexed_end(store: Store) -> int:
    try:
        return max(store.indexed_positions(), default=0)
    except StoreDamagedError:
        return 0


def _start(part: Sequence[RawEvent] | LostEvents) -> int:
    return part.first if isinstance(part, LostEvents) else part[0].position
