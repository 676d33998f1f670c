"""Replays the log into a new generation, faster than batches in log order.

Events are read stream by stream, so each movie is folded from nothing in one step: a replay reads
nothing back from Redis and writes only the final state of each movie. The writes are plain
commands: a generation that is being replayed has no readers, and an interrupted replay is dropped.

``python -m projections.rebuild.replay`` is one of several worker processes that share a replay. It
reports its progress on standard output, a line of JSON for each step.
"""

import gc
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple, NoReturn

import orjson
from redis.exceptions import RedisError

from commands.errors import (
    CinelogError,
    NotFoundError,
    ReadModelUnavailableError,
    UnreadableEventError,
)
from commands.event_store.event_codec import RecordedEvent
from commands.event_store.log_reader import LONG_WAIT_S, LogReader
from commands.event_store.store import Store
from projections.generation import lifecycle
from projections.generation.state import CONSTANTS, REPLAYING, Generation, event_name, event_time
from projections.keys import Keys
from projections.lua import arguments, load_script
from projections.movie_rows import PriorState, ReadModelChanges, RedisWrite, fold_batch
from projections.redis_client import open_redis
from projections.subprocesses import command, die_with_parent, die_with_stdin, environment

BATCH = 2_000
MAX_SORTED = 20_000
"""A log of so few events is read in log order and sorted in memory."""
# Values in one command, and commands sent at once: in between Redis serves others.
_VALUES, _COMMANDS = 32, 4
_MAX_USERNAMES = 50_000
# Ranges are dealt out in turn, so that no worker has all the long streams; their bounds come from
# samples of the log.
_RANGES_PER_WORKER, _SAMPLES_PER_RANGE = 4, 16
# A write to a pipe is undivided up to 4 KiB; a count takes some 40 bytes.
_DAYS_IN_A_LINE = 64
_NICENESS = 10  # the service goes first
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


class ReplayWorkers(NamedTuple):
    """Worker processes, and the URLs of the log, the read model and the replica for them."""

    processes: int
    store_url: str
    redis_url: str
    replica_url: str = ""

    def replay(
        self, store: LogReader, generation: Generation, until: int
    ) -> Iterator[ReplayProgress]:
        """Replay as the function ``replay`` does.

        Raises ReadModelUnavailableError if a worker fails.
        """
        ranges = stream_ranges(store, until, self.processes * _RANGES_PER_WORKER)
        order = {
            "store": self.store_url,
            "redis": self.redis_url,
            "replica": self.replica_url,
            "generation": generation.number,
            "until": until,
        }
        orders = [
            order | {"ranges": [list(one) for one in ranges[number :: self.processes]]}
            for number in range(self.processes)
        ]
        progress, output = os.pipe()
        with os.fdopen(progress, "rb") as lines, ExitStack() as stack:
            try:
                workers = [stack.enter_context(_worker(order, output)) for order in orders]
            finally:
                os.close(output)
            for line in lines:
                yield ReplayProgress(*orjson.loads(line))
            if any(worker.wait() for worker in workers):
                raise ReadModelUnavailableError("a process that filled it failed")


def stream_ranges(store: LogReader, until: int, number: int) -> list[StreamRange]:
    """Return at most ``number`` ranges of about the same size that contain every stream once."""
    samples = number * _SAMPLES_PER_RANGE
    positions = {until * step // samples for step in range(samples)}
    ids = sorted({event.stream_id for at in positions for event in store.read(at, 1)})
    cuts = sorted({ids[len(ids) * step // number] for step in range(1, number)} if ids else ())
    bounds = [ALL_STREAMS.first, *cuts, ALL_STREAMS.end]
    return [StreamRange(first, end) for first, end in pairwise(bounds)]


@contextmanager
def _worker(order: dict[str, Any], output: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(  # noqa: S603 - our own module, no shell
        command("projections.rebuild.replay"),
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=output,
        process_group=0,  # Ctrl-C is for the parent, which ends its workers
        env=environment(),
    ) as worker:
        try:
            assert worker.stdin is not None  # noqa: S101 - asked for
            with suppress(BrokenPipeError):  # it ended at once, and its exit code says so
                worker.stdin.write(orjson.dumps(order) + b"\n")
            yield worker
        finally:
            worker.kill()


def run_worker(work: Callable[[dict[str, Any]], int], *, niceness: int) -> NoReturn:
    """Run ``work`` on the order, a line of JSON from standard input, and exit with its result.

    The process ends when its parent does, or closes its standard input. An error is one line on
    standard error.
    """
    die_with_parent(os.getppid())
    os.nice(niceness)
    collect_garbage_rarely()
    order = orjson.loads(sys.stdin.buffer.readline())
    threading.Thread(target=die_with_stdin, daemon=True).start()
    try:
        code = work(order)
    except (CinelogError, RedisError) as error:
        sys.stderr.write(f"cinelog: {type(error).__name__}: {error}\n")
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an orderly end could wait for the thread, and so for ever


def collect_garbage_rarely() -> None:
    """Run the cyclic garbage collector rarely: events and rows contain no cycles.

    Looking for some takes a quarter of the time of a replay.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def _replay_ranges(order: dict[str, Any]) -> int:
    reader = Store.open(order["store"], create=False).reader(order["replica"])
    generation = Generation(open_redis(order["redis"]), order["generation"])
    with reader.reading(order["until"], current=False, wait_s=LONG_WAIT_S):
        for first, end in order["ranges"]:
            for step in replay(reader, generation, order["until"], StreamRange(first, end)):
                for line in _lines(step):
                    os.write(1, line)
    return 0


def _lines(step: ReplayProgress) -> Iterator[bytes]:
    """Yield a step as lines that are so short that those of several workers do not mix."""
    days = list(step.days.items())
    for start in range(0, len(days) or 1, _DAYS_IN_A_LINE):
        numbers = (0, 0) if start else (step.read, step.applied)
        yield orjson.dumps([*numbers, dict(days[start : start + _DAYS_IN_A_LINE])]) + b"\n"


if __name__ == "__main__":
    run_worker(_replay_ranges, niceness=_NICENESS)
