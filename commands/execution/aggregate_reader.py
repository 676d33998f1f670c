"""How handlers load aggregates, and what they return to be saved."""

from typing import NamedTuple, TypeVar
from uuid import UUID

from eventsourcing.domain import Aggregate

from commands.aggregates.movie import Movie
from commands.aggregates.user import User
from commands.event_store.store import Store

A = TypeVar("A", bound=Aggregate)


class DeferredError(Exception):
    """The command needs an aggregate that its batch has already changed."""


class AggregateReader:
    """Loads aggregates for the handlers. Raises DeferredError for those in ``changed``."""

    def __init__(self, store: Store, *, is_retry: bool = False) -> None:
        self._store = store
        self.changed: set[UUID] = set()
        self.is_retry = is_retry
        """Whether an earlier try of the command may have been committed."""
        self.empty: frozenset[UUID] = frozenset()
        """Streams that are known to have no event, and so need not be read."""

    def get(self, kind: type[A], stream_id: UUID) -> A | None:
        """Return the aggregate, None if the stream is empty or of another kind."""
        self._check(stream_id)
        return None if stream_id in self.empty else self._store.get(kind, stream_id)

    def movie(self, movie_id: UUID) -> Movie:
        """Return a movie. Raises NotFoundError, also for a deleted one."""
        self._check(movie_id)
        return self._store.movie(movie_id)

    def movie_at(self, movie_id: UUID, version: int) -> Movie:
        """Return a movie at one of its versions."""
        self._check(movie_id)
        return self._store.movie_at(movie_id, version)

    def _check(self, stream_id: UUID) -> None:
        if stream_id in self.changed:
            raise DeferredError


class CommandOutcome(NamedTuple):
    """The aggregate that a handler answers with, and others to save in the same transaction."""

    aggregate: Movie | User
    also_save: tuple[Aggregate, ...] = ()
    replayed: bool = False
