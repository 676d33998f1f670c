"""Carries out the commands of a process: one thread, many waiting commands, one transaction.

The thread takes all commands that wait (at most 256), has them committed together, and answers
each with its receipt.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from commands.errors import BusyError
from commands.group_commit import BATCH, Receipt, commit
from commands.messages import Command
from commands.store import Store

MAX_WAITING = 10_000
log = structlog.get_logger(__name__)


class Committed(NamedTuple):
    """A batch of commands, and what became of each; times are in nanoseconds since 1970."""

    commands: Sequence[Command]
    answers: Sequence[Receipt | Exception]
    began_ns: int
    ended_ns: int


class _Waiting(NamedTuple):
    command: Command
    answer: "asyncio.Future[Receipt]"
    loop: asyncio.AbstractEventLoop


class Executor:
    """Carries out commands for the coroutines of a process.

    On the event loop, ``on_commit`` is called after each batch, and ``on_append(position)`` after
    each that appended.
    """

    def __init__(
        self,
        store: Store,
        on_append: Callable[[int], None] | None = None,
        on_commit: Callable[[Committed], None] | None = None,
    ) -> None:
        self._store = store
        self._on_append = on_append
        self._on_commit = on_commit
        self._waiting: deque[_Waiting] = deque()
        self._arrived = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="executor", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Carry out what waits, then end."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify()
        if self._thread.is_alive():
            self._thread.join()

    async def run(self, command: Command) -> Receipt:
        """Carry out a command; returns once it is durable.

        Raises what the handler refused with, BusyError when too many wait, and
        EventStoreUnavailableError.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Receipt] = loop.create_future()
        with self._arrived:
            if self._stopping or len(self._waiting) >= MAX_WAITING:
                raise BusyError("too many writes wait")
            self._waiting.append(_Waiting(command, answer, loop))
            self._arrived.notify()
        return await answer

    def _work(self) -> None:
        while batch := self._take():
            began_ns = time.time_ns()
            commands = [one.command for one in batch]
            try:
                answers = commit(self._store, commands, check_accounts=True)
            except Exception as error:  # the thread must live on: every later write hangs on it
                log.exception("a batch of commands failed", commands=len(batch))
                answers = [error] * len(batch)
            done = Committed(commands, answers, began_ns, time.time_ns())
            batch[0].loop.call_soon_threadsafe(self._answer, batch, done)

    def _take(self) -> list[_Waiting]:
        with self._arrived:
            while not self._waiting and not self._stopping:
                self._arrived.wait()
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _answer(self, batch: list[_Waiting], done: Committed) -> None:
        position = 0
        for one, answer in zip(batch, done.answers, strict=True):
            if isinstance(answer, Receipt) and answer.appended:
                position = max(position, answer.position)
            if one.answer.done():  # the client has gone; what it wrote stays written
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)
        if self._on_commit:
            self._on_commit(done)
        if position and self._on_append:
            self._on_append(position)
