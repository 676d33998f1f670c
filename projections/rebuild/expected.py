"""The expected state of a generation, folded from the log."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from commands.event_store.event_codec import RecordedEvent
from commands.event_store.log_reader import LogReader
from projections.generation.reader import NAMES, Fields, count, fields_of, id_in, read_days, scan
from projections.generation.state import Generation
from projections.rebuild.replay import Usernames, fold_streams, whole_streams


class Folded(NamedTuple):
    """What whole streams add to a generation."""

    fields: dict[str, Fields]
    """By key."""
    counts: Counter[str]
    """The number of fields by key, and of ``events``."""
    days: Counter[str]
    """The counts of days by field."""


class ExpectedState:
    """The fields that each key of a generation must have, at any position of the log.

    Of a ``discarded`` stream only its entry in ``parked`` is expected. A generation that was
    ``replayed`` up to ``position`` and takes no events saves folding the whole log again.
    """

    def __init__(
        self,
        store: LogReader,
        position: int,
        *,
        discarded: Collection[str] = (),
        replayed: Generation | None = None,
    ) -> None:
        self._store = store
        self._position = position
        self._discarded = discarded
        self._replayed = replayed
        self._usernames = Usernames(store)
        self._counts: Counter[str] = Counter(count(replayed).of if replayed else {})
        self._days: Counter[str] = Counter()
        if replayed is not None:
            days = read_days(replayed)[1]
            self._days.update({id_in(field): int(number) for field, number in days.items()})

    def parts(self) -> Iterator[dict[str, Fields]]:
        """Yield all fields by key, a part at a time, as of about ``position``."""
        if self._replayed is not None:
            for name in NAMES:
                for fields in scan(self._replayed, name):
                    yield {name: fields}
            return
        self._counts.clear()
        self._days.clear()
        for events in whole_streams(self._store, self._position):
            folded = self._fold(events)
            self._counts.update(folded.counts)
            self._days.update(folded.days)
            yield folded.fields

    def at(self, position: int, name: str, fields: Collection[bytes]) -> Fields:
        """Return those of ``fields`` that a key must have at a position."""
        self._store.require(position)
        expected: Fields = {}
        for folded in self._streams({id_in(field) for field in fields}, position):
            expected |= folded.fields.get(name, {})
        return {field: expected[field] for field in fields if field in expected}

    def counts(self, position: int) -> dict[str, int]:
        """Return the number of fields by key, and of ``events``, at a position.

        Requires that ``parts`` are exhausted.
        """
        self._move_to(position)
        return {name: self._counts[name] for name in ("events", *NAMES)}

    def days(self, position: int) -> Fields:
        """Return the counts of days at a position. Requires that ``parts`` are exhausted."""
        self._move_to(position)
        return {
            field.encode(): b"%d" % number for field, number in sorted(self._days.items()) if number
        }

    def _move_to(self, position: int) -> None:
        self._store.require(position)
        touched: set[str] = set()
        after, end = sorted((self._position, position))
        while events := self._store.read(after, until=end):
            after = events[-1].position
            touched.update(event.stream_id for event in events)
        for until, sign in ((self._position, -1), (position, 1)):
            for folded in self._streams(touched, until):
                for total, added in ((self._counts, folded.counts), (self._days, folded.days)):
                    for name, number in added.items():
                        total[name] += sign * number
        self._position = position

    def _streams(self, ids: Iterable[str], until: int) -> Iterator[Folded]:
        for key in sorted(ids):
            events = read_stream(self._store, key, until)
            if events:
                yield self._fold(events)

    def _fold(self, events: list[RecordedEvent]) -> Folded:
        changes = fold_streams(events, self._usernames)
        fields_by_key = fields_of(changes.writes)
        for key in changes.refused.keys() & self._discarded:
            for name, fields in fields_by_key.items():
                if name != "parked":
                    for field in [field for field in fields if id_in(field) == key]:
                        del fields[field]
        counts = Counter({name: len(fields) for name, fields in fields_by_key.items()})
        counts["events"] = changes.applied
        return Folded(fields_by_key, counts, Counter(changes.days))


def read_stream(store: LogReader, key: str, until: int) -> list[RecordedEvent]:
    """Return the events of a stream up to a position; none for a ``key`` that is no id."""
    try:
        stream_id = UUID(key)
    except ValueError:
        return []
    return [event for event in store.read_stream(stream_id) if event.position <= until]
