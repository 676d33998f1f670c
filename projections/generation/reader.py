"""Reads the fields of a generation's hashes, each time together with the position they show."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from commands.errors import ReadModelUnavailableError
from projections.generation.state import Generation
from projections.lua import load_script, of_another_type
from projections.movie_rows import RedisWrite

NAMES = ("rows", "gone", "users", "parked")
"""The stored names of the hashes whose fields are ids."""
FIELDS_AT_ONCE = 200
"""The number of fields read in one step: Redis serves nothing else meanwhile."""
_READ_FIELDS = load_script("projections.lua.generation.read_fields")
_READ_DAYS = load_script("projections.lua.generation.read_days")
_COUNT_ENTRIES = load_script("projections.lua.generation.count_entries")

Fields = dict[bytes, bytes]
"""Field to value."""


class Counts(NamedTuple):
    """The number of fields of each hash, and of ``events``, at a position."""

    position: int
    of: dict[str, int]

    @property
    def total(self) -> int:
        """The number of all fields."""
        return sum(self.of[name] for name in NAMES)


def read(generation: Generation, name: str, fields: Collection[bytes]) -> tuple[int, Fields]:
    """Return the position and those of ``fields`` (at most FIELDS_AT_ONCE) that exist.

    A key of another type has none. Raises ReadModelUnavailableError if the generation is deleted.
    """
    keys = [generation.keys.state, generation.keys.named(name)]
    answer = _READ_FIELDS.run(generation.redis, keys, list(fields))
    if not answer:
        raise _deleted(generation)
    position, values = answer
    found = zip(fields, values, strict=True) if values else ()
    return position, {field: value for field, value in found if value is not None}


def read_days(generation: Generation) -> tuple[int, Fields]:
    """Return the position and the counts of days.

    A key of another type has none. Raises ReadModelUnavailableError if the generation is deleted.
    """
    answer = _READ_DAYS.run(generation.redis, [generation.keys.state, generation.keys.days])
    if not answer:
        raise _deleted(generation)
    position, counts = answer
    return position, dict(zip(counts[::2], counts[1::2], strict=True))


def count(generation: Generation) -> Counts:
    """Return the number of all fields.

    Raises ReadModelUnavailableError if the generation is deleted.
    """
    keys = [generation.keys.state, *map(generation.keys.named, NAMES)]
    answer = _COUNT_ENTRIES.run(generation.redis, keys)
    if not answer:
        raise _deleted(generation)
    position, *numbers = answer
    return Counts(position, dict(zip(("events", *NAMES), numbers, strict=True)))


def scan(generation: Generation, name: str) -> Iterator[Fields]:
    """Yield all fields of a hash in parts; fields that change meanwhile may be missed."""
    key, cursor = generation.keys.named(name), 0
    while True:
        try:
            cursor, found = generation.redis.execute_command(
                "HSCAN", key, cursor, "COUNT", FIELDS_AT_ONCE
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
    """Return the fields of an empty generation after ``writes``, which only add, by key."""
    fields: dict[str, Fields] = {}
    for _, name, values in writes:
        pairs = zip(values[::2], values[1::2], strict=True)
        of_key = {_bytes(field): _bytes(value) for field, value in pairs}
        fields.setdefault(name, {}).update(of_key)
    return fields


def id_in(field: bytes) -> str:
    """Return the id of the movie or account that a field is about."""
    return field.decode(errors="replace")


def same(name: str, one: bytes | None, other: bytes | None) -> bool:
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
