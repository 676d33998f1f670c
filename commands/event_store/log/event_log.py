"""The log in the database: its events in order, its identity, and the lock against other writers.

A *position* (the library's notification id) is an event's place in the log and orders everything.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.domain import Aggregate
from eventsourcing.persistence import IntegrityError

from commands.aggregates.event_types import EVENT_TYPES
from commands.database.database_errors import translating_db_errors
from commands.database.integrity_check import Integrity
from commands.errors import StoreDamagedError
from commands.event_store.event_codec import (
    RawEvent,
    RecordedEvent,
    Row,
    decode_rows,
    raw_event,
    stream_id_of,
    timestamp_in,
)
from commands.event_store.log.log_identity import LogIdentity


class LogMark(NamedTuple):
    """The name of an event at a position; another event there has another name."""

    position: int
    name: str

    @property
    def timestamp(self) -> str:
        """When the event happened, "" if it does not tell."""
        return self.name.partition("@")[2]


class LogSnapshot(NamedTuple):
    """Parts of the log, read at one moment."""

    epoch: tuple[str, int] | None
    """UUID and number of the newest epoch; None for a log without an identity."""
    mark: LogMark | None
    """The event at the requested position."""
    last: LogMark | None
    """The last event; None for an empty log."""


class EventLog:
    """Reads the log. Safe to share between threads.

    Every call raises EventStoreUnavailableError, or StoreDamagedError for a damaged database.
    """

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        self.integrity = Integrity(recorder)
        """Finds out whether the database is damaged."""
        self.damage = self.integrity.damage
        """Known damage of the database; a damaged one takes no writes."""
        self._translating = partial(translating_db_errors, damage=self.damage)

    @contextmanager
    def writer_lock(self) -> Iterator[None]:
        """Exclude other writers, of all processes; may be nested in a thread."""
        self.damage.check()
        with self._translating(but=IntegrityError), self._recorder.writer_lock():
            yield

    def read(self, after: int, limit: int = 1000, until: int | None = None) -> list[RecordedEvent]:
        """Return up to ``limit`` events after a position (and up to ``until``), in log order."""
        return decode_rows(self._rows(after, limit, until))

    def read_raw(self, after: int, limit: int, until: int) -> list[RawEvent]:
        """Return what ``read`` returns, undecoded."""
        return [raw_event(row) for row in self._rows(after, limit, until)]

    def read_timestamps(self, after: int, limit: int) -> list[tuple[int, str]]:
        """Return positions and timestamps of what ``read`` returns, at a fraction of its cost.

        A timestamp is RFC 3339 text, "" if the event has none.
        """
        return [(row[0], timestamp_in(row[4])) for row in self._rows(after, limit, None)]

    def _rows(self, after: int, limit: int, until: int | None) -> list[Row]:
        """Return rows in log order. Raises StoreDamagedError if a damaged page breaks the order."""
        with self._translating():
            rows: list[Row] = self._recorder.select_rows(after, limit, until)
        positions = [row[0] for row in rows]
        if positions and (positions[0] <= after or positions != sorted({*positions})):
            reason = "events stand out of order"
            self.damage.report(reason)
            raise StoreDamagedError(reason)
        return rows

    def read_types(self, types: Collection[str], after: int, until: int) -> list[RecordedEvent]:
        """Return the events of some types in a range of positions, in log order.

        The database looks at each row in the range.
        """
        with self._translating():
            return decode_rows(self._recorder.select_types(list(types), after, until))

    def read_by_stream(self, after: tuple[str, int], limit: int = 1000) -> list[RecordedEvent]:
        """Return up to ``limit`` events after a stream's version, ordered by stream and version.

        The order of stream ids is the order of creation for movies.
        """
        with self._translating():
            return decode_rows(self._recorder.select_by_stream(after, limit))

    def read_stream(
        self, stream_id: UUID, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Return one aggregate's events after a version, oldest first."""
        with self._translating():
            return decode_rows(self._recorder.select_stream(str(stream_id), after_version, limit))

    def read_types_of(
        self, stream_ids: Collection[str], types: Collection[str]
    ) -> list[RecordedEvent]:
        """Return the events of some types of some aggregates, those of each oldest first."""
        with self._translating():
            return decode_rows(self._recorder.select_types_of(list(stream_ids), list(types)))

    def existing(self, stream_ids: Collection[UUID]) -> set[UUID]:
        """Return those streams that have an event."""
        with self._translating():
            found = self._recorder.select_existing([str(one) for one in stream_ids])
        return {UUID(one) for one in found}

    def last_version(self, kind: type[Aggregate], stream_id: UUID) -> int:
        """Return the number of events in a stream; 0 if it is empty or of another kind."""
        first = self.read_stream(stream_id, limit=1)
        if not first or EVENT_TYPES.get(first[0].type) not in vars(kind).values():
            return 0
        with self._translating():
            (last,) = self._recorder.select_events(stream_id, desc=True, limit=1)
        return int(last.originator_version)

    def head(self) -> int:
        """Return the last position, 0 for an empty log."""
        with self._translating():
            return self._recorder.max_notification_id() or 0

    def count(self) -> int:
        """Return the number of stored events."""
        with self._translating():
            return int(self._recorder.count_rows())

    def snapshot(self, position: int = 0) -> LogSnapshot:
        """Return the newest epoch, the event at a position and the last one."""
        with self._translating():
            epoch, rows = self._recorder.select_continuity(position)
        marks = {row[0]: _mark_of(row) for row in rows}
        return LogSnapshot(epoch, marks.get(position), marks[max(marks)] if marks else None)

    def mark_at(self, position: int) -> LogMark | None:
        """Return the mark of the event at a position, None if there is no event."""
        return self.snapshot(position).mark

    def read_identity(self) -> LogIdentity | None:
        """Return the stored identity of the log, None if it has none yet."""
        with self._translating():
            rows = self._recorder.select_epochs()
        return LogIdentity.of_rows(rows[0][0], (row[1:] for row in rows)) if rows else None

    def write_identity(self, identity: LogIdentity) -> None:
        """Replace the stored identity of the log. Requires the writer lock."""
        self.damage.check()
        with self._translating():
            self._recorder.replace_epochs(identity.stored_rows)

    def floor(self, read_model: str) -> int:
        """Return the lowest generation that a read model may show, 0 if none is stored."""
        with self._translating():
            return int(self._recorder.select_floor(read_model))

    def raise_floor(self, read_model: str, generation: int) -> None:
        """Let a read model show no lower generation any more."""
        self.damage.check()
        with self._translating():
            self._recorder.raise_floor(read_model, generation)

    def indexed_positions(self) -> list[int]:
        """Return the positions in the index of a SQLite store, ascending."""
        with self._translating():
            return sorted(self._recorder.select_indexed())

    def torn_streams(self) -> list[tuple[str, int]]:
        """Return up to 100 streams that lack an event, each with its last position."""
        with self._translating():
            rows: list[Row] = self._recorder.select_torn(100)
        return [(stream_id_of(stream), position) for stream, position in rows]


def _mark_of(row: Row) -> LogMark:
    position, stream, version, _, state = row
    return LogMark(position, f"{stream_id_of(stream)}:{version}@{timestamp_in(state)}")
