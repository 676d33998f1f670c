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
    """What handlers read. ``is_retry`` tells that a first try of this command conflicted."""

    is_retry: bool

    def get(self, kind: type[A], stream_id: UUID) -> A | None:
        """Return the aggregate, or None where the stream is empty or of another kind."""

    def movie(self, movie_id: UUID) -> Movie:
        """Return a movie that is there. Raises NotFoundError."""

    def movie_at(self, movie_id: UUID, version: int) -> Movie:
        """Return a movie as it was at a version it has had."""


class CommandOutcome(NamedTuple):
    """What a handler answers with, and what else is to be saved in the same transaction."""

    aggregate: Movie | User
    also_save: tuple[Aggregate, ...] = ()
    replayed: bool = False


def _first_answer(
    idempotency: IdempotencyToken | None, aggregates: AggregateReader
) -> CommandOutcome | None:
    """Return the answer of the first such request. Raises KeyReusedError for another request."""
    claim = aggregates.get(Claim, idempotency.claim) if idempotency else None
    if idempotency is None or claim is None:
        return None
    if claim.fingerprint != idempotency.fingerprint:
        raise KeyReusedError
    return CommandOutcome(aggregates.movie_at(UUID(claim.owner), claim.version), replayed=True)


def _claimed(movie: Movie, command: CreateMovie | RevertMovie) -> CommandOutcome:
    """Return the decision about ``movie``, with the claim on its request where it has one."""
    if command.idempotency is None:
        return CommandOutcome(movie)
    claim = Claim.make(
        command.idempotency.claim, movie, command.metadata(), command.idempotency.fingerprint
    )
    return CommandOutcome(movie, (claim,))


def create_movie(command: CreateMovie, aggregates: AggregateReader) -> CommandOutcome:
    """Create a movie; what is to happen once is answered as it was the first time."""
    if first := _first_answer(command.idempotency, aggregates):
        return first
    # A lost connection can hide a commit that happened: the second try finds it by its id.
    if aggregates.is_retry and (there := aggregates.get(Movie, command.movie_id)):
        return CommandOutcome(there)
    movie = Movie.create(command.movie_id, command.fields.details(), command.metadata())
    return _claimed(movie, command)


def _found(movie_id: UUID, aggregates: AggregateReader) -> Movie:
    """Return a movie, deleted or not. Raises NotFoundError."""
    movie = aggregates.get(Movie, movie_id)
    if movie is None:
        raise NotFoundError
    return movie


def check_movie(command: CheckMovie, aggregates: AggregateReader) -> CommandOutcome:
    """Check that a movie is one's own."""
    movie = _found(command.movie_id, aggregates)
    if not command.or_deleted:
        movie.ensure_exists()
    movie.check_creator(str(command.by))
    return CommandOutcome(movie)


def update_movie(command: UpdateMovie, aggregates: AggregateReader) -> CommandOutcome:
    """Change a movie of one's own."""
    movie = aggregates.movie(command.movie_id)
    movie.check_creator(str(command.by))
    movie.check_version(command.expected, command.excluded)
    movie.update(command.fields.changes(), command.metadata())
    return CommandOutcome(movie)


def revert_movie(command: RevertMovie, aggregates: AggregateReader) -> CommandOutcome:
    """Take a movie of one's own back to a version at which it was there."""
    if first := _first_answer(command.idempotency, aggregates):
        return first
    movie = _found(command.movie_id, aggregates)
    movie.check_creator(str(command.by))
    if command.target.version > movie.version:
        raise InvalidError({"version": ["The movie has no such version."]})
    then = aggregates.movie_at(movie.id, command.target.version)
    if then.deleted:
        raise InvalidError({"version": ["The movie was deleted at this version."]})
    movie.check_version(command.expected, command.excluded)
    movie.revert(then.details, command.metadata())
    return _claimed(movie, command)


def delete_movie(command: DeleteMovie, aggregates: AggregateReader) -> CommandOutcome:
    """Delete a movie of one's own."""
    movie = aggregates.movie(command.movie_id)
    movie.check_creator(str(command.by))
    movie.check_version(command.expected, command.excluded)
    movie.delete(command.metadata())
    return CommandOutcome(movie)


def register_user(command: RegisterUser, aggregates: AggregateReader) -> CommandOutcome:
    """Open an account whose username and e-mail are still free."""
    claims = {
        "username": (username_claim(command.username), "A user with that username already exists."),
        "email": (email_claim(command.email), "This field must be unique."),
    }
    if aggregates.is_retry and (there := aggregates.get(User, command.by)):
        return CommandOutcome(there)
    taken = {
        field: [message]
        for field, (claim_id, message) in claims.items()
        if aggregates.get(Claim, claim_id)
    }
    if taken:
        raise TakenError(taken)
    metadata = command.metadata()
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
        user, tuple(Claim.make(claim_id, user, metadata) for claim_id, _ in claims.values())
    )


def _account(command: Command, aggregates: AggregateReader) -> User:
    """Return the account that acts. Raises TokenNotValidError where this log has none such."""
    user = aggregates.get(User, command.by)
    if user is None:
        raise TokenNotValidError
    return user


def open_session(command: OpenSession, aggregates: AggregateReader) -> CommandOutcome:
    """Open a session, unless it comes too late."""
    user, metadata = _account(command, aggregates), command.metadata()
    user.open_session(command.sid, metadata)
    if command.renewed_hash:
        renewed = command.renewed_hash.get_secret_value()
        user.rehash_password(command.password_version, renewed, metadata)
    return CommandOutcome(user)


def change_password(command: ChangePassword, aggregates: AggregateReader) -> CommandOutcome:
    """Set a new password; other sessions end."""
    user = _account(command, aggregates)
    new = command.password_hash.get_secret_value()
    user.change_password(command.sid, command.password_version, new, command.metadata())
    return CommandOutcome(user)


def end_session(command: EndSession, aggregates: AggregateReader) -> CommandOutcome:
    """End one session."""
    user = _account(command, aggregates)
    user.end_session(command.sid, command.ended, command.metadata())
    return CommandOutcome(user)


def end_sessions(command: EndSessions, aggregates: AggregateReader) -> CommandOutcome:
    """End all sessions."""
    user = _account(command, aggregates)
    user.end_sessions(command.sid, command.metadata())
    return CommandOutcome(user)


def report_reuse(command: ReportReuse, aggregates: AggregateReader) -> CommandOutcome:
    """End a session that two hold."""
    user = _account(command, aggregates)
    user.report_reuse(command.sid, command.metadata())
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
