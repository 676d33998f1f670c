"""Commands, and the request bodies inside them: frozen plain data."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from commands.aggregates.movie import EventMetadata, MovieDetails, Versions
from commands.aggregates.personal_tokens import Scope
from commands.errors import InvalidError
from commands.fields import (
    Email,
    Name,
    OptionalText,
    OptionalYear,
    Password,
    Text,
    Username,
    Version,
    Year,
)

MAX_REASON = 200


class Body(BaseModel):
    """A request body. Unknown and read-only fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the validated body. Raises InvalidError with every error of every field."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise InvalidError(error_messages(error)) from None


def error_messages(error: ValidationError) -> dict[str, list[str]]:
    """Return the messages of each field, without any input."""
    messages: dict[str, list[str]] = {}
    for one in error.errors(include_input=False, include_url=False):
        field = str(one["loc"][0]) if one["loc"] else "detail"
        if one["type"] == "missing":
            texts: tuple[str, ...] = ("This field is required.",)
        else:
            texts = one.get("ctx", {}).get("all", (one["msg"],))
        messages.setdefault(field, []).extend(texts)
    return messages


class MovieFields(Body):
    """All fields of a movie: the body of POST and PUT."""

    title: Text
    genre: Text
    year: Year

    def details(self) -> MovieDetails:
        """Return the fields of the movie."""
        return MovieDetails(**{name: getattr(self, name) for name in MovieDetails._fields})

    def changes(self) -> dict[str, str | int]:
        """Return every field: PUT replaces them all."""
        return self.details()._asdict()


class MovieChanges(Body):
    """Some fields of a movie: the body of PATCH."""

    title: OptionalText = None
    genre: OptionalText = None
    year: OptionalYear = None

    def changes(self) -> dict[str, str | int]:
        """Return the fields in the body."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class RevertTarget(Body):
    """The version to revert to, or to undo."""

    version: Version


class Registration(Body):
    """The body of a registration. ``password1`` is another name of ``password``."""

    username: Username
    email: Email
    password: Password = Field(validation_alias=AliasChoices("password", "password1"), repr=False)
    password2: Password = Field(repr=False)
    first_name: Name = ""
    last_name: Name = ""


# Python does not count them as printable, but words and emoji contain them: spaces of other widths,
# joiners and non-joiners.
_INVISIBLE_PARTS = re.compile("[\u00a0\u2000-\u200a\u200c\u200d\u202f\u205f\u3000]")


def parse_reason(text: str, field: str) -> str | None:
    """Return the reason of a change for its event, None for a blank text.

    Raises InvalidError, for ``field``, for more than 200 characters or unprintable ones.
    """
    reason = text.strip()
    if len(reason) > MAX_REASON:
        raise InvalidError(
            {field: [f"Ensure this field has no more than {MAX_REASON} characters."]}
        )
    if not _INVISIBLE_PARTS.sub("", reason).isprintable():
        raise InvalidError({field: ["Not a valid string."]})
    return reason or None


class Command(BaseModel):
    """A command of the account ``by``, for a request, at a time."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    by: UUID
    request_id: str
    at: datetime
    reason: str | None = None

    def metadata(self) -> EventMetadata:
        """Return the fields that every event of this command has."""
        return EventMetadata(str(self.by), self.request_id, self.at, self.reason)


class IdempotencyToken(BaseModel):
    """Makes a command happen once: the claim to reserve and the request's fingerprint."""

    model_config = ConfigDict(frozen=True)

    claim: UUID
    fingerprint: str = ""


class CreateMovie(Command):
    """Create a movie."""

    movie_id: UUID
    fields: MovieFields
    idempotency: IdempotencyToken | None = None


class UpdateMovie(Command):
    """Change a movie, if its version is ``expected`` and not ``excluded``."""

    movie_id: UUID
    fields: MovieFields | MovieChanges
    expected: Versions = None
    excluded: Versions = None


class RevertMovie(Command):
    """Restore the fields of a version, undeleting the movie if necessary. See UpdateMovie."""

    movie_id: UUID
    target: RevertTarget
    expected: Versions = None
    excluded: Versions = None
    idempotency: IdempotencyToken | None = None


class UndoChange(RevertMovie):
    """Take back what one version changed, and keep what later ones changed."""


class CheckMovie(Command):
    """Check that a movie exists, or existed (``or_deleted``), and belongs to ``by``."""

    movie_id: UUID
    or_deleted: bool = False


class DeleteMovie(Command):
    """Delete a movie."""

    movie_id: UUID
    expected: Versions = None
    excluded: Versions = None


class RegisterUser(Command):
    """Open the account ``by``."""

    username: str
    email: str
    first_name: str
    last_name: str
    password_hash: SecretStr


class OpenSession(Command):
    """Open a session; store the ``renewed_hash`` of the password, if any.

    ``password_version`` is the account's version that set the password that was checked.
    """

    sid: str
    password_version: int
    renewed_hash: SecretStr | None = None


class ChangePassword(Command):
    """Set a new password, from session ``sid``. See OpenSession."""

    sid: str
    password_version: int
    password_hash: SecretStr


class EndSession(Command):
    """End the session ``ended``, from session ``sid``."""

    sid: str
    ended: str


class EndSessions(Command):
    """End all sessions, from session ``sid``."""

    sid: str


class ReportReuse(Command):
    """End session ``sid``, whose refresh token was used twice."""

    sid: str


class CreateToken(Command):
    """Create a personal token for a number of days, from session ``sid`` ("": command line)."""

    sid: str
    token_id: UUID
    name: str
    scope: Scope
    days: int
    digest: str


class RevokeToken(Command):
    """Revoke a personal token, from session ``sid`` ("": command line)."""

    sid: str
    token_id: str


class OperatorCommand(Command):
    """A command on the account ``by``, of an ``operator``; None is the command line."""

    operator: UUID | None = None


class GrantOperator(OperatorCommand):
    """Grant the role of an operator."""


class RevokeOperator(OperatorCommand):
    """Revoke the role of an operator."""


class IssuePasswordLink(OperatorCommand):
    """Make the token of a ``digest`` good for one new password."""

    digest: str


class ResetPassword(OperatorCommand):
    """Set a new password, by an operator or by the token whose digest is ``link``."""

    password_hash: SecretStr
    link: str | None = None


class CloseAccount(OperatorCommand):
    """Close the account."""
