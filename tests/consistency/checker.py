"""The checker: whether a recorded history is consistent with the log.

Every write is answered with its position and every read names one, so the order of the events is
given. It need not be searched for: checking takes two sorts, one by time and one by position.

1. ``log``: positions increase; the versions of a movie are 1, 2, 3 and so on; every event is of a
   recorded write.
2. ``lost``, ``doubled``, ``refused``: an acknowledged write is in the log once, one of unknown
   outcome at most once, a refused one never. The answer names the version of its event.
3. ``order``: a write that began after an answer has a greater position than the answer named.
4. ``stale``: a read that begins after a write was acknowledged shows its position. A write that was
   answered with ``Read-Model: behind`` promises this to the log's readers only.
5. ``future``: a read does not show a write that began after it ended.
6. ``session``: a client that sends the last position it saw is never shown less.
7. ``row``, ``page``: a read shows at least what its position promises; a page of the newest movies
   has exactly those, and its count is the log's.
8. ``model``: in the end the rows of the read model equal the log.
9. ``error``: no answer has a status of 500 to 599 but 503.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from operator import attrgetter
from typing import NamedTuple

from tests.consistency.history import HISTORY, LIST, READ, WRITES, Event, History, Operation, Row


class Violation(NamedTuple):
    """A rule that the history breaks, where, and by which operation."""

    rule: str
    text: str
    operation: Operation | None = None

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}" + (f"\n    {self.operation}" if self.operation else "")


def check(history: History) -> list[Violation]:
    """Return every violation of the rules, none for a consistent history."""
    log = _Log(history)
    return [
        *_broken_log(log),
        *_writes(log),
        *_real_time(history.operations, log),
        *_sessions(history.operations),
        *_promises(history.operations, log),
        *_final_rows(history.rows, log),
        *(
            Violation("error", f"status {one.status}", one)
            for one in history.operations
            if one.status is not None and one.status >= 500 and one.status != 503
        ),
    ]


class _Log:
    """The log by movie and by write, and the attempts of each write."""

    def __init__(self, history: History) -> None:
        self.events = history.log
        self.of_movie: dict[str, list[Event]] = defaultdict(list)
        self.of_write: dict[str, list[Event]] = defaultdict(list)
        self.attempts: dict[str, list[Operation]] = defaultdict(list)
        self.began: dict[str, int] = {}
        """When the first attempt of each write began."""
        for event in history.log:
            self.of_movie[event.movie].append(event)
            self.of_write[event.write].append(event)
        for one in history.operations:
            if one.write:
                self.attempts[one.write].append(one)
                self.began[one.write] = min(one.began, self.began.get(one.write, one.began))

    def event(self, row: Row) -> Event | None:
        """Return the event that a row shows."""
        events = self.of_movie.get(row.movie, ())
        event = events[row.version - 1] if 0 < row.version <= len(events) else None
        return event if event and event.title == row.title else None

    def began_after(self, event: Event, time: int) -> bool:
        """Return whether the write of an event began after a time."""
        return self.began.get(event.write, 0) > time


def _broken_log(log: _Log) -> Iterator[Violation]:
    last = 0
    for event in log.events:
        if event.position <= last:
            yield Violation("log", f"{event} after position {last}")
        last = event.position
        if event.write not in log.attempts:
            yield Violation("log", f"{event} is of no recorded write")
    for movie, events in log.of_movie.items():
        versions = [event.version for event in events]
        if versions != list(range(1, len(events) + 1)):
            yield Violation("log", f"movie {movie} has the versions {versions}")


def _writes(log: _Log) -> Iterator[Violation]:
    for write, attempts in log.attempts.items():
        events = log.of_write.get(write, ())
        acknowledged = [one for one in attempts if one.acknowledged]
        if len(events) > 1:
            yield Violation("doubled", f"{len(events)} events", attempts[0])
        elif acknowledged and not events:
            yield Violation("lost", "an acknowledged write is not in the log", acknowledged[0])
        elif events and not acknowledged and not any(one.unknown for one in attempts):
            yield Violation("refused", f"a refused write is in the log as {events[0]}", attempts[0])
        for one in acknowledged if events else ():
            event = events[0]
            # A deletion is answered without a version; a keyed creation with its claim's position.
            same = one.movie == event.movie and one.version in (0, event.version)
            if not same or one.position < event.position:
                yield Violation("lost", f"the answer does not name {event}", one)


def _real_time(operations: list[Operation], log: _Log) -> Iterator[Violation]:
    answers = sorted((one for one in operations if one.position), key=attrgetter("ended"))
    ends = [one.ended for one in answers]
    # The highest position that any answer named, and that the read model promised to show.
    known = [0, *accumulate((one.position for one in answers), max)]
    promised = (one.position if one.kind in WRITES and not one.behind else 0 for one in answers)
    shown = [0, *accumulate(promised, max)]
    for write, attempts in log.attempts.items():
        before = known[bisect_left(ends, log.began[write])]
        for event in log.of_write.get(write, ()):
            if event.position <= before:
                text = f"{event} of a write that began after position {before} was answered"
                yield Violation("order", text, attempts[0])
    for one in operations:
        index = bisect_left(ends, one.began)
        if one.acknowledged and one.kind not in WRITES:
            floor = (known if one.kind == HISTORY else shown)[index]
            if one.position < floor:
                yield Violation("stale", f"position {floor} was acknowledged before", one)
        elif one.status == 404:
            floor = (known if one.kind in WRITES else shown)[index]
            if _is_live_throughout(log, one, floor):
                yield Violation("stale", f"the movie existed since before position {floor}", one)


def _is_live_throughout(log: _Log, one: Operation, floor: int) -> bool:
    """Return whether a movie existed at a position and no deletion began before the end."""
    events = log.of_movie.get(one.movie, ())
    if not events or events[0].position > floor:
        return False
    deletions = (event for event in events if event.title is None)
    return all(log.began_after(event, one.ended) for event in deletions)


def _sessions(operations: list[Operation]) -> Iterator[Violation]:
    for one in operations:
        if one.acknowledged and one.least is not None and one.position < one.least:
            yield Violation("session", f"position {one.least} was seen before", one)


def _promises(operations: Iterable[Operation], log: _Log) -> Iterator[Violation]:
    """Compare each read with the log at its position, all in the order of positions."""
    reads = [one for one in operations if one.acknowledged and one.kind not in WRITES]
    reads.sort(key=attrgetter("position"))
    events, reached = log.events, 0
    versions: dict[str, int] = {}
    live: list[tuple[str, str]] = []  # in the order of lists, oldest first
    for one in reads:
        while reached < len(events) and events[reached].position <= one.position:
            event = events[reached]
            key = log.of_movie[event.movie][0].at, event.movie
            place = bisect_left(live, key)
            is_live = live[place : place + 1] == [key]
            if event.title is None and is_live:
                live.pop(place)
            elif event.title is not None and not is_live:
                live.insert(place, key)
            versions[event.movie] = event.version
            reached += 1
        if one.kind == LIST:
            yield from _page(one, live)
        elif one.kind == READ and not one.rows:
            yield Violation("row", "the answer has no movie", one)
        elif one.kind == HISTORY and len(one.rows) < versions.get(one.movie, 0):
            yield Violation("row", f"version {versions[one.movie]} is missing", one)
        for row in one.rows:
            yield from _row(one, row, versions.get(row.movie, 0), log)


def _page(one: Operation, live: list[tuple[str, str]]) -> Iterator[Violation]:
    newest = [movie for _, movie in live[: -one.size - 1 : -1]]
    if one.count != len(live):
        yield Violation("page", f"{len(live)} movies at position {one.position}", one)
    elif [row.movie for row in one.rows] != newest:
        yield Violation("page", f"the newest at position {one.position} are {newest}", one)


def _row(one: Operation, row: Row, version: int, log: _Log) -> Iterator[Violation]:
    event = log.event(row)
    if event is None:
        yield Violation("row", f"{row} is not in the log", one)
    elif one.kind != HISTORY and row.version < version:
        yield Violation("row", f"{row}: version {version} at position {one.position}", one)
    elif log.began_after(event, one.ended):
        yield Violation("future", f"{row} of a write that began later", one)


def _final_rows(rows: Iterable[Row], log: _Log) -> Iterator[Violation]:
    expected = {
        movie: Row(movie, events[-1].version, events[-1].title)
        for movie, events in log.of_movie.items()
        if events[-1].title is not None
    }
    for row in rows:
        if expected.pop(row.movie, None) != row:
            yield Violation("model", f"{row} is not the last state in the log, or there twice")
    for row in expected.values():
        yield Violation("model", f"{row} is missing in the read model")
