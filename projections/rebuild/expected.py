"""What a generation should show, folded from the log."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

from commands.event_store.event_codec import RecordedEvent
from commands.event_store.store import Store
from projections.generation.reader import NAMES, Fields, fields_of, id_in
from projections.rebuild.replay import Usernames, fold_streams, whole_streams

ExpectedFields = dict[str, Fields]


class ExpectedFromLog:
    """The ``Expected`` of a log, first up to ``until``.

    Of ``given_up`` streams that cannot be applied there is nothing but the mark that says so.
    """

    def __init__(self, store: Store, until: int, given_up: Collection[str] = ()) -> None:
        self._store = store
        self._until = until
        self._given_up = given_up
        self._names = Usernames(store)
        self._counts: Counter[str] = Counter()

    def all(self) -> Iterator[ExpectedFields]:
        """Yield everything, stream by stream."""
        self._counts.clear()
        for events in whole_streams(self._store, self._until):
            kept, tally = self._fold(events)
            self._counts += tally
            yield kept

    def at(self, position: int, name: str, fields: Collection[bytes]) -> Fields:
        """Return what there is of some fields at a position."""
        wanted: Fields = {}
        for kept, _ in self._streams({id_in(name, field) for field in fields}, position):
            wanted |= kept.get(name, {})
        return {field: wanted[field] for field in fields if field in wanted}

    def counts(self, position: int) -> dict[str, int]:
        """Return how much there is of all that was yielded, at a position later than the last."""
        touched: set[str] = set()
        after = self._until
        while events := self._store.read(after, until=position):
            after = events[-1].position
            touched.update(event.stream_id for event in events)
        for before, sign in ((self._until, -1), (position, 1)):
            for _, tally in self._streams(touched, before):
                for name, number in tally.items():
                    self._counts[name] += sign * number
        self._until = position
        return {name: self._counts[name] for name in ("events", *NAMES)}

    def _streams(
        self, ids: Iterable[str], until: int
    ) -> Iterator[tuple[ExpectedFields, Counter[str]]]:
        for one in sorted(ids):
            try:
                stream = self._store.read_stream(UUID(one))
            except ValueError:  # what is no id has no events
                continue
            yield self._fold([event for event in stream if event.position <= until])

    def _fold(self, events: list[RecordedEvent]) -> tuple[ExpectedFields, Counter[str]]:
        changes = fold_streams(events, self._names)
        kept = fields_of(changes.writes)
        for key in changes.refused.keys() & self._given_up:
            for name, fields in kept.items():
                if name != "parked":
                    for field in [field for field in fields if id_in(name, field) == key]:
                        del fields[field]
        tally = Counter({name: len(fields) for name, fields in kept.items()})
        tally["events"] = changes.applied
        return kept, tally
