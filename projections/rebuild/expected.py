"""The expected state of a generation, folded from the log."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

from commands.event_store.event_codec import RecordedEvent
from commands.event_store.store import Store
from projections.generation.reader import NAMES, Fields, count, fields_of, id_in, scan
from projections.generation.state import Generation
from projections.rebuild.replay import Usernames, fold_streams, whole_streams


class ExpectedState:
    """The fields that each key of a generation must have, at any position of the log.

    Of a ``discarded`` stream only its entry in ``parked`` is expected. A generation that was
    ``replayed`` up to ``position`` and takes no events saves folding the whole log again.
    """

    def __init__(
        self,
        store: Store,
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

    def parts(self) -> Iterator[dict[str, Fields]]:
        """Yield all fields by key, a part at a time, as of about ``position``."""
        if self._replayed is not None:
            for name in NAMES:
                for fields in scan(self._replayed, name):
                    yield {name: fields}
            return
        self._counts.clear()
        for events in whole_streams(self._store, self._position):
            fields_by_key, counts = self._fold(events)
            self._counts += counts
            yield fields_by_key

    def at(self, position: int, name: str, fields: Collection[bytes]) -> Fields:
        """Return those of ``fields`` that a key must have at a position."""
        expected: Fields = {}
        for fields_by_key, _ in self._streams({id_in(field) for field in fields}, position):
            expected |= fields_by_key.get(name, {})
        return {field: expected[field] for field in fields if field in expected}

    def counts(self, position: int) -> dict[str, int]:
        """Return the number of fields by key, and of ``events``, at a position.

        Requires that ``parts`` are exhausted.
        """
        touched: set[str] = set()
        after, end = sorted((self._position, position))
        while events := self._store.read(after, until=end):
            after = events[-1].position
            touched.update(event.stream_id for event in events)
        for until, sign in ((self._position, -1), (position, 1)):
            for _, counts in self._streams(touched, until):
                for name, number in counts.items():
                    self._counts[name] += sign * number
        self._position = position
        return {name: self._counts[name] for name in ("events", *NAMES)}

    def _streams(
        self, ids: Iterable[str], until: int
    ) -> Iterator[tuple[dict[str, Fields], Counter[str]]]:
        for key in sorted(ids):
            events = read_stream(self._store, key, until)
            if events:
                yield self._fold(events)

    def _fold(self, events: list[RecordedEvent]) -> tuple[dict[str, Fields], Counter[str]]:
        """Return the fields of whole streams by key, and their numbers."""
        changes = fold_streams(events, self._usernames)
        fields_by_key = fields_of(changes.writes)
        for key in changes.refused.keys() & self._discarded:
            for name, fields in fields_by_key.items():
                if name != "parked":
                    for field in [field for field in fields if id_in(field) == key]:
                        del fields[field]
        counts = Counter({name: len(fields) for name, fields in fields_by_key.items()})
        counts["events"] = changes.applied
        return fields_by_key, counts


def read_stream(store: Store, key: str, until: int) -> list[RecordedEvent]:
    """Return the events of a stream up to a position; none for a ``key`` that is no id."""
    try:
        stream_id = UUID(key)
    except ValueError:
        return []
    return [event for event in store.read_stream(stream_id) if event.position <= until]
