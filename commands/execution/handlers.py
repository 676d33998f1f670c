"""One short function for each command: load, check, decide, return what to save."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from commands.aggregates.claims import Claim, email_claim, username_claim
from commands.aggregates.movie import Movie
from commands.aggregates.user import User
from commands.errors import (
    InvalidError,
    KeyReusedError,
    NotFoundError,
    TakenError,
    TokenNotValidError,
)
from commands.execution.aggregate_reader import AggregateReader, CommandOutcome
from commands.execution.operator_handlers import OPERATOR_HANDLERS
from commands.messages import (
    ChangePassword,
    CheckMovie,
    Command,
    CreateMovie,
    CreateToken,
    DeleteMovie,
    EndSession,
    EndSessions,
    OpenSession,
    RegisterUser,
    ReportReuse,
    RevertMovie,
    RevokeToken,
    UndoChange,
    UpdateMovie,
)


def _replay(
    command: CreateMovie | RevertMovie, aggregates: AggregateReader
) -> CommandOutcome | None:
    """Return the outcome of the first such request. Raises KeyReusedError for another request."""
    token = command.idempotency
    claim = aggregates.get(Claim, token.claim) if token else None
    if token is None or claim is None:
        return None
    if claim.fingerprint != token.fingerprint:
        raise KeyReusedError
    return CommandOutcome(aggregates.movie_at(UUID(claim.owner), claim.version), replayed=True)


def _with_claim(movie: Movie, command: CreateMovie | RevertMovie) -> CommandOutcome:
    """Return the outcome with a claim on the request, if it has an idempotency token."""
    token = command.idempotency
    if token is None:
        return CommandOutcome(movie)
    claim = Claim.make(token.claim, movie, command.metadata(), token.fingerprint)
    return CommandOutcome(movie, (claim,))


def create_movie(command: CreateMovie, aggregates: AggregateReader) -> CommandOutcome:
    """Create a movie; an idempotent request is answered as it was the first time."""
    if first := _replay(command, aggregates):
        return first
    # A lost connection can hide a commit that happened: the retry finds the movie by its id.
    if aggregates.is_retry and (movie := aggregates.get(Movie, command.movie_id)):
        return CommandOutcome(movie)
    movie = Movie.create(command.movie_id, command.fields.details(), command.metadata())
    return _with_claim(movie, command)


def _movie_or_deleted(movie_id: UUID, aggregates: AggregateReader) -> Movie:
    movie = aggregates.get(Movie, movie_id)
    if movie is None:
        raise NotFoundError
    return movie


def check_movie(command: CheckMovie, aggregates: AggregateReader) -> CommandOutcome:
    """Check that the account owns a movie."""
    movie = _movie_or_deleted(command.movie_id, aggregates)
    if not command.or_deleted:
        movie.ensure_exists()
    movie.check_creator(str(command.by))
    return CommandOutcome(movie)


def _checked_movie(command: UpdateMovie | DeleteMovie, aggregates: AggregateReader) -> Movie:
    movie = aggregates.movie(command.movie_id)
    movie.check_creator(str(command.by))
    movie.check_version(command.expected, command.excluded)
    return movie


def update_movie(command: UpdateMovie, aggregates: AggregateReader) -> CommandOutcome:
    """Change fields of the account's movie."""
    movie = _checked_movie(command, aggregates)
    movie.update(command.fields.changes(), command.metadata())
    return CommandOutcome(movie)


def delete_movie(command: DeleteMovie, aggregates: AggregateReader) -> CommandOutcome:
    """Delete the account's movie."""
    movie = _checked_movie(command, aggregates)
    movie.delete(command.metadata())
    return CommandOutcome(movie)


def _movie_with_version(command: RevertMovie, aggregates: AggregateReader) -> Movie:
    movie = _movie_or_deleted(command.movie_id, aggregates)
    movie.check_creator(str(command.by))
    if command.target.version > movie.version:
        raise InvalidError({"version": ["The movie has no such version."]})
    return movie


def revert_movie(command: RevertMovie, aggregates: AggregateReader) -> CommandOutcome:
    """Restore the fields that the account's movie had at a version, undeleting it if necessary."""
    if first := _replay(command, aggregates):
        return first
    movie = _movie_with_version(command, aggregates)
    then = aggregates.movie_at(movie.id, command.target.version)
    if then.deleted:
        raise InvalidError({"version": ["The movie was deleted at this version."]})
    movie.check_version(command.expected, command.excluded)
    movie.revert(then.details, command.metadata())
    return _with_claim(movie, command)


