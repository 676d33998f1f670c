"""One short function a command: load, check, decide, return what is to be saved."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from eventsourcing.domain import Aggregate

from commands.claims import Claim, email_claim, username_claim
from commands.errors import (
    InvalidError,
    KeyReusedError,
    NotFoundError,
    TakenError,
    TokenNotValidError,
)
from commands.messages import (
    ChangePassword,
    CheckMovie,
    Command,
    CreateMovie,
    DeleteMovie,
    EndSession,
    EndSessions,
    IdempotencyToken,
    OpenSession,
    RegisterUser,
    ReportReuse,
    RevertMovie,
    UpdateMovie,
)
from commands.movie import Movie
from commands.user import User

A = TypeVar("A", bound=Aggregate)


class AggregateReader(Protocol):
    """What handlers read. ``repeated`` tells that a first try of this command conflicted."""

    repeated: bool

    def find(self, kind: type[A], stream_id: UUID) -> A | None:
        """Return the aggregate, or None where the stream is empty or of another kind."""

    def movie(self, movie_id: UUID) -> Movie:
        """Return a movie that is there. Raises NotFoundError."""

    def movie_at(self, movie_id: UUID, version: int) -> Movie:
        """Return a movie as it was at a version it has had."""


class CommandOutcome(NamedTuple):
    """What a handler answers with, and what else is to be saved in the same transaction."""

    about: Movie | User
    beside: tuple[Aggregate, ...] = ()
    replayed: bool = False


def _first_answer(once: IdempotencyToken | None, streams: AggregateReader) -> CommandOutcome | None:
    """Return the answer of the first such request. Raises KeyReusedError for another request."""
    claim = streams.find(Claim, once.claim) if once else None
    if once is None or claim is None:
        return None
    if claim.fingerprint != once.fingerprint:
        raise KeyReusedError
    return CommandOutcome(streams.movie_at(UUID(claim.owner), claim.version), replayed=True)


def _claimed(movie: Movie, command: CreateMovie | RevertMovie) -> CommandOutcome:
    """Return the decision about ``movie``, with the claim on its request where it has one."""
    if command.once is None:
        return CommandOutcome(movie)
    claim = Claim.make(command.once.claim, movie, command.stamp(), command.once.fingerprint)
    return CommandOutcome(movie, (claim,))


def create_movie(command: CreateMovie, streams: AggregateReader) -> CommandOutcome:
    """Create a movie; what is to happen once is answered as it was the first time."""
    if first := _first_answer(command.once, streams):
        return first
    # A lost connection can hide a commit that happened: the second try finds it by its id.
    if streams.repeated and (there := streams.find(Movie, command.movie_id)):
        return CommandOutcome(there)
    movie = Movie.create(command.movie_id, command.fields.details(), command.stamp())
    return _claimed(movie, command)


def _found(movie_id: UUID, streams: AggregateReader) -> Movie:
    """Return a movie, deleted or not. Raises NotFoundError."""
    movie = streams.find(Movie, movie_id)
    if movie is None:
        raise NotFoundError
    return movie


def check_movie(command: CheckMovie, streams: AggregateReader) -> CommandOutcome:
    """Check that a movie is one's own."""
    movie = _found(command.movie_id, streams)
    if not command.or_deleted:
        movie.check_there()
    movie.check_creator(str(command.by))
    return CommandOutcome(movie)


def update_movie(command: UpdateMovie, streams: AggregateReader) -> CommandOutcome:
    """Change a movie of one's own."""
    movie = streams.movie(command.movie_id)
    movie.check_creator(str(command.by))
    movie.check_version(command.expected, command.excluded)
    movie.update(command.fields.changes(), command.stamp())
    return CommandOutcome(movie)


