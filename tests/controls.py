"""Example values and commands: the defaults for everything that a test does not depend on."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import uuid_utils.compat
from hypothesis import HealthCheck, settings
from pydantic import SecretStr

from commands.aggregates.movie import EventMetadata
from commands.messages import (
    ChangePassword,
    CheckMovie,
    CloseAccount,
    CreateMovie,
    CreateToken,
    DeleteMovie,
    EndSession,
    EndSessions,
    GrantOperator,
    IssuePasswordLink,
    MovieChanges,
    MovieFields,
    OpenSession,
    RegisterUser,
    ReportReuse,
    ResetPassword,
    RevertMovie,
    RevertTarget,
    RevokeOperator,
    RevokeToken,
    UndoChange,
    UpdateMovie,
)

ANN = UUID("01890000-0000-7000-8000-000000000001")
TOKEN = UUID("01890000-0000-7000-8000-0000000000aa")
BOB = UUID("01890000-0000-7000-8000-000000000002")
MOVIE = UUID("01890000-0000-7000-8000-00000000000a")
NOON = datetime(2026, 1, 2, 12, 0, 0, 250, tzinfo=UTC)
ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}
# For tests that draw a log for each example and share the fixtures.
SOME_DRAWS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def new_id():
    return uuid_utils.compat.uuid7()


def metadata(by=ANN, *, minutes=0, request_id="request-1"):
    return EventMetadata(str(by), request_id, NOON + timedelta(minutes=minutes))


def _metadata(by=ANN, request_id="request-1"):
    return {"by": by, "request_id": request_id, "at": datetime.now(UTC)}


def create(movie_id=None, *, by=ANN, request_id="request-1", idempotency=None, **fields):
    return CreateMovie(
        **_metadata(by, request_id),
        movie_id=movie_id or new_id(),
        fields=MovieFields.of(ALIEN | fields),
        idempotency=idempotency,
    )


def update(movie_id=MOVIE, *, by=ANN, request_id="request-1", expected=None, **changes):
    fields = MovieChanges.of(changes)
    return UpdateMovie(
        **_metadata(by, request_id), movie_id=movie_id, fields=fields, expected=expected
    )


def delete(movie_id=MOVIE, *, by=ANN, request_id="request-1", expected=None):
    return DeleteMovie(**_metadata(by, request_id), movie_id=movie_id, expected=expected)


def check(movie_id=MOVIE, *, by=ANN, or_deleted=False):
    return CheckMovie(**_metadata(by), movie_id=movie_id, or_deleted=or_deleted)


def revert(movie_id=MOVIE, *, version=1, by=ANN, expected=None):
    target = RevertTarget.of({"version": version})
    return RevertMovie(**_metadata(by), movie_id=movie_id, target=target, expected=expected)


def undo(movie_id=MOVIE, *, version, by=ANN, expected=None):
    target = RevertTarget.of({"version": version})
    return UndoChange(**_metadata(by), movie_id=movie_id, target=target, expected=expected)


def register(account=None, *, username="ann", email=None, password_hash="$argon2id$x"):
    return RegisterUser(
        **_metadata(account or new_id()),
        username=username,
        email=email or f"{username}@example.org",
        first_name="",
        last_name="",
        password_hash=SecretStr(password_hash),
    )


def open_session(sid, *, password_version=1, renewed_hash=None):
    return OpenSession(
        **_metadata(), sid=sid, password_version=password_version, renewed_hash=renewed_hash
    )


def change_password(sid, password_hash="$argon2id$new", *, password_version=1):
    return ChangePassword(
        **_metadata(), sid=sid, password_version=password_version, password_hash=password_hash
    )


def end_session(sid, ended=None):
    return EndSession(**_metadata(), sid=sid, ended=ended or sid)


def end_sessions(sid):
    return EndSessions(**_metadata(), sid=sid)


def report_reuse(sid):
    return ReportReuse(**_metadata(), sid=sid)


def grant_operator(account=ANN, *, operator=None):
    return GrantOperator(**_metadata(account), operator=operator)


def revoke_operator(account=ANN, *, operator=None):
    return RevokeOperator(**_metadata(account), operator=operator)


def issue_link(digest="digest-1", *, operator=None):
    return IssuePasswordLink(**_metadata(), operator=operator, digest=digest)


def reset_password(password_hash="$argon2id$new", *, link=None, operator=None, at=None):
    fields = _metadata() | ({"at": at} if at else {})
    return ResetPassword(**fields, operator=operator, link=link, password_hash=password_hash)


def close_account(account=ANN, *, operator=None):
    return CloseAccount(**_metadata(account), operator=operator)


def create_token(
    sid="", token_id=TOKEN, *, by=ANN, at=None, name="backup", scope="read", days=90, digest="d"
):
    return CreateToken(
        **_metadata(by) | ({"at": at} if at else {}),
        sid=sid,
        token_id=token_id,
        name=name,
        scope=scope,
        days=days,
        digest=digest,
    )


def revoke_token(sid="", token_id=TOKEN, *, by=ANN, at=None):
    return RevokeToken(
        **_metadata(by) | ({"at": at} if at else {}), sid=sid, token_id=str(token_id)
    )
