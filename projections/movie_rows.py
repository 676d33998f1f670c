"""How events become rows and indexes. Pure: no Redis, no clock.

A row is kept as one *line*: ``year NUL created NUL folded title NUL folded genre NUL folded creator
NUL JSON``. The year has 4 digits, ``created`` (microseconds since the epoch) 16: scripts take them,
and test the texts, by their places. Readers are given the JSON, which is the public representation
as it is and begins with the id. NUL cannot occur in any of the texts.

A deleted movie leaves its rows and indexes, and its last JSON stays in ``gone``: the event that
brings it back names neither its creator nor its time of creation.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

import orjson

from commands.event_store.event_codec import UNREADABLE, RecordedEvent
from commands.movie import Movie, MovieDetails
from commands.rfc3339 import is_timestamp
from commands.text import fold
from commands.user import User

SEPARATOR = b"\0"
_JSON = 5  # how many separators stand before the JSON of a line
_MAX_YEAR = 9999

Row = dict[str, Any]
RedisWrite = tuple[str, str, list[Any]]
Place = Literal["rows", "gone"]
ROW_FIELDS = ("id", *MovieDetails._fields, "creator", "version", "created_at", "updated_at")
"""The fields of the public representation, in its order."""


class Effect(NamedTuple):
    """Where an event finds its movie, and where it leaves it."""

    before: Place | None
    after: Place


EFFECTS: dict[str, Effect] = {
    Movie.Created.TOPIC: Effect(None, "rows"),
    Movie.Updated.TOPIC: Effect("rows", "rows"),
    Movie.Deleted.TOPIC: Effect("rows", "gone"),
    Movie.Restored.TOPIC: Effect("gone", "rows"),
}
"""What each event of a movie does. The fields that it carries replace those of the row."""
_FOUND_IN_ROWS = {topic for topic, effect in EFFECTS.items() if effect.before == "rows"}
_FOUND_IN_GONE = {topic for topic, effect in EFFECTS.items() if effect.before == "gone"}
# Looked up once, not for each of a million events.
_MOVIE, _CREATED = Movie.TOPIC, Movie.Created.TOPIC
_DETAILS = MovieDetails._fields


class RequiredState(NamedTuple):
    """What must be known before a batch can be folded; each id once."""

    rows: list[str]
    gone: list[str]
    users: list[str]


class PriorState(NamedTuple):
    """What was known before a batch; ids that there were none of are missing."""

    rows: Mapping[str, bytes]
    gone: Mapping[str, bytes]
    users: Mapping[str, str]


class ReadModelChanges(NamedTuple):
    """What a batch does."""

    commands: list[RedisWrite]
    """Redis command, the name of a key in ``Keys``, arguments. Each may be repeated harmlessly."""
    events: int
    """How many events were applied, those that mean nothing here among them."""
    users: dict[str, str]
    """Accounts that the batch registered."""
    refused: dict[str, dict[str, Any]]
    """Ids whose events from one on cannot be applied: its ``position``, ``type``, ``error``."""


class CannotApplyError(ValueError):
    """An event that does not follow from what was before it."""


def required_state(batch: Iterable[RecordedEvent], parked: Container[str] = ()) -> RequiredState:
    """Return what ``fold_batch`` has to know of the time before ``batch``."""
    seen: dict[str, str] = {}
    accounts: dict[str, None] = {}
    for _, key, _, kind, data in batch:
        if kind == _CREATED:
            if type(by := data.get("by")) is str:
                accounts[by] = None
        elif not kind.startswith(_MOVIE):
            continue
        if key not in seen and key not in parked:
            seen[key] = kind
    return RequiredState(
        [key for key, kind in seen.items() if kind in _FOUND_IN_ROWS],
        [key for key, kind in seen.items() if kind in _FOUND_IN_GONE],
        list(accounts),
    )


def fold_batch(
    batch: Sequence[RecordedEvent], before: PriorState, parked: Container[str] = ()
) -> ReadModelChanges:
    """Fold events in log order into the changes of rows and indexes.

    Events of ``parked`` ids are passed over. An event that cannot be applied is refused together
    with all later ones of its movie; every other movie is folded as if it had not been there.
    """
    rows: dict[str, Row] = {}
    gone: dict[str, Row] = {}
    users: dict[str, str] = {}
    refused: dict[str, dict[str, Any]] = {}
    # When movies of this batch were created: reading the time twice would cost more than all else.
    born: dict[str, int] = {}
    skipped = 0
    for position, key, version, kind, data in batch:
        if key in refused or key in parked:
            skipped += 1
            continue
        try:
            if kind == _CREATED:
                if key in rows or key in gone:
                    raise CannotApplyError("created twice")
                by, at = data["by"], data["timestamp"]
                creator = users[by] if by in users else before.users[by]
                movie = row_of(key, data, creator, version=version, created_at=at, updated_at=at)
                born[key] = microseconds(at)
                rows[key] = _checked(movie)
            elif (effect := EFFECTS.get(kind)) is None:
                users |= _registered(key, kind, data)
            else:
                if effect.before == "rows":
                    now = rows[key] if key in rows else decode_row(before.rows[key])
                else:
                    now = gone[key] if key in gone else orjson.loads(before.gone[key])
                changed = _changed(now, version, data)
                if effect.after == "rows":
                    rows[key] = _checked(changed)
                else:
                    gone[key] = changed
                if effect.after != effect.before:
                    (rows if effect.before == "rows" else gone).pop(key, None)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            skipped += 1
            refused[key] = {
                "position": position,
                "type": kind,
                "error": data.get(UNREADABLE) or f"{type(error).__name__}: {error}",
            }
    commands = _commands(rows, gone, users, before, born)
    return ReadModelChanges(commands, len(batch) - skipped, users, refused)


def _registered(key: str, kind: str, data: Mapping[str, Any]) -> dict[str, str]:
    """Return the account that an event registered, if it did; most others mean nothing here."""
    if kind == User.Created.TOPIC:
        return {key: _text(data["username"])}
    if kind.startswith(Movie.TOPIC):
        raise CannotApplyError("an event of a later release")
    return {}


def parked_writes(refused: Mapping[str, dict[str, Any]]) -> list[RedisWrite]:
    """Return the command that puts streams aside."""
    reasons = [arg for key, why in refused.items() for arg in (key, orjson.dumps(why))]
    return [("HSET", "parked", reasons)] if reasons else []


def _checked(movie: Row) -> Row:
    """Return a movie that can be kept. Raises for fields that are not what they must be."""
    year = movie["year"]
    if type(year) is not int or not 0 <= year <= _MAX_YEAR:
        raise CannotApplyError("the year is not an integer of four digits")
    if "\0" in movie["title"] + movie["genre"] + movie["creator"]:
        raise CannotApplyError("a text contains NUL")
    return movie


def row_of(  # noqa: PLR0913 - one argument for each part of the representation
    movie_id: str,
    details: Mapping[str, Any],
    creator: str,
    *,
    version: int,
    created_at: str,
    updated_at: str,
) -> Row:
    """Return the public representation of a movie, its keys in the order of ``ROW_FIELDS``.

    Of ``details`` the fields of ``MovieDetails`` are taken.
    """
    row: Row = {"id": movie_id}
    for name in _DETAILS:  # a comprehension would be a second call, for each of a million events
        row[name] = details[name]
    row["creator"] = creator
    row["version"] = version
    row["created_at"] = created_at
    row["updated_at"] = updated_at
    return row


def decode_row(line: bytes) -> Row:
    """Return the movie that a line holds."""
    movie: Row = orjson.loads(line.split(SEPARATOR, _JSON)[_JSON])
    return movie


def microseconds(time: str) -> int:
    """Return microseconds since the epoch of ``2026-11-23T11:45:26.123456Z``."""
    _time(time)
    return _second(time[:19]) + int(time[20:26])


@lru_cache(maxsize=1024)
def _second(second: str) -> int:
    # Events of one second share it, and no datetime is made for each of a million events.
    return int(datetime.fromisoformat(second).replace(tzinfo=UTC).timestamp()) * 1_000_000


def _changed(now: Row, version: int, data: Mapping[str, Any]) -> Row:
    if version <= now["version"]:
        raise CannotApplyError(f"version {version} after version {now['version']}")
    details = {name: data[name] for name in _DETAILS if name in data}
    return now | details | {"version": version, "updated_at": _time(data["timestamp"])}


def _time(value: Any) -> str:
    if not is_timestamp(value):
        raise CannotApplyError("the time is not RFC 3339 in UTC with microseconds")
    return cast("str", value)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise CannotApplyError("there is no text where text must be")
    return value


def _commands(
    rows: Mapping[str, Row],
    gone: Mapping[str, Row],
    users: Mapping[str, str],
    before: PriorState,
    born: Mapping[str, int],
) -> list[RedisWrite]:
    """Return index changes first and rows last: a row tells which index entries are there."""
    listed = before.rows
    unlisted = [key for key in gone if key in listed]
    old_titles = [_title_in(listed[key], key) for key in unlisted]
    created: list[Any] = []
    years: list[Any] = []
    titles: list[Any] = []
    lines: list[Any] = []
    for key, movie in rows.items():
        title = fold(movie["title"])
        created_us = born[key] if key in born else microseconds(movie["created_at"])
        # Without format specifiers, which would take a third of the time of all this.
        front = (
            f"{_four_digits(movie['year'])}\0{str(created_us).zfill(16)}\0{title}\0"
            f"{_fold(movie['genre'])}\0{_fold(movie['creator'])}\0"
        )
        lines += (key, front.encode() + orjson.dumps(movie))
        member = f"{title}\0{key}"
        if key not in listed:
            created += (created_us, key)
            years += (movie["year"], key)
            titles += (0, member)
        else:
            was = listed[key]
            if int(was[:4]) != movie["year"]:
                years += (movie["year"], key)
            if (old := _title_in(was, key)) != member:
                old_titles.append(old)
                titles += (0, member)
    commands: list[RedisWrite] = [
        ("ZREM", "created", unlisted),
        ("ZREM", "years", unlisted),
        ("ZREM", "titles", old_titles),
        ("ZADD", "created", created),
        ("ZADD", "years", years),
        ("ZADD", "titles", titles),
        ("HDEL", "gone", [key for key in rows if key in before.gone]),
        (
            "HSET",
            "gone",
            [arg for key, movie in gone.items() for arg in (key, orjson.dumps(movie))],
        ),
        ("HSET", "users", [arg for pair in users.items() for arg in pair]),
        ("HDEL", "rows", unlisted),
        ("HSET", "rows", lines),
    ]
    return [command for command in commands if command[2]]


def _title_in(line: bytes, key: str) -> str:
    """Return the member in the index by title that belongs to a line."""
    return f"{line.split(SEPARATOR, 3)[2].decode()}\0{key}"


@lru_cache(maxsize=1024)
def _four_digits(year: int) -> str:
    return f"{year:04}"


# Genres and usernames come again and again.
_fold = lru_cache(maxsize=4096)(fold)
