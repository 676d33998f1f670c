"""Executor: one thread commits all commands that wait, at most ``BATCH`` in one transaction.

No command waits longer than the executor's limit. After that, a queued command is removed and never
carried out; a running one may or may not have been committed, and the thread goes on with it. A
batch must end before its oldest command times out. Commands are refused at once while the event
store is known to be unavailable, or a commit hangs.
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
from commands.execution.group_commit import BATCH, CommandResult, commit
from commands.messages import Command

MAX_WAITING = 1_000
COMMIT_WAIT_S = 5.0
# Of the limit: a batch ends so long before its oldest command times out; one with less time left is
# not begun.
_RESERVE, _LEAST = 0.08, 0.3
_STOP_S = 2.0
log = structlog.get_logger(__name__)


class CommittedBatch(NamedTuple):
    """The commands of a batch and their results; times are in nanoseconds since 1970."""

    commands: Sequence[Command]
    results: Sequence[CommandResult | Exception]
    began_ns: int
    ended_ns: int


@dataclass(eq=False, slots=True)
class _Waiting:
    command: Command
    result: "asyncio.Future[CommandResult]"
    loop: asyncio.AbstractEventLoop
    times_out_at: float
    """In seconds of the monotonic clock."""


class Executor:
    """Carries out the commands of a process.

    On the event loop, ``on_commit`` is called after each batch, and ``on_append(position)`` after
    each that appended. A command waits for at most ``wait_s``; at most ``most`` wait or are carried
    out at a time.
    """

    def __init__(
        self,
        store: Store,
        on_append: Callable[[int], None] | None = None,
        on_commit: Callable[[CommittedBatch], None] | None = None,
        *,
        wait_s: float = COMMIT_WAIT_S,
        most: int = MAX_WAITING,
    ) -> None:
        self._store = store
        self._on_append = on_append
        self._on_commit = on_commit
        self._wait_s = wait_s
        self._most = most
        self._running = 0
        self._waiting: deque[_Waiting] = deque()
        self._arrived = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._work, name="executor", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Carry out what waits, then end; leave the thread behind if the store hangs."""
        with self._arrived:
            self._is_stopping = True
            self._arrived.notify()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        if self._thread.is_alive():
            log.error("the executor was left behind in a call of the event store")

    async def run(self, command: Command) -> CommandResult:
        """Carry out a command; return once it is durable.

        Raises what the handler refuses with, BusyError if too many commands wait,
        EventStoreUnavailableError if it is never carried out, and OutcomeUnknownError if it may
        have been.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[CommandResult] = loop.create_future()
        with self._arrived:
            if self._is_stopping or len(self._waiting) + self._running >= self._most:
                raise BusyError("too many writes wait")
            self._store.check_writable()
            waiting = _Waiting(command, result, loop, time.monotonic() + self._wait_s)
            self._waiting.append(waiting)
            self._arrived.notify()
        timer = loop.call_later(self._wait_s, self._time_out, waiting)
        try:
            return await result
        finally:
            timer.cancel()

    def _time_out(self, waiting: _Waiting) -> None:
        with self._arrived:
            try:
                self._waiting.remove(waiting)
            except ValueError:
                error: EventStoreUnavailableError = OutcomeUnknownError("it does not answer")
            else:
                error = EventStoreUnavailableError("earlier writes take too long")
        if not waiting.result.done():
            waiting.result.set_exception(error)

    def _work(self) -> None:
        while batch := self._take():
            began_ns = time.time_ns()
            commands = [one.command for one in batch]
            try:
                results = self._commit(batch)
            except Exception as error:  # the thread must survive: all later writes depend on it
                log.exception("a batch of commands failed", commands=len(batch))
                results = [error] * len(batch)
            self._running = 0
            done = CommittedBatch(commands, results, began_ns, time.time_ns())
            with suppress(RuntimeError):  # the loop has ended, and all that waited on it
                batch[0].loop.call_soon_threadsafe(self._resolve, batch, done)

    def _commit(self, batch: list[_Waiting]) -> list[CommandResult | Exception]:
        now, reserve_s = time.monotonic(), _RESERVE * self._wait_s
        least_s = reserve_s + _LEAST * self._wait_s
        in_time = [one for one in batch if one.times_out_at - now >= least_s]
        results: dict[int, CommandResult | Exception] = {}
        if in_time:
            with within(in_time[0].times_out_at - now - reserve_s):
                done = commit(self._store, [one.command for one in in_time], check_accounts=True)
            results = {id(one): result for one, result in zip(in_time, done, strict=True)}
        late = EventStoreUnavailableError("earlier writes take too long")
        return [results.get(id(one), late) for one in batch]

    def _take(self) -> list[_Waiting]:
        with self._arrived:
            while not self._waiting and not self._is_stopping:
                self._arrived.wait()
            self._running = min(BATCH, len(self._waiting))
            return [self._waiting.popleft() for _ in range(self._running)]

    def _resolve(self, batch: list[_Waiting], done: CommittedBatch) -> None:
        position = 0
        for one, result in zip(batch, done.results, strict=True):
            if isinstance(result, CommandResult) and result.appended:
                position = max(position, result.position)
            if one.result.done():  # the client has disconnected; its write stays
                continue
            if isinstance(result, Exception):
                one.result.set_exception(result)
            else:
                one.result.set_result(result)
        if self._on_commit:
            self._on_commit(done)
        if position and self._on_append:
            self._on_append(position)
