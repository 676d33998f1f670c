"""What accounts prove themselves with: the bodies of the calls under ``/auth/``, checked."""

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from commands.errors import InvalidError
from commands.fields import Given, text
from commands.messages import Body, Registration
from service.passwords import password_problems

# As long as a body may be: an over-long token is not valid, which is another answer.
_SomeToken = Annotated[str, BeforeValidator(text(max_length=1024 * 1024))]


class Credentials(Body):
    """What signs an account in."""

    username: Given
    password: Given = Field(repr=False)


class Refreshing(Body):
    """A refresh token to exchange."""

    refresh: _SomeToken = Field(
        validation_alias=AliasChoices("refresh", "refresh_token"), repr=False
    )


class Presented(Body):
    """A token to verify or to revoke."""

    token: _SomeToken = Field(repr=False)


def read_registration(body: dict[str, Any]) -> Registration:
    """Return a registration worth trying. Raises InvalidError with all that is wrong at once."""
    registration: Registration | None = None
    errors: dict[str, list[str]] = {}
    try:
        registration = Registration.of(body)
        sound: dict[str, Any] = registration.model_dump()
    except InvalidError as error:
        errors = {field: list(messages) for field, messages in error.errors.items()}
        sound = {name: value for name, value in body.items() if name not in errors}
        sound.setdefault("password", sound.get("password1"))
    problems = _password_errors(sound)
    if registration is None or problems:
        if problems:
            errors.setdefault("password", []).extend(problems)
        raise InvalidError(errors)
    return registration


def _password_errors(sound: dict[str, Any]) -> list[str]:
    """Return what is wrong with the password, as far as the fields that are sound can tell."""
    username, email, password, repeated = (
        value if isinstance(value := sound.get(name), str) else None
        for name in ("username", "email", "password", "password2")
    )
    if password is None:
        return []
    problems = password_problems(password, username or "", email or "")
    if repeated is not None and repeated != password:
        problems.append("Password fields didn't match.")
    return problems
