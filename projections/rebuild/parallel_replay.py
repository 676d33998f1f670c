"""Replays the log into a generation with several processes.

``python -m projections.rebuild.parallel_replay`` is one of them. Each takes a share of the streams.
It hears on standard input what to do, says on standard output,
a line of JSON at a time, what it has done, and ends when its input closes: with its parent.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import orjson
from redis.exceptions import RedisError

from commands.errors import CinelogError, ReadModelUnavailableError
from commands.event_store.store import Store
from projections.generation.writer import GenerationWriter
from projections.rebuild.replay import (
    ALL_STREAMS,
    ReplayProgress,
    StreamRange,
    collect_garbage_rarely,
    replay,
)
from projections.redis_client import open_redis
from projections.subprocesses import command, die_with_stdin, environment

# Shares are dealt out in turn, so that no process has all the long ones; and so many samples of
# the log a share tell where shares end.
_SHARES, _SAMPLES = 4, 16
# Whatever else runs goes first: clients are waiting for it.
_NICE = 10


class ReplayWorkers(NamedTuple):
    """So many processes, and where they find the log and the read model."""

    processes: int
    store_url: str
    redis_url: str

    def replay(self, store: Store, view: GenerationWriter, until: int) -> Iterator[ReplayProgress]:
        """Fill a generation as ``replay.replay`` does.

        Raises ReadModelUnavailableError where one of the processes fails.
        """
        out, said = os.pipe()
        children: list[subprocess.Popen[bytes]] = []
        try:
            spans = stream_ranges(store, until, self.processes * _SHARES)
            for number in range(self.processes):
                order = {
                    "store": self.store_url,
                    "redis": self.redis_url,
                    "generation": view.number,
                    "until": until,
                    "spans": [[*span] for span in spans[number :: self.processes]],
                }
                children.append(_start(order, said))
            os.close(said)
            said = -1
            with os.fdopen(out, "rb") as lines:
                out = -1
                for line in lines:
                    yield ReplayProgress(*orjson.loads(line))
            if any(child.wait() for child in children):
                raise ReadModelUnavailableError("a process that filled it failed")
        finally:
            for end in (out, said):
                if end >= 0:
                    os.close(end)
            for child in children:
                child.kill()
                child.wait()
                if child.stdin is not None:
                    child.stdin.close()


def stream_ranges(store: Store, until: int, number: int) -> list[StreamRange]:
    """Return up to ``number`` spans that together are everything, of about the same size."""
    samples = number * _SAMPLES
    positions = {until * step // samples for step in range(samples)}
    found = sorted({event.stream_id for at in positions for event in store.read(at, 1)})
    cuts = sorted(
        {found[len(found) * step // number] for step in range(1, number)} if found else ()
    )
    return [
        StreamRange(first, end)
        for first, end in zip((ALL_STREAMS.first, *cuts), (*cuts, ALL_STREAMS.end), strict=True)
    ]


def _start(order: dict[str, Any], said: int) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(  # noqa: S603 - our own module, no shell
        command("projections.rebuild.parallel_replay"),
        stdin=subprocess.PIPE,
        stdout=said,
        process_group=0,  # Ctrl-C is for the parent, which ends its children
        env=environment(),
    )
    assert child.stdin is not None  # noqa: S101 - asked for
    with suppress(BrokenPipeError):  # it ended at once, and its code says so
        child.stdin.write(orjson.dumps(order) + b"\n")
        child.stdin.flush()
    return child


def main() -> int:
    """Do one process's share."""
    os.nice(_NICE)
    collect_garbage_rarely()
    order = orjson.loads(sys.stdin.buffer.readline())
    threading.Thread(target=die_with_stdin, daemon=True).start()
    try:
        store = Store.open(order["store"], create=False)
        view = GenerationWriter(open_redis(order["redis"]), order["generation"])
        for first, end in order["spans"]:
            for done in replay(store, view, order["until"], StreamRange(first, end)):
                os.write(1, orjson.dumps([*done]) + b"\n")
    except (CinelogError, RedisError) as error:
        sys.stderr.write(f"cinelog: {type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
