"""The request bodies of the routes under ``/auth/``, validated."""

from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AliasChoices, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from commands.aggregates.personal_tokens import (
    DEFAULT_DAYS,
    MAX_DAYS,
    READ,
    WRITE,
    WRONG_SCOPE,
    Scope,
)
from commands.aggregates.user import WRONG_LINK, WRONG_OLD, User
from commands.errors import InvalidError
from commands.fields import (
    LoginText,
    Password,
    Text,
    choice,
    integer,
    integer_schema,
    text,
    text_schema,
)
from commands.messages import Body, Registration
from service.auth.passwords import password_problems

B = TypeVar("B", bound=Body)

# As long as a body may be: an over-long token is answered as an invalid token.
_SomeToken = Annotated[
    str,
    BeforeValidator(text(max_length=1024 * 1024)),
    text_schema(max_length=1024 * 1024),
]


class Credentials(Body):
    """The username and password of a login."""

    username: LoginText
    password: LoginText = Field(repr=False)


class PasswordChange(Body):
    """Old and new password."""

    old_password: LoginText = Field(
        validation_alias=AliasChoices("old_password", "current_password"), repr=False
    )
    new_password: Password = Field(
        validation_alias=AliasChoices("new_password", "new_password1"), repr=False
    )
    new_password2: Password = Field(repr=False)


class RefreshBody(Body):
    """A refresh token to exchange."""

    refresh: _SomeToken = Field(
        validation_alias=AliasChoices("refresh", "refresh_token"), repr=False
    )


class TokenBody(Body):
    """A token to verify or to revoke."""

    token: _SomeToken = Field(repr=False)


class PasswordReset(Body):
    """The token of a password link, and the new password."""

    token: _SomeToken = Field(repr=False)
    password: Password = Field(validation_alias=AliasChoices("password", "password1"), repr=False)
    password2: Password = Field(repr=False)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise PydanticCustomError("invalid", "Must be a valid boolean.")
    return value


class VerifyOptions(Body):
    """What a verification does beside comparing."""

    repair: Annotated[
        bool, BeforeValidator(_flag), Field(description="Whether to correct differences.")
    ] = False


class NewPassword(Body):
    """A new password by itself."""

    password: Password = Field(repr=False)


class PersonalTokenFields(Body):
    """What to create a personal token with."""

    name: Text
    scope: Annotated[
        Scope,
        BeforeValidator(choice(READ, WRITE, message=WRONG_SCOPE)),
        WithJsonSchema({"type": "string", "enum": [READ, WRITE]}),
    ]
    expires_in_days: Annotated[
        int, BeforeValidator(integer(at_most=MAX_DAYS)), integer_schema(at_most=MAX_DAYS)
    ] = DEFAULT_DAYS


def read_registration(body: dict[str, Any]) -> Registration:
    """Return a valid registration. Raises InvalidError with all errors at once."""
    partial = _PartialBody(Registration, body)
    new, repeated = partial.text("password", "password1"), partial.text("password2")
    names = partial.text("username") or "", partial.text("email") or ""
    partial.add("password", _problems(new, repeated, *names))
    return partial.valid()


def read_password_change(
    body: dict[str, Any], user: User, is_right: Callable[[str], bool]
) -> PasswordChange:
    """Return a valid change of the password. ``is_right`` checks the old one, if it is text.

    Raises InvalidError with all errors at once.
    """
    partial = _PartialBody(PasswordChange, body)
    old = partial.text("old_password", "current_password")
    if old is not None and not is_right(old):
        partial.errors["old_password"] = [WRONG_OLD]
    new, repeated = partial.text("new_password", "new_password1"), partial.text("new_password2")
    partial.add("new_password", _problems(new, repeated, user.username, user.email))
    return partial.valid()


def read_password_reset(
    body: dict[str, Any], user_of: Callable[[str], User | None]
) -> PasswordReset:
    """Return a valid reset. ``user_of`` returns the account that a valid token is for, else None.

    Raises InvalidError with all errors at once.
    """
    partial = _PartialBody(PasswordReset, body)
    token, user = partial.text("token"), None
    if token is not None and (user := user_of(token)) is None:
        partial.add("token", [WRONG_LINK])
    new, repeated = partial.text("password", "password1"), partial.text("password2")
    names = (user.username, user.email) if user else ("", "")
    partial.add("password", _problems(new, repeated, *names))
    return partial.valid()


def read_new_password(password: str, user: User) -> NewPassword:
    """Return a valid new password of an account. Raises InvalidError with all its problems."""
    partial = _PartialBody(NewPassword, {"password": password})
    given = partial.text("password")
    partial.add("password", _problems(given, None, user.username, user.email))
    return partial.valid()


class _PartialBody(Generic[B]):
    """A body whose valid fields can be checked further although others are not valid."""

    def __init__(self, kind: type[B], body: dict[str, Any]) -> None:
        self.errors: dict[str, list[str]] = {}
        self._body: B | None = None
        try:
            self._body = kind.of(body)
            self._fields = self._body.model_dump()
        except InvalidError as error:
            self.errors = {field: list(messages) for field, messages in error.errors.items()}
            self._fields = {name: value for name, value in body.items() if name not in self.errors}

    def text(self, *names: str) -> str | None:
        """Return the first of these fields that is valid text."""
        values = (self._fields.get(name) for name in names)
        return next((value for value in values if isinstance(value, str)), None)

    def add(self, field: str, problems: list[str]) -> None:
        """Add errors of a field."""
        if problems:
            self.errors.setdefault(field, []).extend(problems)

    def valid(self) -> B:
        """Return the body. Raises InvalidError if any field is not valid."""
        if self._body is None or self.errors:
            raise InvalidError(self.errors)
        return self._body


def _problems(password: str | None, repeated: str | None, username: str, email: str) -> list[str]:
    """Return the problems of a new password; fields that are not valid are None or empty."""
    if password is None:
        return []
    problems = password_problems(password, username, email)
    if repeated is not None and repeated != password:
        problems.append("Password fields didn't match.")
    return problems