def undo_change(command: UndoChange, aggregates: AggregateReader) -> CommandOutcome:
    """Take back what one version of the account's movie changed."""
    if first := _replay(command, aggregates):
        return first
    movie, version = _movie_with_version(command, aggregates), command.target.version
    if version == 1:
        raise InvalidError({"version": ["The creation of a movie cannot be undone."]})
    before, then = (aggregates.movie_at(movie.id, number) for number in (version - 1, version))
    movie.check_version(command.expected, command.excluded)
    movie.undo(before, then, command.metadata())
    return _with_claim(movie, command)


def register_user(command: RegisterUser, aggregates: AggregateReader) -> CommandOutcome:
    """Open an account whose username and e-mail are still free."""
    claims = {
        "username": (username_claim(command.username), "A user with that username already exists."),
        "email": (email_claim(command.email), "This field must be unique."),
    }
    if aggregates.is_retry and (user := aggregates.get(User, command.by)):
        return CommandOutcome(user)
    taken = {
        field: [message]
        for field, (claim_id, message) in claims.items()
        if aggregates.get(Claim, claim_id)
    }
    if taken:
        raise TakenError(taken)
    metadata = command.metadata()
    user = User.register(
        command.by,
        username=command.username,
        email=command.email,
        first_name=command.first_name,
        last_name=command.last_name,
        password_hash=command.password_hash.get_secret_value(),
        metadata=metadata,
    )
    return CommandOutcome(
        user, tuple(Claim.make(claim_id, user, metadata) for claim_id, _ in claims.values())
    )


def _account(command: Command, aggregates: AggregateReader) -> User:
    """Return the acting account. Raises TokenNotValidError if the log does not have it."""
    user = aggregates.get(User, command.by)
    if user is None:
        raise TokenNotValidError
    return user


def open_session(command: OpenSession, aggregates: AggregateReader) -> CommandOutcome:
    """Open a session, unless the password was changed or all sessions ended meanwhile."""
    user, metadata = _account(command, aggregates), command.metadata()
    user.open_session(command.sid, metadata)
    if command.renewed_hash:
        renewed = command.renewed_hash.get_secret_value()
        user.rehash_password(command.password_version, renewed, metadata)
    return CommandOutcome(user)


def change_password(command: ChangePassword, aggregates: AggregateReader) -> CommandOutcome:
    """Set a new password and end all other sessions."""
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
    """End a session whose refresh token was used twice."""
    user = _account(command, aggregates)
    user.report_reuse(command.sid, command.metadata())
    return CommandOutcome(user)


def create_token(command: CreateToken, aggregates: AggregateReader) -> CommandOutcome:
    """Create a personal token."""
    user = _account(command, aggregates)
    user.create_token(
        command.sid,
        str(command.token_id),
        name=command.name,
        scope=command.scope,
        days=command.days,
        digest=command.digest,
        metadata=command.metadata(),
    )
    return CommandOutcome(user)


def revoke_token(command: RevokeToken, aggregates: AggregateReader) -> CommandOutcome:
    """Revoke a personal token."""
    user = _account(command, aggregates)
    # A lost connection can hide a commit that happened: the retry finds the token revoked.
    if not aggregates.is_retry or command.token_id in user.tokens:
        user.revoke_token(command.sid, command.token_id, command.metadata())
    return CommandOutcome(user)


Handler = Callable[[Any, AggregateReader], CommandOutcome]
HANDLERS: dict[type[Command], Handler] = {
    CheckMovie: check_movie,
    CreateMovie: create_movie,
    UpdateMovie: update_movie,
    RevertMovie: revert_movie,
    UndoChange: undo_change,
    DeleteMovie: delete_movie,
    RegisterUser: register_user,
    OpenSession: open_session,
    ChangePassword: change_password,
    EndSession: end_session,
    EndSessions: end_sessions,
    ReportReuse: report_reuse,
    CreateToken: create_token,
    RevokeToken: revoke_token,
    **OPERATOR_HANDLERS,
}
