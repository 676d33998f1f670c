"""Many commands, one transaction: each gets its receipt or its error, none suffers for another.

A command on an aggregate that the batch has already changed waits for the next batch. Where the
transaction conflicts with another process, the batch is done again command by command on fresh
state. Batches of all processes take turns, so that each is stamped after the last event of the log.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar
from uuid import UUID

from eventsourcing.domain import Aggregate
from eventsourcing.persistence import IntegrityError

from commands.errors import CinelogError, EventStoreUnavailableError
from commands.event_store.store import Store
from commands.handlers import HANDLERS, CommandOutcome
from commands.messages import Command, RegisterUser
from commands.movie import Movie
from commands.user import User

A = TypeVar("A", bound=Aggregate)
# How many commands a caller puts together at most.
BATCH = 256
# Each try loses only to a writer that won: twenty losses in a row mean something else is wrong.
_TRIES = 20


class CommandResult(NamedTuple):
    """What became of a command: the aggregate, and a position that shows it."""

    aggregate: Movie | User
    position: int
    events: int
    """How many events it appended."""
    replayed: bool = False
    """Whether this answers a request that was carried out before."""

    @property
    def appended(self) -> bool:
        """Whether anything was appended."""
        return self.events > 0


class _WaitsError(Exception):
    """This command needs an aggregate that its batch has already changed."""


class _Batch:
    """The streams as one batch sees them, and what it has decided so far."""

    def __init__(
        self, store: Store, *, is_retry: bool = False, check_accounts: bool = False
    ) -> None:
        self._store = store
        self._check_accounts = check_accounts
        self._changed: set[UUID] = set()
        self._last_stamp = store.last_timestamp()
        self.is_retry = is_retry

    def get(self, kind: type[A], stream_id: UUID) -> A | None:
        self._check(stream_id)
        return self._store.get(kind, stream_id)

    def movie(self, movie_id: UUID) -> Movie:
        self._check(movie_id)
        return self._store.movie(movie_id)

    def movie_at(self, movie_id: UUID, version: int) -> Movie:
        self._check(movie_id)
        return self._store.movie_at(movie_id, version)

    def _check(self, stream_id: UUID) -> None:
        if stream_id in self._changed:
            raise _WaitsError

    def decide(self, command: Command) -> CommandOutcome:
        if self._check_accounts and not isinstance(command, RegisterUser):
            self._store.check_account(command.by)
        at = self._store.clock.stamp(command.at, self._last_stamp)
        if at is not command.at:
            command = command.model_copy(update={"at": at})
        decision = HANDLERS[type(command)](command, self)
        if pending := _pending(decision):
            self._changed.update(one.id for one in pending)
            self._last_stamp = at
        return decision


def _pending(decision: CommandOutcome) -> list[Aggregate]:
    return [one for one in (decision.aggregate, *decision.also_save) if one.pending_events]


def _count(pending: list[Aggregate]) -> int:
    return sum(len(one.pending_events) for one in pending)


def commit(
    store: Store,
    commands: Sequence[Command],
    *,
    is_retry: bool = False,
    check_accounts: bool = False,
) -> list[CommandResult | Exception]:
    """Carry out ``commands`` in as few transactions as they allow.

    To ``check_accounts`` refuses those of accounts that the log does not have, with
    TokenNotValidError: a token outlives an account where the log was set back.
    Returns a receipt or an error for each, in their order; errors are never raised, so that no
    command suffers for another.
    """
    answers: dict[int, CommandResult | Exception] = {}
    waiting = list(enumerate(commands))
    while waiting:
        try:
            with store.writer_lock():
                batch = _Batch(store, is_retry=is_retry, check_accounts=check_accounts)
                waiting = _carry_out(store, batch, waiting, answers)
        except CinelogError as error:
            unanswered = [index for index in range(len(commands)) if index not in answers]
            answers |= dict.fromkeys(unanswered, error)
            break
    return [answers[index] for index in range(len(commands))]


def _carry_out(
    store: Store,
    batch: _Batch,
    waiting: list[tuple[int, Command]],
    answers: dict[int, CommandResult | Exception],
) -> list[tuple[int, Command]]:
    """Add the answers of one transaction; return the commands that wait for the next."""
    decided: list[tuple[int, CommandOutcome, list[Aggregate]]] = []
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
    answers |= _save(store, dict(waiting), decided)
    return later


def preview(store: Store, command: Command) -> Movie | User:
    """Return what ``command`` would make of its aggregate; append nothing.

    Raises what the handler refuses with, and TokenNotValidError for an account that the log does
    not have.
    """
    return _Batch(store, check_accounts=True).decide(command).aggregate


def _save(
    store: Store,
    commands: Mapping[int, Command],
    decided: list[tuple[int, CommandOutcome, list[Aggregate]]],
) -> dict[int, CommandResult | Exception]:
    events = {index: _count(pending) for index, _, pending in decided}
    try:
        positions = store.append([one for _, _, pending in decided for one in pending])
        # What was appended is never answered with an error of a later call.
        head = max(positions.values(), default=0) or store.head()
    except IntegrityError:
        return {index: _alone(store, commands[index]) for index, _, _ in decided}
    except CinelogError as error:
        return {index: error for index, _, _ in decided}
    return {
        index: CommandResult(
            decision.aggregate,
            max((positions[one.id] for one in pending), default=head),
            events[index],
            decision.replayed,
        )
        for index, decision, pending in decided
    }


def _alone(store: Store, command: Command) -> CommandResult | Exception:
    """Carry out one command against writers elsewhere, on fresh state each time."""
    for _ in range(_TRIES):
        try:
            with store.writer_lock():  # else a fast writer elsewhere could win every time
                decision = _Batch(store, is_retry=True).decide(command)
                pending = _pending(decision)
                events = _count(pending)
                positions = store.append(pending)
                position = max(positions.values()) if positions else store.head()
        except IntegrityError:
            continue
        except Exception as error:  # noqa: BLE001 - it becomes this command's answer
            return error
        return CommandResult(decision.aggregate, position, events, decision.replayed)
    return EventStoreUnavailableError("too many writers at once")