def revert_movie(command: RevertMovie, streams: AggregateReader) -> CommandOutcome:
    """Take a movie of one's own back to a version at which it was there."""
    if first := _first_answer(command.once, streams):
        return first
    movie = _found(command.movie_id, streams)
    movie.check_creator(str(command.by))
    if command.target.version > movie.version:
        raise InvalidError({"version": ["The movie has no such version."]})
    then = streams.movie_at(movie.id, command.target.version)
    if then.deleted:
        raise InvalidError({"version": ["The movie was deleted at this version."]})
    movie.check_version(command.expected, command.excluded)
    movie.revert(then.details, command.stamp())
    return _claimed(movie, command)


def delete_movie(command: DeleteMovie, streams: AggregateReader) -> CommandOutcome:
    """Delete a movie of one's own."""
    movie = streams.movie(command.movie_id)
    movie.check_creator(str(command.by))
    movie.check_version(command.expected, command.excluded)
    movie.delete(command.stamp())
    return CommandOutcome(movie)


def register_user(command: RegisterUser, streams: AggregateReader) -> CommandOutcome:
    """Open an account whose username and e-mail are still free."""
    claims = {
        "username": (username_claim(command.username), "A user with that username already exists."),
        "email": (email_claim(command.email), "This field must be unique."),
    }
    if streams.repeated and (there := streams.find(User, command.by)):
        return CommandOutcome(there)
    taken = {
        field: [message]
        for field, (claim_id, message) in claims.items()
        if streams.find(Claim, claim_id)
    }
    if taken:
        raise TakenError(taken)
    stamp = command.stamp()
    user = User._create(  # noqa: SLF001 - the library's way to give an aggregate its id
        User.Created,
        id=command.by,
        username=command.username,
        email=command.email,
        first_name=command.first_name,
        last_name=command.last_name,
        password_hash=command.password_hash.get_secret_value(),
        request_id=command.request_id,
        timestamp=command.at,
    )
    return CommandOutcome(
        user, tuple(Claim.make(claim_id, user, stamp) for claim_id, _ in claims.values())
    )


def _account(command: Command, streams: AggregateReader) -> User:
    """Return the account that acts. Raises TokenNotValidError where this log has none such."""
    user = streams.find(User, command.by)
    if user is None:
        raise TokenNotValidError
    return user


def open_session(command: OpenSession, streams: AggregateReader) -> CommandOutcome:
    """Open a session, unless it comes too late."""
    user, stamp = _account(command, streams), command.stamp()
    user.open_session(command.sid, stamp)
    if command.renewed_hash:
        renewed = command.renewed_hash.get_secret_value()
        user.rehash_password(command.known_since, renewed, stamp)
    return CommandOutcome(user)


def change_password(command: ChangePassword, streams: AggregateReader) -> CommandOutcome:
    """Set a new password; other sessions end."""
    user = _account(command, streams)
    new = command.password_hash.get_secret_value()
    user.change_password(command.sid, command.known_since, new, command.stamp())
    return CommandOutcome(user)


def end_session(command: EndSession, streams: AggregateReader) -> CommandOutcome:
    """End one session."""
    user = _account(command, streams)
    user.end_session(command.sid, command.ended, command.stamp())
    return CommandOutcome(user)


def end_sessions(command: EndSessions, streams: AggregateReader) -> CommandOutcome:
    """End all sessions."""
    user = _account(command, streams)
    user.end_sessions(command.sid, command.stamp())
    return CommandOutcome(user)


def report_reuse(command: ReportReuse, streams: AggregateReader) -> CommandOutcome:
    """End a session that two hold."""
    user = _account(command, streams)
    user.report_reuse(command.sid, command.stamp())
    return CommandOutcome(user)


Handler = Callable[[Any, AggregateReader], CommandOutcome]
HANDLERS: dict[type[Command], Handler] = {
    CheckMovie: check_movie,
    CreateMovie: create_movie,
    UpdateMovie: update_movie,
    RevertMovie: revert_movie,
    DeleteMovie: delete_movie,
    RegisterUser: register_user,
    OpenSession: open_session,
    ChangePassword: change_password,
    EndSession: end_session,
    EndSessions: end_sessions,
    ReportReuse: report_reuse,
}
