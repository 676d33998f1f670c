"""Given events, when a command, then events: tests of aggregates without a store.

Reads as ``given(movie_created()).when(update(title="Aliens")).then(Movie.Updated, title="Aliens")``.
"""

from eventsourcing.domain import Aggregate
from eventsourcing.utils import get_topic

from commands.aggregates.movie import Movie
from commands.aggregates.user import User
from commands.errors import CinelogError, NotFoundError
from commands.execution.handlers import HANDLERS, AggregateReader
from tests.controls import ALIEN, ANN, MOVIE, NOON


def movie_created(by=ANN, **fields):
    return Movie.Created, {"by": str(by), "originator_topic": get_topic(Movie), **ALIEN, **fields}


def happened(kind, **fields):
    """Return an event of an existing aggregate; ``by`` is the creator of the movie."""
    return kind, ({"by": str(ANN)} if issubclass(kind, Movie.Event) else {}) | fields


def user_registered(password_hash="$argon2id$old"):
    names = {"username": "ann", "email": "ann@example.org", "first_name": "", "last_name": ""}
    fields = names | {"password_hash": password_hash, "originator_topic": get_topic(User)}
    return User.Created, fields


def given(*events):
    return Scenario(events)


class _Events(AggregateReader):
    """Reads one aggregate from events in memory."""

    def __init__(self, events):
        self.is_retry = False
        self.changed = set()
        self._events = events

    def at(self, version):
        aggregate = None
        for number, (kind, fields) in enumerate(self._events[:version], 1):
            stream = MOVIE if issubclass(kind, Movie.Event) else ANN
            event = kind(
                originator_id=stream,
                originator_version=number,
                timestamp=NOON,
                request_id="request-0",
                **fields,
            )
            aggregate = event.mutate(aggregate)
        return aggregate

    def get(self, kind, stream_id):
        aggregate = self.at(len(self._events))
        return aggregate if isinstance(aggregate, kind) and aggregate.id == stream_id else None

    def movie(self, movie_id):
        movie = self.get(Movie, movie_id)
        if movie is None:
            raise NotFoundError
        movie.ensure_exists()
        return movie

    def movie_at(self, movie_id, version):
        assert self.get(Movie, movie_id)
        return self.at(version)


class Scenario:
    """One aggregate with its past events, and the outcome of a command."""

    def __init__(self, events):
        self._reader = _Events(events)
        self.error = None
        self.aggregate = self._reader.get(Aggregate, MOVIE) or self._reader.get(Aggregate, ANN)
        """The aggregate after the command."""
        self.appended = []

    def when(self, command):
        self._command = command
        try:
            self.aggregate = HANDLERS[type(command)](command, self._reader).aggregate
        except CinelogError as error:
            self.error = error
        else:
            self.appended = self.aggregate.collect_events()
        return self

    def then(self, kind, **fields):
        """Check that one event of this kind, with these fields, is all that was appended."""
        assert self.error is None
        (event,) = self.appended
        assert type(event) is kind
        assert {name: getattr(event, name) for name in fields} == fields
        assert event.timestamp == self._command.at
        assert event.request_id == self._command.request_id
        return self

    def then_nothing(self):
        assert self.error is None
        assert not self.appended
        return self

    def then_refused(self, kind):
        assert type(self.error) is kind
        return self
