"""Group commit: many commands in one transaction, each with its own result or error.

A command on an aggregate that the batch has already changed waits for the next batch. If the
transaction conflicts with another process, the commands of the batch are carried out one by one on
fresh state. Batches hold the writer lock, so that each is stamped after the last event of the log.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from eventsourcing.domain import Aggregate
from eventsourcing.persistence import IntegrityError

from commands.aggregates.movie import Movie
from commands.aggregates.user import User
from commands.errors import CinelogError, EventStoreUnavailableError
from commands.event_store.store import Store
from commands.execution.aggregate_reader import AggregateReader, CommandOutcome, DeferredError
from commands.execution.handlers import HANDLERS
from commands.messages import CheckMovie, Command, OperatorCommand, RegisterUser

# The most commands that a caller should put into one batch.
BATCH = 256
# Each failed try means that another writer succeeded: twenty in a row have another cause.
_TRIES = 20


class CommandResult(NamedTuple):
    """The aggregate after a command, and a position from which on it is visible."""

    aggregate: Movie | User
    position: int
    events: int
    """The number of appended events."""
    replayed: bool = False
    """Whether this is the answer to a request that was carried out before."""

    @property
    def movie(self) -> Movie:
        """The aggregate, after a command on a movie."""
        assert isinstance(self.aggregate, Movie)  # noqa: S101 - the caller knows its command
        return self.aggregate

    @property
    def user(self) -> User:
        """The aggregate, after a command on an account."""
        assert isinstance(self.aggregate, User)  # noqa: S101 - the caller knows its command
        return self.aggregate

    @property
    def appended(self) -> bool:
        """Whether the command appended an event."""
        return self.events > 0


class _Decided(NamedTuple):
    """A command that was decided, and is to be saved."""

    outcome: CommandOutcome
    pending: list[Aggregate]
    events: int
    """The number of pending events; an append empties them."""
    relies_on_log: bool
    """Whether its success says that an earlier append is durable: a replay, or nothing changes."""

    def result(self, positions: Mapping[UUID, int], head: int) -> CommandResult:
        position = max((positions[one.id] for one in self.pending), default=head)
        return CommandResult(self.outcome.aggregate, position, self.events, self.outcome.replayed)


class _Batch(AggregateReader):
    """Decides the commands of one transaction."""

    def __init__(
        self, store: Store, *, is_retry: bool = False, check_accounts: bool = False
    ) -> None:
        super().__init__(store, is_retry=is_retry)
        self._check_accounts = check_accounts
        self._last_timestamp = store.last_timestamp()

    def look_up_claims(self, commands: Iterable[Command]) -> None:
        """Find out for all commands at once which requests are new."""
        tokens = (getattr(command, "idempotency", None) for command in commands)
        claims = {token.claim for token in tokens if token is not None}
        if len(claims) > 1:
            self.empty = frozenset(claims - self._store.existing(claims))

    def decide(self, command: Command) -> _Decided:
        if self._check_accounts and not isinstance(command, RegisterUser | OperatorCommand):
            self._store.check_account(command.by)
        at = self._store.clock.timestamp(command.at, self._last_timestamp)
        if at is not command.at:
            command = command.model_copy(update={"at": at})
        outcome = HANDLERS[type(command)](command, self)
        pending = [one for one in (outcome.aggregate, *outcome.also_save) if one.pending_events]
        if pending:
            self.changed.update(one.id for one in pending)
            self._last_timestamp = at
        events = sum(len(one.pending_events) for one in pending)
        return _Decided(outcome, pending, events, not events and type(command) is not CheckMovie)


def commit(
    store: Store,
    commands: Sequence[Command],
    *,
    is_retry: bool = False,
    check_accounts: bool = False,
) -> list[CommandResult | Exception]:
    """Carry out ``commands`` in as few transactions as possible.

    Returns a result or an error for each, in their order; it raises none, so that no command fails
    because of another. With ``check_accounts``, commands of accounts that are not in the log get
    TokenNotValidError: a token outlives its account if the log was set back.
    """
    results: dict[int, CommandResult | Exception] = {}
    waiting = dict(enumerate(commands))
    while waiting:
        try:
            with store.writer_lock():
                batch = _Batch(store, is_retry=is_retry, check_accounts=check_accounts)
                batch.look_up_claims(waiting.values())
                results |= _commit_batch(store, batch, waiting)
        except CinelogError as error:
            results = dict.fromkeys(waiting, error) | results
        waiting = {index: one for index, one in waiting.items() if index not in results}
    return [results[index] for index in range(len(commands))]


def _commit_batch(
    store: Store, batch: _Batch, commands: Mapping[int, Command]
) -> dict[int, CommandResult | Exception]:
    """Return the results of one transaction; commands without a result wait for the next."""
    results: dict[int, CommandResult | Exception] = {}
    decided: dict[int, _Decided] = {}
    for index, command in commands.items():
        try:
            decided[index] = batch.decide(command)
        except DeferredError:
            continue
        except Exception as error:  # noqa: BLE001 - it becomes this command's result
            results[index] = error
    try:
        positions, head = _append(store, decided.values())
    except IntegrityError:
        for index in decided:
            results[index] = _commit_one(store, commands[index])
    except CinelogError as error:
        results |= dict.fromkeys(decided, error)
    else:
        for index, one in decided.items():
            results[index] = one.result(positions, head)
    return results


def _append(store: Store, decided: Iterable[_Decided]) -> tuple[dict[UUID, int], int]:
    """Append all pending events; return aggregates' positions and one not before any."""
    decided = list(decided)
    positions = store.append([aggregate for one in decided for aggregate in one.pending])
    if not positions and any(one.relies_on_log for one in decided):
        store.confirm()
    # The head is not read after an append: its error would hide that the append succeeded.
    return positions, max(positions.values(), default=0) or store.head()


def _commit_one(store: Store, command: Command) -> CommandResult | Exception:
    """Carry out one command, on fresh state each time it loses to a writer elsewhere."""
    for _ in range(_TRIES):
        try:
            with store.writer_lock():  # without it, a fast writer elsewhere could win every time
                decided = _Batch(store, is_retry=True).decide(command)
                positions, head = _append(store, [decided])
        except IntegrityError:
            continue
        except Exception as error:  # noqa: BLE001 - it becomes this command's result
            return error
        return decided.result(positions, head)
    return EventStoreUnavailableError("too many writers at once")


def preview(store: Store, command: Command) -> Movie | User:
    """Return the aggregate as it would be after ``command``; append nothing.

    Raises what the handler refuses with, and TokenNotValidError if the log does not have the
    account.
    """
    return _Batch(store, check_accounts=True).decide(command).outcome.aggregate
