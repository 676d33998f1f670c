"""Reads the entries of a generation, each time together with the position they show.

An entry is a field of a hash with its value, or a member of a sorted set with its score.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from commands.errors import ReadModelUnavailableError
from projections.generation.state import Generation
from projections.lua import load_script, of_another_type
from projections.movie_rows import RedisWrite

HASHES = ("rows", "gone", "users", "parked")
SORTED_SETS = ("created", "years", "titles")
NAMES = (*HASHES, *SORTED_SETS)
"""The stored names of the keys that have entries."""
FIELDS_AT_ONCE = 200
"""The number of entries read in one step: Redis serves nothing else meanwhile."""
_ID_LENGTH = 36
_READ_FIELDS = load_script("projections.lua.generation.read_fields")
_COUNT_ENTRIES = load_script("projections.lua.generation.count_entries")

Fields = dict[bytes, bytes | float]
"""Field to value, or member to score."""


class Counts(NamedTuple):
    """The number of entries of each key, and of ``events``, at a position."""

    position: int
    of: dict[str, int]

    @property
    def total(self) -> int:
        """The number of all entries."""
        return sum(self.of[name] for name in NAMES)


def read(generation: Generation, name: str, fields: Collection[bytes]) -> tuple[int, Fields]:
    """Return the position and those of ``fields`` (at most FIELDS_AT_ONCE) that exist.

    A key of another type has none. Raises ReadModelUnavailableError if the generation is deleted.
    """
    command = "HMGET" if name in HASHES else "ZMSCORE"
    keys = [generation.keys.state, generation.keys.named(name)]
    answer = _READ_FIELDS.run(generation.redis, keys, [command, *fields])
    if not answer:
        raise _deleted(generation)
    position, values = answer
    convert = bytes if name in HASHES else float
    found = zip(fields, values, strict=True) if values else ()
    return position, {field: convert(value) for field, value in found if value is not None}


def count(generation: Generation) -> Counts:
    """Return the number of all entries.

    Raises ReadModelUnavailableError if the generation is deleted.
    """
    keys = [generation.keys.state, *map(generation.keys.named, NAMES)]
    answer = _COUNT_ENTRIES.run(generation.redis, keys, [len(HASHES)])
    if not answer:
        raise _deleted(generation)
    position, *numbers = answer
    return Counts(position, dict(zip(("events", *NAMES), numbers, strict=True)))


def scan(generation: Generation, name: str) -> Iterator[Fields]:
    """Yield all entries of a key in parts; entries that change meanwhile may be missed."""
    key, cursor = generation.keys.named(name), 0
    command = "HSCAN" if name in HASHES else "ZSCAN"
    while True:
        try:
            cursor, found = generation.redis.execute_command(
                command, key, cursor, "COUNT", FIELDS_AT_ONCE
            )
        except ResponseError as error:
            if not of_another_type(error):
                raise
            return
        if found:
            yield dict(found)
        if int(cursor) == 0:
            return


def fields_of(writes: Iterable[RedisWrite]) -> dict[str, Fields]:
    """Return the entries of an empty generation after ``writes``, which only add, by key."""
    entries: dict[str, Fields] = {}
    for command, name, values in writes:
        pairs = zip(values[::2], values[1::2], strict=True)
        if command == "ZADD":
            fields: Fields = {_bytes(member): float(score) for score, member in pairs}
        else:
            fields = {_bytes(field): _bytes(value) for field, value in pairs}
        entries.setdefault(name, {}).update(fields)
    return entries


def id_in(name: str, field: bytes) -> str:
    """Return the id of the movie or account that an entry is about."""
    return (field[-_ID_LENGTH:] if name == "titles" else field).decode(errors="replace")


def same(name: str, one: bytes | float | None, other: bytes | float | None) -> bool:
    """Tell whether two values are equal; the reason why a movie is parked may differ."""
    if name == "parked":
        return (one is None) == (other is None)
    return one == other


def pieces(fields: Mapping[bytes, Any] | Collection[bytes]) -> Iterator[list[bytes]]:
    """Yield fields in lists of at most FIELDS_AT_ONCE."""
    listed = list(fields)
    for start in range(0, len(listed), FIELDS_AT_ONCE):
        yield listed[start : start + FIELDS_AT_ONCE]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _deleted(generation: Generation) -> ReadModelUnavailableError:
    return ReadModelUnavailableError(f"generation {generation.number} is gone")
