"""Carries out the commands of a process: one thread, many waiting commands, one transaction.

The thread takes all commands that wait (at most 256), has them committed together, and answers
each with its receipt.

Nobody waits for longer than ``ANSWER_S``. A command that was not begun by then is taken out of the
queue and never carried out; of one that was begun the outcome is not known. A batch has to be done
before its oldest command gives up. Where the event store is found to be away, all that wait are
told at once.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from commands.database.deadline import within
from commands.errors import BusyError, EventStoreUnavailableError, OutcomeUnknownError
from commands.event_store.store import Store
from commands.group_commit import BATCH, CommandResult, commit
from commands.messages import Command

MAX_WAITING = 10_000
ANSWER_S = 4.6
# A batch ends so long before its oldest command gives up; one with less time left is not begun.
_SPARE_S, _LEAST_S = 0.4, 1.5
_STOP_S = 6.0
log = structlog.get_logger(__name__)


class CommittedBatch(NamedTuple):
    """A batch of commands, and what became of each; times are in nanoseconds since 1970."""

    commands: Sequence[Command]
    answers: Sequence[CommandResult | Exception]
    began_ns: int
    ended_ns: int


@dataclass(eq=False, slots=True)
class _Waiting:
    command: Command
    answer: "asyncio.Future[CommandResult]"
    loop: asyncio.AbstractEventLoop
    gives_up_at: float
    """In seconds of the monotonic clock."""


class Executor:
    """Carries out commands for the coroutines of a process.

    On the event loop, ``on_commit`` is called after each batch, and ``on_append(position)`` after
    each that appended.
    """

    def __init__(
        self,
        store: Store,
        on_append: Callable[[int], None] | None = None,
        on_commit: Callable[[CommittedBatch], None] | None = None,
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
        """Carry out what waits, then end; a store that hangs is not waited for."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        if self._thread.is_alive():
            log.error("the executor was left behind in a call of the event store")

    async def run(self, command: Command) -> CommandResult:
        """Carry out a command; returns once it is durable.

        Raises what the handler refused with, BusyError when too many wait,
        EventStoreUnavailableError where it was not carried out and never will be, and
        OutcomeUnknownError where it may have been.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[CommandResult] = loop.create_future()
        with self._arrived:
            if self._stopping or len(self._waiting) >= MAX_WAITING:
                raise BusyError("too many writes wait")
            waiting = _Waiting(command, answer, loop, time.monotonic() + ANSWER_S)
            self._waiting.append(waiting)
            self._arrived.notify()
        timer = loop.call_later(ANSWER_S, self._give_up, waiting)
        try:
            return await answer
        finally:
            timer.cancel()

    def _give_up(self, waiting: _Waiting) -> None:
        with self._arrived:
            try:
                self._waiting.remove(waiting)
            except ValueError:
                error: EventStoreUnavailableError = OutcomeUnknownError("it does not answer")
            else:
                error = EventStoreUnavailableError("earlier writes take too long")
        if not waiting.answer.done():
            waiting.answer.set_exception(error)

    def _work(self) -> None:
        while batch := self._take():
            began_ns = time.time_ns()
            commands = [one.command for one in batch]
            try:
                answers = self._commit(batch)
            except Exception as error:  # the thread must live on: every later write hangs on it
                log.exception("a batch of commands failed", commands=len(batch))
                answers = [error] * len(batch)
            done = CommittedBatch(commands, answers, began_ns, time.time_ns())
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                batch[0].loop.call_soon_threadsafe(self._answer, batch, done)

    def _commit(self, batch: list[_Waiting]) -> list[CommandResult | Exception]:
        now = time.monotonic()
        in_time = [one for one in batch if one.gives_up_at - now >= _SPARE_S + _LEAST_S]
        answers: dict[int, CommandResult | Exception] = {}
        if in_time:
            with within(in_time[0].gives_up_at - now - _SPARE_S):
                done = commit(self._store, [one.command for one in in_time], check_accounts=True)
            answers = {id(one): answer for one, answer in zip(in_time, done, strict=True)}
        late = EventStoreUnavailableError("earlier writes take too long")
        return [answers.get(id(one), late) for one in batch]

    def _take(self) -> list[_Waiting]:
        with self._arrived:
            while not self._waiting and not self._stopping:
                self._arrived.wait()
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _answer(self, batch: list[_Waiting], done: CommittedBatch) -> None:
        position = 0
        for one, answer in zip(batch, done.answers, strict=True):
            if isinstance(answer, CommandResult) and answer.appended:
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
