"""Fills a new generation from the log, faster than batches in log order can.

Events are read stream by stream, so that each movie is folded from nothing in one go: nothing is
read back from Redis, and only what is left of a movie in the end is written. Several processes may
share the work by the ids of streams. The writes are plain commands: nobody reads this generation
yet, and one whose filling was interrupted is thrown away.
"""

import gc
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, NamedTuple

from commands.errors import NotFoundError, ReadModelUnavailableError, UnreadableEventError
from commands.event_store.event_codec import RecordedEvent
from commands.event_store.store import Store
from projections.generation import lifecycle
from projections.generation.state import CONSTANTS, REPLAYING, event_name, event_time
from projections.generation.writer import GenerationWriter
from projections.keys import Keys
from projections.lua import load_script
from projections.movie_rows import (
    PriorState,
    ReadModelChanges,
    RedisWrite,
    fold_batch,
)

BATCH = 2_000
# So few events are read in log order, whatever else is in the log.
FEW = 20_000
# Values in one command, and commands that are sent at once: then Redis answers others.
_VALUES, _PIECES = 32, 4
_KNOWN_USERS = 50_000
_FIRST, _END = "00000000-0000-0000-0000-000000000000", "g"

_FINISH = load_script("projections.lua.rebuild.finish_replay", CONSTANTS)


class StreamRange(NamedTuple):
    """Streams from one id on, up to and without another."""

    first: str = _FIRST
    end: str = _END


ALL_STREAMS = StreamRange()


class ReplayProgress(NamedTuple):
    """How many events were read, and how many of them were applied."""

    read: int
    applied: int


class Usernames(dict[str, str]):
    """Usernames by account id, looked up in the log when one is asked for."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    def __missing__(self, account: str) -> str:
        try:
            name = self._store.username_of(account)
        except (NotFoundError, UnreadableEventError, ValueError):
            raise KeyError(account) from None
        if len(self) >= _KNOWN_USERS:
            self.clear()
        self[account] = name
        return name


def collect_garbage_rarely() -> None:
    """Let this process look for cycles seldom: events and rows hold none.

    To look for some takes a quarter of the time of a replay.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def whole_streams(
    store: Store, until: int, span: StreamRange = ALL_STREAMS
) -> Iterator[list[RecordedEvent]]:
    """Yield all events up to a position, stream by stream; a stream is never divided."""
    held: list[RecordedEvent] = []
    for events in (_few if until <= FEW else _by_stream)(store, until, span):
        held += events
        cut = len(held)
        while cut and held[cut - 1].stream_id == held[-1].stream_id:
            cut -= 1
        if cut:
            yield held[:cut]
            del held[:cut]
    if held:
        yield held


def fold_streams(events: list[RecordedEvent], names: Usernames) -> ReadModelChanges:
    """Fold whole streams from nothing."""
    return fold_batch(events, PriorState({}, {}, names))


def replay(
    store: Store,
    view: GenerationWriter,
    until: int,
    span: StreamRange = ALL_STREAMS,
    *,
    keep_s: int = 0,
) -> Iterator[ReplayProgress]:
    """Fill a generation that is being filled; yields what each step did.

    ``keep_s`` seconds after the last step it is gone, unless that is 0. Raises
    ReadModelUnavailableError where it was dropped meanwhile, and then leaves nothing behind.
    """
    names, keys = Usernames(store), view.keys
    for events in whole_streams(store, until, span):
        changes = fold_streams(events, names)
        pipeline = view.redis.pipeline(transaction=False)
        for command in _pieces(keys, changes.writes):
            pipeline.execute_command(*command)
            if len(pipeline) >= _PIECES:
                pipeline.execute()
        for key in keys.lasting if keep_s else ():
            pipeline.execute_command("EXPIRE", key, keep_s)
        pipeline.execute_command("HGET", keys.state, "state")
        if pipeline.execute()[-1] != REPLAYING.encode():
            lifecycle.drop(view.redis, view.number)
            raise _dropped(view)
        yield ReplayProgress(len(events), changes.applied)


def finish(store: Store, view: GenerationWriter, until: int, applied: int, state: str) -> None:
    """Say that a generation is filled up to a position and what it is from now on.

    Raises ReadModelUnavailableError where it was dropped meanwhile.
    """
    last = store.read(until - 1, 1, until) if until else []
    name, at = (event_name(last[0]), event_time(last[0])) if last else ("", "")
    if not _FINISH.run(view.redis, view.keys.lasting, [until, applied, name, at, state]):
        raise _dropped(view)


def _pieces(keys: Keys, commands: list[RedisWrite]) -> Iterator[tuple[Any, ...]]:
    for command, name, values in commands:
        key = keys.named(name)
        for start in range(0, len(values), _VALUES):
            yield command, key, *values[start : start + _VALUES]


def _dropped(view: GenerationWriter) -> ReadModelUnavailableError:
    return ReadModelUnavailableError(f"generation {view.number} was dropped meanwhile")


def _few(store: Store, until: int, span: StreamRange) -> Iterator[list[RecordedEvent]]:
    events: list[RecordedEvent] = []
    position = 0
    while read := store.read(position, BATCH, until):
        position = read[-1].position
        events += (event for event in read if span.first <= event.stream_id < span.end)
    events.sort(key=attrgetter("stream_id", "version"))
    for start in range(0, len(events), BATCH):
        yield events[start : start + BATCH]


def _by_stream(store: Store, until: int, span: StreamRange) -> Iterator[list[RecordedEvent]]:
    after = (span.first, 0)
    while read := store.read_by_stream(after, BATCH):
        after = (read[-1].stream_id, read[-1].version)
        yield [event for event in read if event.position <= until and event.stream_id < span.end]
        if after[0] >= span.end:
            return
