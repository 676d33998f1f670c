"""Movies that are put aside because an event of theirs cannot be applied.

Readers see the last good row of a parked movie. ``retry`` takes it up again, after a release that
can apply the event, as a projection does by itself when it starts; ``drop`` gives up on it: it
leaves the lists, and its later events are passed over without a word, until a retry or a rebuild.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from redis.exceptions import ResponseError

from commands.event_store.event_codec import RecordedEvent
from commands.event_store.store import Store
from projections.generation.pause import pause
from projections.generation.reader import Fields, fields_of
from projections.generation.writer import GenerationWriter
from projections.lua import of_another_type
from projections.movie_rows import SEPARATOR, RedisWrite
from projections.rebuild.diff import Difference
from projections.rebuild.repair import commands_for, repair
from projections.rebuild.replay import Usernames, fold_streams


class Parked(NamedTuple):
    """A movie that is put aside from the event at ``position`` on."""

    id: str
    position: int
    type: str
    error: str
    dropped: bool


def parked_in(view: GenerationWriter) -> dict[str, Parked]:
    """Return what is parked, by id, in log order."""
    try:
        found = view.redis.execute_command("HGETALL", view.keys.parked)
    except ResponseError as error:
        if not of_another_type(error):
            raise
        found = {}
    marks = (_mark(key.decode(errors="replace"), value) for key, value in found.items())
    return {mark.id: mark for mark in sorted(marks, key=lambda mark: mark.position)}


def retry(
    store: Store, view: GenerationWriter, ids: Iterable[str]
) -> Iterator[tuple[str, str | None]]:
    """Take movies up again; yields each with the error that still keeps it out, or None.

    What can be applied is applied, up to the event that cannot. Raises ReadModelUnavailableError.
    """
    names = Usernames(store)
    for key in ids:
        with pause(view) as held:
            mark = parked_in(view).get(key)
            if mark is None:
                continue
            stream = [e for e in _stream(store, key) if e.position <= held.position]
            changes = fold_streams(stream, names)
            wanted = fields_of(changes.writes)
            applied = sum(event.position < mark.position for event in stream)
            numbers = [("events", changes.applied - applied), ("dropped", -mark.dropped)]
            repair(view, held, [*_to(view, key, wanted), *_counted(numbers)])
        why = changes.refused.get(key)
        yield key, why["error"] if why else None


def discard(view: GenerationWriter, key: str) -> bool:
    """Give up on a parked movie; False where it is none. Raises ReadModelUnavailableError."""
    with pause(view) as held:
        mark = parked_in(view).get(key)
        if mark is None:
            return False
        said = mark._asdict() | {"dropped": True}
        wanted: dict[str, Fields] = {"parked": {key.encode(): orjson.dumps(said)}}
        counted = _counted([("dropped", 1 - mark.dropped)])
        repair(view, held, [*_to(view, key, wanted), *counted])
    return True


def _to(view: GenerationWriter, key: str, wanted: dict[str, Fields]) -> list[RedisWrite]:
    """Return the commands that leave of a movie what is wanted and nothing else."""
    line = view.redis.execute_command("HGET", view.keys.rows, key)
    fields = {name: [key.encode()] for name in ("rows", "gone", "created", "years", "parked")}
    titles = line.split(SEPARATOR, 3)[2:3] if line else []  # none in a line that is no row
    fields["titles"] = [title + b"\0" + key.encode() for title in titles]
    out = [
        Difference(name, field, None, None)
        for name, there in fields.items()
        for field in there
        if field not in wanted.get(name, {})
    ]
    into = [
        Difference(name, field, value, None)
        for name, kept in wanted.items()
        for field, value in kept.items()
    ]
    return commands_for([*out, *into])


def _stream(store: Store, key: str) -> list[RecordedEvent]:
    try:
        return store.read_stream(UUID(key))
    except ValueError:  # what is no id has no events
        return []


def _counted(numbers: Iterable[tuple[str, int]]) -> list[RedisWrite]:
    return [RedisWrite("HINCRBY", "head", [name, by]) for name, by in numbers if by]


def _mark(key: str, value: bytes) -> Parked:
    """Return what a mark says; one that cannot be read says nothing but that it is there."""
    try:
        said: dict[str, Any] = orjson.loads(value)
        mark = Parked(key, said["position"], said["type"], said["error"], "dropped" in said)
        if (type(mark.position), type(mark.type), type(mark.error)) == (int, str, str):
            return mark._replace(dropped=said.get("dropped") is True)
    except (ValueError, TypeError, KeyError):
        pass
    return Parked(key, 0, "", "the mark cannot be read", dropped=False)
