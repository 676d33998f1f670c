"""A process of ours that carries out one order and ends with its parent: both ends of it."""

import asyncio
import gc
import os
import sys
import threading
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import orjson
from redis.exceptions import RedisError

from commands.errors import CinelogError
from projections.subprocesses import die_with_parent, die_with_stdin


async def order_work(
    argv: Sequence[str], environment: Mapping[str, str], order: Mapping[str, Any]
) -> int:
    """Run a process with an order; return its exit code. If cancelled, kill it."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=PIPE, stdout=DEVNULL, env=dict(environment)
    )
    try:
        assert process.stdin is not None  # noqa: S101 - asked for; it stays open till the end
        process.stdin.write(orjson.dumps(order) + b"\n")
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


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
