"""The log as readers see it: its events in order, and the aggregates that they make."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError
from eventsourcing.domain import Aggregate, OriginatorVersionError
from eventsourcing.utils import TopicError

from commands.aggregates.claims import Claim, username_claim
from commands.aggregates.event_types import DECODE_ERRORS, EVENT_TYPES
from commands.aggregates.movie import Movie
from commands.aggregates.user import User
from commands.errors import NotFoundError, StoreDamagedError, UnreadableEventError
from commands.event_store.application import CinelogApplication
from commands.event_store.event_codec import UNREADABLE
from commands.event_store.log.event_log import EventLog

A = TypeVar("A", bound=Aggregate)
P = ParamSpec("P")
T = TypeVar("T")
LONG_WAIT_S = 5.0
"""How long work that reads much of the log waits for a replica that is behind."""


class LogReader(EventLog):
    """Loads aggregates and reads the log. Safe to share between threads."""

    def __init__(self, application: CinelogApplication) -> None:
        super().__init__(application.recorder)
        self._application = application

    @contextmanager
    def reading(
        self,
        least: int = 0,  # noqa: ARG002
        *,
        current: bool = True,  # noqa: ARG002
        wait_s: float = 0.0,  # noqa: ARG002
    ) -> Iterator[None]:
        """Show at least the log up to a position to this thread.

        If ``current``, show also what the log has now. A reader of one server always shows all; a
        replica that is behind is given up to ``wait_s``.
        """
        yield

    def read_current(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``read`` does, with all that the log has now in sight."""
        with self.reading():
            return read(*args, **kwargs)

    def require(self, position: int) -> None:
        """Show at least the log up to a position for the rest of ``reading``."""

    def get(self, kind: type[A], stream_id: UUID) -> A | None:
        """Return the current aggregate, None if there is none of this kind.

        Raises UnreadableEventError, as all methods that load an aggregate.
        """
        with self._translating(), _translating_decode_errors(stream_id):
            try:
                aggregate: Aggregate = self._application.repository.get(stream_id)
            except AggregateNotFoundError:
                return None
        return aggregate if isinstance(aggregate, kind) else None

    def movie(self, movie_id: UUID) -> Movie:
        """Return a movie. Raises NotFoundError, also for a deleted one."""
        movie = self.get(Movie, movie_id)
        if movie is None:
            raise NotFoundError
        movie.ensure_exists()
        return movie

    def movie_at(self, movie_id: UUID, version: int) -> Movie:
        """Return a movie at one of its versions."""
        with self._translating(), _translating_decode_errors(movie_id):
            movie: Movie = self._application.repository.get(movie_id, version=version)
        return movie

    def user(self, account_id: UUID) -> User:
        """Return an account. Raises NotFoundError."""
        user = self.get(User, account_id)
        if user is None:
            raise NotFoundError("No such account.")
        return user

    def username_of(self, account_id: str) -> str:
        """Return an account's username. Raises NotFoundError."""
        try:
            return self.user(UUID(account_id)).username
        except StoreDamagedError:
            # The first event has the name and may be readable when a later one is not.
            for event in self.read_stream(UUID(account_id), limit=1):
                if EVENT_TYPES.get(event.type) is User.Created and UNREADABLE not in event.data:
                    return str(event.data["username"])
            raise

    def account_id_of(self, username: str) -> UUID | None:
        """Return the account that has a username, compared without regard to case."""
        claim = self.get(Claim, username_claim(username))
        return UUID(claim.owner) if claim else None


@contextmanager
def _translating_decode_errors(stream_id: UUID) -> Iterator[None]:
    """Raise UnreadableEventError for whatever a malformed event makes the library raise."""
    try:
        yield
    except (OriginatorVersionError, TopicError, *DECODE_ERRORS) as error:
        raise UnreadableEventError(stream_id) from error
