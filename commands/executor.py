"""Group commit: many waiting commands, one transaction.

One thread a process takes all commands that wait (at most 256), lets each decide, appends what
they decided in one transaction, and answers each with its receipt. A command on an aggregate that
the batch has already changed waits for the next batch. Where the transaction conflicts with
another process, the batch is done again command by command on fresh state.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar
from uuid import UUID

import structlog
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import IntegrityError

from commands.errors import BusyError, CinelogError, EventStoreUnavailableError
from commands.handlers import HANDLERS, Decision
from commands.messages import Command
from commands.movie import Movie
from commands.store import Store
from commands.user import User

A = TypeVar("A", bound=Aggregate)
BATCH = 256
MAX_WAITING = 10_000
# Each try loses only to a writer that won: twenty losses in a row mean something else is wrong.
_TRIES = 20
log = structlog.get_logger(__name__)


class Receipt(NamedTuple):
    """What became of a command: the aggregate, and a position that shows it."""

    about: Movie | User
    position: int
    events: int
    """How many events it appended."""
    replayed: bool = False
    """Whether this answers a request that was carried out before."""

    @property
    def appended(self) -> bool:
        """Whether anything was appended."""
        return self.events > 0


class Committed(NamedTuple):
    """A batch of commands, and what became of each; times are in nanoseconds since 1970."""

    commands: Sequence[Command]
    answers: Sequence[Receipt | Exception]
    began_ns: int
    ended_ns: int


class _WaitsError(Exception):
    """This command needs an aggregate that its batch has already changed."""


class _Batch:
    """The streams as one batch sees them, and what it has decided so far."""

    def __init__(self, store: Store, *, repeated: bool = False) -> None:
        self._store = store
        self._changed: set[UUID] = set()
        self.repeated = repeated

    def find(self, kind: type[A], stream_id: UUID) -> A | None:
        self._check(stream_id)
        return self._store.find(kind, stream_id)

    def movie(self, movie_id: UUID) -> Movie:
        self._check(movie_id)
        return self._store.movie(movie_id)

    def movie_at(self, movie_id: UUID, version: int) -> Movie:
        self._check(movie_id)
        return self._store.movie_at(movie_id, version)

    def _check(self, stream_id: UUID) -> None:
        if stream_id in self._changed:
            raise _WaitsError

    def decide(self, command: Command) -> Decision:
        decision = HANDLERS[type(command)](command, self)
        self._changed.update(one.id for one in _pending(decision))
        return decision


def _pending(decision: Decision) -> list[Aggregate]:
    return [one for one in (decision.about, *decision.beside) if one.pending_events]


def _count(pending: list[Aggregate]) -> int:
    return sum(len(one.pending_events) for one in pending)


def commit(
    store: Store, commands: Sequence[Command], *, repeated: bool = False
) -> list[Receipt | Exception]:
    """Carry out ``commands`` in as few transactions as they allow.

    Returns a receipt or an error for each, in their order; errors are never raised, so that no
    command suffers for another.
    """
    answers: dict[int, Receipt | Exception] = {}
    waiting = list(enumerate(commands))
    while waiting:
        batch = _Batch(store, repeated=repeated)
        decided: list[tuple[int, Decision, list[Aggregate]]] = []
        later: list[tuple[int, Command]] = []
        for index, command in waiting:
            try:
                decision = batch.decide(command)
            except _WaitsError:
                later.append((index, command))
            except Exception as error:  # noqa: BLE001 - it becomes this command's answer
                answers[index] = error
            else:
                decided.append((index, decision, _pending(decision)))
        answers |= _save(store, commands, decided)
        waiting = later
    return [answers[index] for index in range(len(commands))]


def preview(store: Store, command: Command) -> Movie | User:
    """Return what ``command`` would make of its aggregate; append nothing.

    Raises what the handler refuses with.
    """
    return _Batch(store).decide(command).about


def _save(
    store: Store,
    commands: Sequence[Command],
    decided: list[tuple[int, Decision, list[Aggregate]]],
) -> dict[int, Receipt | Exception]:
    events = {index: _count(pending) for index, _, pending in decided}
    try:
        positions = store.append([one for _, _, pending in decided for one in pending])
        head = store.head() if any(not pending for _, _, pending in decided) else 0
    except IntegrityError:
        return {index: _alone(store, commands[index]) for index, _, _ in decided}
    except CinelogError as error:
        return {index: error for index, _, _ in decided}
    return {
        index: Receipt(
            decision.about,
            max((positions[one.id] for one in pending), default=head),
            events[index],
            decision.replayed,
        )
        for index, decision, pending in decided
    }


def _alone(store: Store, command: Command) -> Receipt | Exception:
    """Carry out one command against writers elsewhere, on fresh state each time."""
    for _ in range(_TRIES):
        try:
            with store.turn():  # else a fast writer elsewhere could win every time
                decision = _Batch(store, repeated=True).decide(command)
                pending = _pending(decision)
                events = _count(pending)
                positions = store.append(pending)
                position = max(positions.values()) if positions else store.head()
        except IntegrityError:
            continue
        except Exception as error:  # noqa: BLE001 - it becomes this command's answer
            return error
        return Receipt(decision.about, position, events, decision.replayed)
    return EventStoreUnavailableError("too many writers at once")


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
                answers = commit(self._store, commands)
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
