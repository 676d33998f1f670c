"""Event codec: how an event is stored, and how stored rows are read.

The fields of an event are one flat JSON object; times are RFC 3339 text. The library writes events
and loads aggregates through ``OrjsonTranscoder``. Reads of the log decode rows directly: a replay
decodes millions.
"""

import re
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder
from eventsourcing.utils import TopicError

from commands.aggregates.event_types import CURRENT_VERSIONS, DECODE_ERRORS, upcast
from commands.rfc3339 import is_timestamp, rfc3339

UNREADABLE = "unreadable"
# As this transcoder writes it; other writers may add spaces. No text of another field can look like
# this: its quotes are escaped.
_TIMESTAMP = re.compile(
    rb'"timestamp":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)"'
)
Row = tuple[Any, ...]
"""Position, stream id, version, type and fields of an event, as a database returns them."""


class OrjsonTranscoder(Transcoder):
    """Five times as fast as the library's default transcoder.

    A field that is None is not stored: the event class has the default.
    """

    def encode(self, obj: Any) -> bytes:
        """Return the stored bytes of an event's fields."""
        stored = {name: value for name, value in obj.items() if value is not None}
        stored["timestamp"] = rfc3339(stored["timestamp"])
        return orjson.dumps(stored)

    def decode(self, data: bytes) -> Any:
        """Return an event's fields. Raises ValueError for a timestamp of another format."""
        stored = orjson.loads(data)
        if not is_timestamp(stored["timestamp"]):
            raise ValueError("the timestamp has another format")
        stored["timestamp"] = datetime.fromisoformat(stored["timestamp"])
        return stored


class RecordedEvent(NamedTuple):
    """A decoded event of the log."""

    position: int
    """Its place in the whole log, from 1; PostgreSQL leaves gaps."""
    stream_id: str
    """The aggregate's id, with dashes."""
    version: int
    """Its number within the aggregate, from 1."""
    type: str
    """Its stored name, such as ``MovieCreated``."""
    data: dict[str, Any]
    """Its fields; ``timestamp`` is RFC 3339 text. An unreadable event has only the key
    ``UNREADABLE``, holding the reason."""


class RawEvent(NamedTuple):
    """An event as it is stored; the other fields are those of ``RecordedEvent``."""

    position: int
    stream_id: str
    version: int
    type: str
    state: bytes
    """The fields, byte for byte."""


def decode_rows(rows: list[Row]) -> list[RecordedEvent]:
    """Return the events of rows, brought up to their current class versions."""
    loads, current = orjson.loads, CURRENT_VERSIONS.get
    new = tuple.__new__  # a third of the time of RecordedEvent(): a replay makes millions
    events = []
    for position, stream, version, topic, state in rows:
        try:
            if type(version) is not int or type(topic) is not str:
                raise ValueError("its columns are not what was written")
            data = loads(state)
            stored_version = data.pop("class_version", 1)  # the library omits the first
            if stored_version != current(topic, stored_version):
                upcast(topic, data, stored_version)
        except DECODE_ERRORS as error:
            data = {UNREADABLE: f"{type(error).__name__}: {error}"}
            version, topic = version if type(version) is int else 0, str(topic)  # noqa: PLW2901
        events.append(new(RecordedEvent, (position, stream_id_of(stream), version, topic, data)))
    return events


def raw_event(row: Row) -> RawEvent:
    """Return the event of a row, undecoded."""
    position, stream, *columns = row
    return RawEvent(position, stream_id_of(stream), *columns)


def decoding_problem(event: RawEvent) -> str | None:
    """Return why an event cannot be decoded, without any of its content; None if it can."""
    _, stream, version, topic, state = event
    if type(version) is not int or type(topic) is not str or type(state) is not bytes:
        return "its columns are not what was written"
    try:
        _MAPPER.to_domain_event(StoredEvent(UUID(stream), version, topic, state))
    except (TopicError, *DECODE_ERRORS) as error:
        return f"it cannot be decoded ({type(error).__name__})"
    return None


_MAPPER: Mapper[UUID] = Mapper(OrjsonTranscoder())


def timestamp_in(state: bytes | str) -> str:
    """Return the timestamp in stored fields, "" if there is none."""
    state = state.encode() if isinstance(state, str) else state  # another tool may write text
    if match := _TIMESTAMP.search(state):
        return match[1].decode()
    try:
        timestamp = orjson.loads(state)["timestamp"]
    except DECODE_ERRORS:
        return ""
    return timestamp if is_timestamp(timestamp) else ""


def stream_id_of(stream: Any) -> str:
    """Return a stream id with dashes; SQLite stores 32 hex digits, PostgreSQL returns a UUID."""
    if type(stream) is str:
        return f"{stream[:8]}-{stream[8:12]}-{stream[12:16]}-{stream[16:20]}-{stream[20:]}"
    return str(stream)
