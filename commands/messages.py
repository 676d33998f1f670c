"""What the write side is asked to do: frozen commands, and the request bodies inside them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError

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
from commands.movie import EventMetadata, MovieDetails, Versions

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
            raise InvalidError(messages_of(error)) from None


def messages_of(error: ValidationError) -> dict[str, list[str]]:
    """Return field → messages, in the words of the contract and without any input."""
    said: dict[str, list[str]] = {}
    for one in error.errors(include_input=False, include_url=False):
        field = str(one["loc"][0]) if one["loc"] else "detail"
        if one["type"] == "missing":
            messages: tuple[str, ...] = ("This field is required.",)
        else:
            messages = one.get("ctx", {}).get("all", (one["msg"],))
        said.setdefault(field, []).extend(messages)
    return said


class MovieFields(Body):
    """A whole movie, as POST and PUT take it."""

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
    """Some fields of a movie, as PATCH takes them."""

    title: OptionalText = None
    genre: OptionalText = None
    year: OptionalYear = None

    def changes(self) -> dict[str, str | int]:
        """Return the fields that were given."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class RevertTarget(Body):
    """The version to go back to."""

    version: Version


class Registration(Body):
    """What opens an account. ``password1`` is another name of ``password``."""

    username: Username
    email: Email
    password: Password = Field(validation_alias=AliasChoices("password", "password1"), repr=False)
    password2: Password = Field(repr=False)
    first_name: Name = ""
    last_name: Name = ""


# Python does not count them as printable, yet words and emoji are made with them: spaces of other
# widths, and what joins letters or keeps them apart.
_UNSEEN_PARTS = re.compile("[\u00a0\u2000-\u200a\u200c\u200d\u202f\u205f\u3000]")


def reason_of(given: str, name: str) -> str | None:
    """Return why a change is made, as its event keeps it; None where nothing is said.

    Raises InvalidError, for the field ``name``, for more than 200 characters or unprintable ones.
    """
    reason = given.strip()
    if len(reason) > MAX_REASON:
        raise InvalidError({name: [f"Ensure this field has no more than {MAX_REASON} characters."]})
    if not _UNSEEN_PARTS.sub("", reason).isprintable():
        raise InvalidError({name: ["Not a valid string."]})
    return reason or None


class Command(BaseModel):
    """Who asks, for which request, and when."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    by: UUID
    request_id: str
    at: datetime
    reason: str | None = None

    def metadata(self) -> EventMetadata:
        """Return what every event of this command carries."""
        return EventMetadata(str(self.by), self.request_id, self.at, self.reason)


class IdempotencyToken(BaseModel):
    """What makes a command happen once: the claim it needs, and what tells it from others."""

    model_config = ConfigDict(frozen=True)

    claim: UUID
    fingerprint: str = ""


class CreateMovie(Command):
    """Create ``movie_id``."""

    movie_id: UUID
    fields: MovieFields
    idempotency: IdempotencyToken | None = None


class UpdateMovie(Command):
    """Change a movie. ``expected`` and ``excluded`` are the versions of the preconditions."""

    movie_id: UUID
    fields: MovieFields | MovieChanges
    expected: Versions = None
    excluded: Versions = None


class RevertMovie(Command):
    """Take a movie back to a version; one that is deleted comes back. See UpdateMovie."""

    movie_id: UUID
    target: RevertTarget
    expected: Versions = None
    excluded: Versions = None
    idempotency: IdempotencyToken | None = None


class CheckMovie(Command):
    """Check that a movie is there and belongs to ``by``; change nothing.

    A deleted movie counts as there with ``or_deleted``.
    """

    movie_id: UUID
    or_deleted: bool = False


class DeleteMovie(Command):
    """Delete a movie."""

    movie_id: UUID
    expected: Versions = None
    excluded: Versions = None


class RegisterUser(Command):
    """Open the account ``by`` (its own id); the password has been hashed by then."""

    username: str
    email: str
    first_name: str
    last_name: str
    password_hash: SecretStr


class OpenSession(Command):
    """Open a session, and keep the password under a renewed hash where there is one.

    ``password_version`` is the version that set the password which was checked.
    """

    sid: str
    password_version: int
    renewed_hash: SecretStr | None = None


class ChangePassword(Command):
    """Set a new password, from session ``sid``; the old one has been checked by then."""

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
    """End session ``sid``, of which a used refresh token came again."""

    sid: str
