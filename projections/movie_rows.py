"""Folds events into the rows of the read model. Pure: no Redis, no clock.

A deleted movie leaves the rows. Its last JSON stays in ``gone``: the event that restores it names
neither its creator nor its time of creation.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import orjson

from commands.aggregates.movie import Movie, MovieDetails
from commands.aggregates.user import User
from commands.event_store.event_codec import UNREADABLE, RecordedEvent
from commands.text import fold as fold_text
from projections.records import (
    HEADER,
    dead_record,
    encode_record,
    first_record,
    pack,
)
from projections.row import CannotApplyError, Row, decode_row, microseconds, row_of

# Looked up once, not for each of a million events.
_MOVIE, _CREATED, _DETAILS = Movie.TOPIC, Movie.Created.TOPIC, MovieDetails._fields


class RedisWrite(NamedTuple):
    """A Redis command. Those of ``ReadModelChanges.writes`` may be repeated without harm."""

    command: str
    key: str
    """The stored name of the key, as ``Keys.named`` takes it."""
    args: list[Any]


class RequiredState(NamedTuple):
    """The ids whose state ``fold_batch`` needs, each once."""

    rows: list[str]
    deleted: list[str]
    users: list[str]


class PriorState(NamedTuple):
    """The state before a batch; ids without any are missing."""

    rows: Mapping[str, bytes]
    deleted: Mapping[str, bytes]
    users: Mapping[str, str]


class ReadModelChanges(NamedTuple):
    """The outcome of a batch."""

    writes: list[RedisWrite]
    applied: int
    """The number of events applied, those without a meaning here included."""
    days: dict[str, int]
    """The number of applied events of movies by field of ``Keys.days``."""
    records: bytes
    """The packed records of the movies that changed."""
    users: dict[str, str]
    """Accounts that the batch registered: id to username."""
    refused: dict[str, dict[str, Any]]
    """Streams that cannot be applied: id to the ``position``, ``type`` and ``error`` of the event.

    ``writes`` park them.
    """


def required_state(batch: Iterable[RecordedEvent], parked: Container[str] = ()) -> RequiredState:
    """Return the ids that must be in the ``PriorState`` of ``batch``."""
    seen: dict[str, str] = {}
    accounts: dict[str, None] = {}
    for _, key, _, topic, data in batch:
        if topic == _CREATED:
            if type(by := data.get("by")) is str:
                accounts[by] = None
        elif not topic.startswith(_MOVIE):
            continue
        if key not in seen and key not in parked:
            seen[key] = topic
    return RequiredState(
        [key for key, topic in seen.items() if topic in _CHANGE_A_ROW],
        [key for key, topic in seen.items() if topic == Movie.Restored.TOPIC],
        list(accounts),
    )


def fold_batch(
    batch: Sequence[RecordedEvent], prior: PriorState, parked: Container[str] = ()
) -> ReadModelChanges:
    """Fold events in log order into the changes of rows.

    Skips events of ``parked`` ids. Refuses an event that cannot be applied and all later ones of
    its movie; every other movie is folded as usual.
    """
    fold = _RowFold(prior)
    refused: dict[str, dict[str, Any]] = {}
    days: dict[str, int] = {}
    skipped = 0
    for position, key, version, topic, data in batch:
        if key in refused or key in parked:
            skipped += 1
            continue
        try:
            if (handler := HANDLERS.get(topic)) is not None:
                handler(fold, key, version, data)
                if topic in _COUNTED:
                    day = day_field(data["timestamp"], topic)
                    days[day] = days.get(day, 0) + 1
            elif topic.startswith(_MOVIE):
                raise CannotApplyError("an event of a later release")
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            skipped += 1
            refused[key] = {
                "position": position,
                "type": topic,
                "error": data.get(UNREADABLE) or f"{type(error).__name__}: {error}",
            }
    parking = {key: orjson.dumps(reason) for key, reason in refused.items()}
    writes, records = fold.changes()
    writes.append(RedisWrite("HSET", "parked", _flat(parking.items())))
    writes = [write for write in writes if write.args]
    return ReadModelChanges(writes, len(batch) - skipped, days, records, fold.users, refused)


def day_field(time: str, topic: str) -> str:
    """Return the field of ``Keys.days`` that counts an event."""
    return f"{time[:10]}:{topic}"


def count_days(events: Iterable[RecordedEvent]) -> Counter[str]:
    """Return the number of events by field of ``Keys.days``; all of them must be applicable."""
    return Counter(
        day_field(data["timestamp"], topic) for _, _, _, topic, data in events if topic in _COUNTED
    )


def increments(days: Mapping[str, int]) -> list[RedisWrite]:
    """Return the writes that add to the counts of days."""
    return [RedisWrite("HINCRBY", "days", [field, number]) for field, number in days.items()]


class _RowFold:
    """The movies and accounts of a batch, changed by one event after another."""

    def __init__(self, prior: PriorState) -> None:
        self._prior = prior
        self._rows: dict[str, Row] = {}
        self._deleted: dict[str, Row] = {}
        self.users: dict[str, str] = {}
        # Of movies created in this batch: parsing the time twice would cost more than all else.
        self._created_at_us: dict[str, int] = {}

    def created(self, key: str, version: int, data: Mapping[str, Any]) -> None:
        if key in self._rows or key in self._deleted:
            raise CannotApplyError("created twice")
        by, at, users = data["by"], data["timestamp"], self.users
        creator = users[by] if by in users else self._prior.users[by]
        row = row_of(key, data, creator, version=version, created_at=at, updated_at=at)
        self._created_at_us[key] = microseconds(at)
        self._rows[key] = _checked(row)

    def updated(self, key: str, version: int, data: Mapping[str, Any]) -> None:
        self._rows[key] = _checked(_changed(self._row(key), version, data))

    def deleted(self, key: str, version: int, data: Mapping[str, Any]) -> None:
        self._deleted[key] = _changed(self._row(key), version, data)
        self._rows.pop(key, None)

    def restored(self, key: str, version: int, data: Mapping[str, Any]) -> None:
        movie = (
            self._deleted[key] if key in self._deleted else orjson.loads(self._prior.deleted[key])
        )
        self._rows[key] = _checked(_changed(movie, version, data))
        self._deleted.pop(key, None)

    def registered(self, key: str, _version: int, data: Mapping[str, Any]) -> None:
        if type(username := data["username"]) is not str:
            raise CannotApplyError("the username is not a text")
        self.users[key] = username

    def _row(self, key: str) -> Row:
        return self._rows[key] if key in self._rows else decode_row(self._prior.rows[key])

    def changes(self) -> tuple[list[RedisWrite], bytes]:
        """Return the writes, and the packed records of all movies that changed."""
        listed, known = self._prior.rows, self._created_at_us
        encoded: dict[str, bytes] = {}
        records: list[bytes] = []
        for key, row in self._rows.items():
            if key in listed:
                created_us = HEADER.unpack_from(first_record(listed[key]))[0]
            else:
                created_us = known[key] if key in known else microseconds(row["created_at"])
            genre, creator = _cached_fold(row["genre"]), _cached_fold(row["creator"])
            texts = f"{fold_text(row['title'])}\0{genre}\0{creator}"
            record = pack(encode_record(created_us, row["year"], _id_bytes(key), texts))
            encoded[key] = record + orjson.dumps(row)
            records.append(record)
        unlisted = [key for key in self._deleted if key in listed]
        records += [pack(dead_record(_id_bytes(key))) for key in unlisted]
        deleted = {key: orjson.dumps(row) for key, row in self._deleted.items()}
        writes = [
            RedisWrite("HDEL", "gone", [key for key in self._rows if key in self._prior.deleted]),
            RedisWrite("HSET", "gone", _flat(deleted.items())),
            RedisWrite("HSET", "users", _flat(self.users.items())),
            RedisWrite("HDEL", "rows", unlisted),
            RedisWrite("HSET", "rows", _flat(encoded.items())),
        ]
        return writes, b"".join(records)


HANDLERS: dict[str, Callable[[_RowFold, str, int, Mapping[str, Any]], None]] = {
    Movie.Created.TOPIC: _RowFold.created,
    Movie.Updated.TOPIC: _RowFold.updated,
    Movie.Deleted.TOPIC: _RowFold.deleted,
    Movie.Restored.TOPIC: _RowFold.restored,
    User.Created.TOPIC: _RowFold.registered,
}
"""How to apply each event; others mean nothing here, unless they are a movie's."""
_COUNTED = {topic for topic in HANDLERS if topic.startswith(_MOVIE)}
_CHANGE_A_ROW = {Movie.Updated.TOPIC, Movie.Deleted.TOPIC}


def _checked(row: Row) -> Row:
    """Return a row that can be encoded. Raises CannotApplyError or TypeError for others."""
    if type(row["year"]) is not int or not 0 <= row["year"] <= 9999:  # noqa: PLR2004
        raise CannotApplyError("the year is not an integer of four digits")
    if "\0" in row["title"] + row["genre"] + row["creator"]:
        raise CannotApplyError("a text contains NUL")
    return row


def _changed(row: Row, version: int, data: Mapping[str, Any]) -> Row:
    if version <= row["version"]:
        raise CannotApplyError(f"version {version} after version {row['version']}")
    microseconds(at := data["timestamp"])  # raises for what is no time
    details = {name: data[name] for name in _DETAILS if name in data}
    return row | details | {"version": version, "updated_at": at}


def _flat(pairs: Iterable[Iterable[Any]]) -> list[Any]:
    return list(chain.from_iterable(pairs))


def _id_bytes(key: str) -> bytes:
    return bytes.fromhex(key.replace("-", ""))


_cached_fold = lru_cache(maxsize=4096)(fold_text)  # genres and usernames recur
