"""What accounts prove themselves with: the bodies of the calls under ``/auth/``, checked."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BeforeValidator, Field

from commands.errors import InvalidError
from commands.fields import LoginText, Password, text, text_schema
from commands.messages import Body, Registration
from commands.user import WRONG_OLD, User
from service.auth.passwords import password_problems

B = TypeVar("B", bound=Body)

# As long as a body may be: an over-long token is not valid, which is another answer.
_SomeToken = Annotated[
    str,
    BeforeValidator(text(max_length=1024 * 1024)),
    text_schema(max_length=1024 * 1024),
]


class Credentials(Body):
    """What signs an account in."""

    username: LoginText
    password: LoginText = Field(repr=False)


class PasswordChange(Body):
    """The password there is, and the one that is to be."""

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


def read_registration(body: dict[str, Any]) -> Registration:
    """Return a registration worth trying. Raises InvalidError with all that is wrong at once."""
    registration, sound, errors = _sound(Registration, body)
    new, again = sound("password", "password1"), sound("password2")
    names = sound("username") or "", sound("email") or ""
    if problems := _problems(new, again, *names):
        errors.setdefault("password", []).extend(problems)
    if registration is None or errors:
        raise InvalidError(errors)
    return registration


def read_password_change(
    body: dict[str, Any], user: User, is_right: Callable[[str], bool]
) -> PasswordChange:
    """Return a change whose old password ``is_right`` and whose new one is worth having.

    Raises InvalidError with all that is wrong at once. ``is_right`` is asked only about text.
    """
    change, sound, errors = _sound(PasswordChange, body)
    old = sound("old_password", "current_password")
    if old is not None and not is_right(old):
        errors["old_password"] = [WRONG_OLD]
    new, again = sound("new_password", "new_password1"), sound("new_password2")
    if problems := _problems(new, again, user.username, user.email):
        errors.setdefault("new_password", []).extend(problems)
    if change is None or errors:
        raise InvalidError(errors)
    return change


def _sound(
    kind: type[B], body: dict[str, Any]
) -> tuple[B | None, Callable[..., str | None], dict[str, list[str]]]:
    """Return the body where all is sound, a look-up of the texts that are, and what is wrong."""
    valid: B | None = None
    errors: dict[str, list[str]] = {}
    try:
        valid = kind.of(body)
        fields: dict[str, Any] = valid.model_dump()
    except InvalidError as error:
        errors = {field: list(messages) for field, messages in error.errors.items()}
        fields = {name: value for name, value in body.items() if name not in errors}

    def sound(*names: str) -> str | None:
        return next((fields[name] for name in names if isinstance(fields.get(name), str)), None)

    return valid, sound, errors


def _problems(password: str | None, again: str | None, username: str, email: str) -> list[str]:
    """Return what is wrong with a new password, as far as the fields that are sound can tell."""
    if password is None:
        return []
    problems = password_problems(password, username, email)
    if again is not None and again != password:
        problems.append("Password fields didn't match.")
    return problems
