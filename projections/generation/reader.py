"""What a generation keeps, as fields and values of its keys, read together with its position."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from commands.errors import ReadModelUnavailableError
from projections.generation.writer import GenerationWriter
from projections.lua import load_script, of_another_type
from projections.movie_rows import RedisWrite

HASHES = ("rows", "gone", "users", "parked")
SORTED_SETS = ("created", "years", "titles")
NAMES = (*HASHES, *SORTED_SETS)
FIELDS = 200
"""How many are read at a time: Redis does nothing else in the meantime."""
_ID = 36  # the length of an id, with which the members of titles end

Fields = dict[bytes, bytes | float]
"""Field to value, or member to score."""

_READ_FIELDS = load_script("projections.lua.generation.read_fields")
_COUNT_ENTRIES = load_script("projections.lua.generation.count_entries")


class Counts(NamedTuple):
    """How much there is at a position; ``of`` maps names of keys, and ``events``, to numbers."""

    position: int
    of: dict[str, int]

    @property
    def total(self) -> int:
        """How many fields and members there are."""
        return sum(self.of[name] for name in NAMES)


def read(view: GenerationWriter, name: str, fields: Collection[bytes]) -> tuple[int, Fields]:
    """Return those of ``fields`` (not too many) that are there, and the position they show.

    Raises ReadModelUnavailableError where the generation is gone.
    """
    command = "HMGET" if name in HASHES else "ZMSCORE"
    answer = _READ_FIELDS.run(
        view.redis, [view.keys.head, getattr(view.keys, name)], [command, *fields]
    )
    if not answer:
        raise _gone(view)
    position, values = answer
    convert = bytes if name in HASHES else float
    found = zip(fields, values, strict=True) if values else ()
    return position, {field: convert(value) for field, value in found if value is not None}


def count(view: GenerationWriter) -> Counts:
    """Return how much there is of everything. Raises ReadModelUnavailableError."""
    keys = [view.keys.head, *(getattr(view.keys, name) for name in NAMES)]
    answer = _COUNT_ENTRIES.run(view.redis, keys, [len(HASHES)])
    if not answer:
        raise _gone(view)
    position, *numbers = answer
    return Counts(position, dict(zip(("events", *NAMES), numbers, strict=True)))


def scan(view: GenerationWriter, name: str) -> Iterator[Fields]:
    """Yield all there is of a key, a part at a time; what changes meanwhile may be missed."""
    key, cursor = getattr(view.keys, name), 0
    command = "HSCAN" if name in HASHES else "ZSCAN"
    while True:
        try:
            cursor, found = view.redis.execute_command(command, key, cursor, "COUNT", FIELDS)
        except ResponseError as error:
            if not of_another_type(error):
                raise
            return
        if found:
            yield dict(found)
        if int(cursor) == 0:
            return


def fields_of(commands: Iterable[RedisWrite]) -> dict[str, Fields]:
    """Return what an empty generation keeps after ``commands``, which only add."""
    kept: dict[str, Fields] = {}
    for command, name, values in commands:
        first, second = values[::2], values[1::2]
        pairs = zip(first, second, strict=True)
        if command == "ZADD":
            kept.setdefault(name, {}).update((_bytes(two), float(one)) for one, two in pairs)
        else:
            kept.setdefault(name, {}).update((_bytes(one), _bytes(two)) for one, two in pairs)
    return kept


def id_in(name: str, field: bytes) -> str:
    """Return the id of the movie (or account) that a field is about."""
    return (field[-_ID:] if name == "titles" else field).decode(errors="replace")


def same(name: str, one: bytes | float | None, other: bytes | float | None) -> bool:
    """Tell whether two values say the same; why a movie is parked may be told in other words."""
    if name == "parked":
        return (one is None) == (other is None)
    return one == other


def pieces(fields: Mapping[bytes, Any] | Collection[bytes]) -> Iterator[list[bytes]]:
    """Yield fields, as many at a time as are read at a time."""
    listed = list(fields)
    for start in range(0, len(listed), FIELDS):
        yield listed[start : start + FIELDS]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _gone(view: GenerationWriter) -> ReadModelUnavailableError:
    return ReadModelUnavailableError(f"generation {view.number} is gone")
