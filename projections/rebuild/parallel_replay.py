"""A replay that several processes share, each with ranges of streams.

``python -m projections.rebuild.parallel_replay`` is one of them. It reports its progress on
standard output, a line of JSON for each step.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from commands.errors import ReadModelUnavailableError
from commands.event_store.log_reader import LONG_WAIT_S, LogReader
from commands.event_store.store import Store
from projections.generation.state import Generation
from projections.rebuild.replay import ALL_STREAMS, ReplayProgress, StreamRange, replay
from projections.rebuild.worker_process import run_worker
from projections.redis_client import open_redis
from projections.subprocesses import command, environment

# Ranges are dealt out in turn, so that no worker has all the long streams; their bounds come from
# samples of the log.
_RANGES_PER_WORKER, _SAMPLES_PER_RANGE = 4, 16
# A write to a pipe is undivided up to 4 KiB; a count takes some 40 bytes.
_DAYS_IN_A_LINE = 64
_NICENESS = 10  # the service goes first


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
        command("projections.rebuild.parallel_replay"),
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
