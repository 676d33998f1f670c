"""Parked movies: an event of theirs cannot be applied.

Readers see the last good row of a parked movie. ``retry`` applies its events again, after a release
that can apply them; a projection does so by itself when it starts. ``discard`` removes the movie
from the lists and skips its later events without a warning, until a retry or a rebuild.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson
from redis.exceptions import ResponseError

from commands.event_store.store import Store
from projections.generation.pause import pause
from projections.generation.reader import Fields, fields_of
from projections.generation.state import Generation
from projections.lua import of_another_type
from projections.movie_rows import RedisWrite, count_days, increments
from projections.rebuild.diff import Difference, repair, writes_for
from projections.rebuild.expected import read_stream
from projections.rebuild.replay import Usernames, fold_streams


class Parked(NamedTuple):
    """A movie that is parked from the event at ``position`` on."""

    id: str
    position: int
    type: str
    error: str
    dropped: bool
    """An operator discarded it."""


def parked_in(generation: Generation) -> dict[str, Parked]:
    """Return the parked movies of a generation by id, in log order."""
    try:
        marks = generation.redis.execute_command("HGETALL", generation.keys.parked)
    except ResponseError as error:
        if not of_another_type(error):
            raise
        marks = {}
    movies = [_decode_mark(key.decode(errors="replace"), mark) for key, mark in marks.items()]
    return {movie.id: movie for movie in sorted(movies, key=lambda movie: movie.position)}


def retry(
    store: Store, generation: Generation, ids: Iterable[str]
) -> Iterator[tuple[str, str | None]]:
    """Apply the events of parked movies again, up to the first that still cannot be applied.

    Yields each id with the error that keeps the movie parked, or None. Raises
    ReadModelUnavailableError.
    """
    usernames = Usernames(store)
    for key in ids:
        with pause(generation) as paused:
            movie = parked_in(generation).get(key)
            if movie is None:
                continue
            stream = read_stream(store, key, paused.position)
            changes = fold_streams(stream, usernames)
            before = [event for event in stream if event.position < movie.position]
            writes = _replacement(key, fields_of(changes.writes))
            writes += _increments(events=changes.applied - len(before), dropped=-movie.dropped)
            days = Counter(changes.days)
            days.subtract(count_days(before))
            writes += increments({field: number for field, number in days.items() if number})
            repair(generation, paused, writes)
        refused = changes.refused.get(key)
        yield key, refused["error"] if refused else None


def discard(generation: Generation, key: str) -> bool:
    """Discard a parked movie; False if it is not parked. Raises ReadModelUnavailableError."""
    with pause(generation) as paused:
        movie = parked_in(generation).get(key)
        if movie is None:
            return False
        mark = orjson.dumps(movie._replace(dropped=True)._asdict())
        writes = _replacement(key, {"parked": {key.encode(): mark}})
        repair(generation, paused, [*writes, *_increments(dropped=1 - movie.dropped)])
    return True


def _replacement(key: str, wanted: dict[str, Fields]) -> list[RedisWrite]:
    """Return the writes after which a movie has exactly the fields that are wanted."""
    field = key.encode()
    removed = [
        Difference(name, field, None, None)
        for name in ("rows", "gone", "parked")
        if field not in wanted.get(name, {})
    ]
    added = [
        Difference(name, field, value, None)
        for name, fields_of_key in wanted.items()
        for field, value in fields_of_key.items()
    ]
    return writes_for([*removed, *added])


def _increments(**numbers: int) -> list[RedisWrite]:
    return [RedisWrite("HINCRBY", "head", [name, by]) for name, by in numbers.items() if by]


def _decode_mark(key: str, mark: bytes) -> Parked:
    """Return the movie of a mark, without position and type if the mark is damaged."""
    try:
        fields: dict[str, Any] = orjson.loads(mark)
        movie = Parked(key, fields["position"], fields["type"], fields["error"], dropped=False)
        if (type(movie.position), type(movie.type), type(movie.error)) == (int, str, str):
            return movie._replace(dropped=fields.get("dropped") is True)
    except (ValueError, TypeError, KeyError):
        pass
    return Parked(key, 0, "", "the mark cannot be read", dropped=False)
