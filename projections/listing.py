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
from typing import Any, NamedTuple

import orjson

from commands.store import Recorded
from commands.text import fold

SEPARATOR = b"\0"
_JSON = 5  # how many separators stand before the JSON of a line
_MAX_YEAR = 9999
_RFC_3339 = len("2026-11-23T11:45:26.123456Z")

Movie = dict[str, Any]
Command = tuple[str, str, list[Any]]


class Row(NamedTuple):
    """A movie as it is kept."""

    movie: Movie
    line: bytes
    title: str
    """Its member in the index by title."""
    year: int
    created_us: int


class Wanted(NamedTuple):
    """What must be known before a batch can be folded; each id once."""

    rows: list[str]
    gone: list[str]
    users: list[str]


class Before(NamedTuple):
    """What was known before a batch; ids that there were none of are missing."""

    rows: Mapping[str, bytes]
    gone: Mapping[str, bytes]
    users: Mapping[str, str]


class Changes(NamedTuple):
    """What a batch does."""

    commands: list[Command]
    """Redis command, the name of a key in ``Keys``, arguments. Each may be repeated harmlessly."""
    events: int
    """How many events were applied, those that mean nothing here among them."""
    users: dict[str, str]
    """Accounts that the batch registered."""
    refused: dict[str, dict[str, Any]]
    """Ids whose events from one on cannot be applied: its ``position``, ``type``, ``error``."""


class CannotApplyError(ValueError):
    """An event that does not follow from what was before it."""


def wanted(batch: Iterable[Recorded], parked: Container[str] = ()) -> Wanted:
    """Return what ``fold_batch`` has to know of the time before ``batch``."""
    seen: dict[str, str] = {}
    accounts: dict[str, None] = {}
    for _, key, _, kind, data in batch:
        if kind == "MovieCreated":
            accounts[data.get("by", "")] = None
        elif not kind.startswith("Movie"):
            continue
        if key not in seen and key not in parked:
            seen[key] = kind
    return Wanted(
        [key for key, kind in seen.items() if kind in ("MovieUpdated", "MovieDeleted")],
        [key for key, kind in seen.items() if kind == "MovieRestored"],
        list(accounts),
    )


def fold_batch(batch: Sequence[Recorded], before: Before, parked: Container[str] = ()) -> Changes:
    """Fold events in log order into the changes of rows and indexes.

    Events of ``parked`` ids are passed over. An event that cannot be applied is refused together
    with all later ones of its movie; every other movie is folded as if it had not been there.
    """
    rows: dict[str, Row] = {}
    gone: dict[str, Movie] = {}
    users: dict[str, str] = {}
    refused: dict[str, dict[str, Any]] = {}
    skipped = 0
    for position, key, version, kind, data in batch:
        if key in refused or key in parked:
            skipped += 1
            continue
        try:
            if kind == "MovieCreated":
                if key in rows or key in gone:
                    raise CannotApplyError("created twice")
                by, at = data["by"], data["timestamp"]
                creator = users[by] if by in users else before.users[by]
                rows[key] = row_of(
                    {
                        "id": key,
                        "title": data["title"],
                        "genre": data["genre"],
                        "year": data["year"],
                        "creator": creator,
                        "version": version,
                        "created_at": at,
                        "updated_at": at,
                    }
                )
            elif kind == "MovieUpdated":
                now = rows[key].movie if key in rows else movie_in(before.rows[key])
                rows[key] = row_of(_changed(now, version, data))
            elif kind == "MovieDeleted":
                now = rows[key].movie if key in rows else movie_in(before.rows[key])
                gone[key] = _changed(now, version, data)
                rows.pop(key, None)
            elif kind == "MovieRestored":
                now = gone[key] if key in gone else orjson.loads(before.gone[key])
                rows[key] = row_of(_changed(now, version, data))
                gone.pop(key, None)
            elif kind == "UserRegistered":
                users[key] = data["username"]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            skipped += 1
            refused[key] = {
                "position": position,
                "type": kind,
                "error": f"{type(error).__name__}: {error}",
            }
    commands = _commands(rows, gone, users, before)
    return Changes(commands, len(batch) - skipped, users, refused)


