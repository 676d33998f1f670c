"""Replays the log into a new generation, faster than batches in log order.

Events are read stream by stream, so each movie is folded from nothing in one step: a replay reads
nothing back from Redis and writes only the final state of each movie. The writes are plain
commands: a generation that is being replayed has no readers, and an interrupted replay is dropped.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from commands.errors import (
    NotFoundError,
    ReadModelUnavailableError,
    UnreadableEventError,
)
from commands.event_store.event_codec import RecordedEvent
from commands.event_store.log_reader import LogReader
from projections.generation import lifecycle
from projections.generation.state import CONSTANTS, REPLAYING, Generation, event_name, event_time
from projections.keys import Keys
from projections.lua import arguments, load_script
from projections.movie_rows import PriorState, ReadModelChanges, RedisWrite, fold_batch

BATCH = 2_000
MAX_SORTED = 20_000
"""A log of so few events is read in log order and sorted in memory."""
# Values in one command, and commands sent at once: in between Redis serves others.
_VALUES, _COMMANDS = 32, 4
_MAX_USERNAMES = 50_000
_FINISH = load_script("projections.lua.rebuild.finish_replay", CONSTANTS)


class StreamRange(NamedTuple):
    """Streams by id, ``end`` excluded."""

    first: str = "00000000-0000-0000-0000-000000000000"
    end: str = "g"


ALL_STREAMS = StreamRange()


class ReplayProgress(NamedTuple):
    """The number of events read and of those applied, and what they add to ``Keys.days``."""

    read: int = 0
    applied: int = 0
    days: Mapping[str, int] = {}

    def plus(self, step: "ReplayProgress") -> "ReplayProgress":
        """Return the progress after a further step."""
        days = Counter(self.days)
        days.update(step.days)
        return ReplayProgress(self.read + step.read, self.applied + step.applied, days)


class Usernames(dict[str, str]):
    """A cache of usernames by account id, filled from the log on demand."""

    def __init__(self, store: LogReader) -> None:
        super().__init__()
        self._store = store

    def __missing__(self, account: str) -> str:
        try:
            username = self._store.username_of(account)
        except (NotFoundError, UnreadableEventError, ValueError):
            raise KeyError(account) from None
        if len(self) >= _MAX_USERNAMES:
            self.clear()
        self[account] = username
        return username


def whole_streams(
    store: LogReader, until: int, streams: StreamRange = ALL_STREAMS
) -> Iterator[list[RecordedEvent]]:
    """Yield all events up to a position, stream by stream; a stream is never divided."""
    pending: list[RecordedEvent] = []
    for events in (_read_sorted if until <= MAX_SORTED else _read_by_stream)(store, until, streams):
        pending += events
        cut = len(pending)
        while cut and pending[cut - 1].stream_id == pending[-1].stream_id:
            cut -= 1
        if cut:
            yield pending[:cut]
            del pending[:cut]
    if pending:
        yield pending


def _read_sorted(
    store: LogReader, until: int, streams: StreamRange
) -> Iterator[list[RecordedEvent]]:
    events: list[RecordedEvent] = []
    position = 0
    while read := store.read(position, BATCH, until):
        position = read[-1].position
        events += (event for event in read if streams.first <= event.stream_id < streams.end)
    events.sort(key=attrgetter("stream_id", "version"))
    for start in range(0, len(events), BATCH):
        yield events[start : start + BATCH]


def _read_by_stream(
    store: LogReader, until: int, streams: StreamRange
) -> Iterator[list[RecordedEvent]]:
    after = (streams.first, 0)
    while read := store.read_by_stream(after, BATCH):
        after = (read[-1].stream_id, read[-1].version)
        yield [event for event in read if event.position <= until and event.stream_id < streams.end]
        if after[0] >= streams.end:
            return


def fold_streams(events: list[RecordedEvent], usernames: Usernames) -> ReadModelChanges:
    """Fold whole streams from nothing."""
    return fold_batch(events, PriorState({}, {}, usernames))


def replay(
    store: LogReader,
    generation: Generation,
    until: int,
    streams: StreamRange = ALL_STREAMS,
    *,
    ttl_s: int = 0,
) -> Iterator[ReplayProgress]:
    """Replay the log up to a position into a generation; yield the progress of each step.

    With ``ttl_s`` the generation expires so many seconds after the last step. Raises
    ReadModelUnavailableError, and leaves nothing behind, if the generation is dropped meanwhile.
    """
    redis, keys, usernames = generation.redis, generation.keys, Usernames(store)
    for events in whole_streams(store, until, streams):
        changes = fold_streams(events, usernames)
        pipeline = redis.pipeline(transaction=False)
        for words in _short_commands(keys, changes.writes):
            pipeline.execute_command(*words)
            if len(pipeline) >= _COMMANDS:
                pipeline.execute()
        for key in keys.lasting if ttl_s else ():
            pipeline.execute_command("EXPIRE", key, ttl_s)
        pipeline.execute_command("HGET", keys.state, "state")
        if pipeline.execute()[-1] != REPLAYING.encode():
            lifecycle.drop(redis, generation.number)
            raise _dropped(generation)
        yield ReplayProgress(len(events), changes.applied, changes.days)


def finish(
    store: LogReader, generation: Generation, until: int, total: ReplayProgress, state: str
) -> None:
    """Store the checkpoint, the new state and the counts of days of a replayed generation.

    Raises ReadModelUnavailableError if the generation was dropped meanwhile.
    """
    last = store.read(until - 1, 1, until) if until else []
    name, at = (event_name(last[0]), event_time(last[0])) if last else ("", "")
    counts = [part for item in total.days.items() for part in item]
    writes = [RedisWrite("HSET", "days", counts)] if counts else []
    args = [until, total.applied, name, at, state, *arguments(generation.keys, writes)]
    if not _FINISH.run(generation.redis, generation.keys.lasting, args):
        raise _dropped(generation)


def _short_commands(keys: Keys, writes: list[RedisWrite]) -> Iterator[tuple[Any, ...]]:
    for name, key, args in writes:
        for start in range(0, len(args), _VALUES):
            yield name, keys.named(key), *args[start : start + _VALUES]


def _dropped(generation: Generation) -> ReadModelUnavailableError:
    return ReadModelUnavailableError(f"generation {generation.number} was dropped meanwhile")