def parking(refused: Mapping[str, dict[str, Any]]) -> list[Command]:
    """Return the command that puts streams aside."""
    reasons = [arg for key, why in refused.items() for arg in (key, orjson.dumps(why))]
    return [("HSET", "parked", reasons)] if reasons else []


def row_of(movie: Movie) -> Row:
    """Return how a movie is kept. Raises for fields that are not what they must be."""
    year, created_us = movie["year"], microseconds(movie["created_at"])
    if type(year) is not int or not 0 <= year <= _MAX_YEAR:
        raise CannotApplyError("the year is not an integer of four digits")
    title = fold(movie["title"])
    texts = f"{title}\0{fold(movie['genre'])}\0{fold(movie['creator'])}\0"
    front = f"{year:04}\0{created_us:016}\0{texts}"
    if front.count("\0") != _JSON:
        raise CannotApplyError("a text contains NUL")
    return Row(
        movie,
        front.encode() + orjson.dumps(movie),
        f"{title}\0{movie['id']}",
        year,
        created_us,
    )


def movie_in(line: bytes) -> Movie:
    """Return the movie that a line holds."""
    movie: Movie = orjson.loads(line.split(SEPARATOR, _JSON)[_JSON])
    return movie


def microseconds(time: str) -> int:
    """Return microseconds since the epoch of ``2026-11-23T11:45:26.123456Z``."""
    if len(time) != _RFC_3339:
        raise CannotApplyError("the time is not RFC 3339 in UTC with microseconds")
    return _minute(time[:16]) + int(time[17:19] + time[20:26])


@lru_cache(maxsize=1024)
def _minute(minute: str) -> int:
    # Events of one minute share it, and no datetime is made for each of a million events.
    return int(datetime.fromisoformat(minute).replace(tzinfo=UTC).timestamp()) * 1_000_000


def _changed(now: Movie, version: int, data: Mapping[str, Any]) -> Movie:
    if version <= now["version"]:
        raise CannotApplyError(f"version {version} after version {now['version']}")
    facts = {name: data[name] for name in ("title", "genre", "year") if name in data}
    return now | facts | {"version": version, "updated_at": data["timestamp"]}


def _commands(
    rows: Mapping[str, Row],
    gone: Mapping[str, Movie],
    users: Mapping[str, str],
    before: Before,
) -> list[Command]:
    """Return index changes first and rows last: a row tells which index entries are there."""
    fresh = [(key, row) for key, row in rows.items() if key not in before.rows]
    lines = {key: before.rows[key] for key in (*rows, *gone) if key in before.rows}
    old = {key: line.split(SEPARATOR, 3) for key, line in lines.items()}
    unlisted = [key for key in gone if key in lines]
    moved = [
        (f"{title.decode()}\0{key}", row)
        for key, (_, _, title, _) in old.items()
        if (row := rows.get(key)) and row.title != f"{title.decode()}\0{key}"
    ]
    aged = [
        (key, row)
        for key, (year, *_) in old.items()
        if (row := rows.get(key)) and row.year != int(year)
    ]
    commands: list[Command] = [
        ("ZREM", "created", unlisted),
        ("ZREM", "years", unlisted),
        (
            "ZREM",
            "titles",
            [f"{old[key][2].decode()}\0{key}" for key in unlisted] + [was for was, _ in moved],
        ),
        ("ZADD", "created", [arg for key, row in fresh for arg in (row.created_us, key)]),
        ("ZADD", "years", [arg for key, row in (*fresh, *aged) for arg in (row.year, key)]),
        ("ZADD", "titles", _titles(fresh, moved)),
        ("HDEL", "gone", [key for key in rows if key in before.gone]),
        (
            "HSET",
            "gone",
            [arg for key, movie in gone.items() for arg in (key, orjson.dumps(movie))],
        ),
        ("HSET", "users", [arg for pair in users.items() for arg in pair]),
        ("HDEL", "rows", unlisted),
        ("HSET", "rows", [arg for key, row in rows.items() for arg in (key, row.line)]),
    ]
    return [command for command in commands if command[2]]


def _titles(fresh: list[tuple[str, Row]], moved: list[tuple[str, Row]]) -> list[Any]:
    return [arg for _, row in (*fresh, *moved) for arg in (0, row.title)]
