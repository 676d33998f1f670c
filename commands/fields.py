"""The field types of request bodies. Each says what is wrong in the words clients know."""

import re
import unicodedata
from collections.abc import Callable
from typing import Annotated

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from commands.field_schemas import EMAIL, USERNAME, integer_schema, text_schema
from commands.text import is_visible

MAX_TEXT = 100
MAX_YEAR = 9999
MAX_VERSION = 2**53
_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,40})(?:\.0*)?\s*")
_USERNAME = re.compile(r"[\w.@+-]+")
_LOCAL = "localhost"
# Reserved names (RFC 6761) cannot be reached from everywhere, which is not what is asked here.
SPECIAL_USE_DOMAIN_NAMES.clear()


def refuse(*messages: str) -> PydanticCustomError:
    """Return the error that carries every one of ``messages`` for one field."""
    return PydanticCustomError("invalid", "{said}", {"said": " ".join(messages), "all": messages})


def _as_text(value: object) -> str:
    if value is None:
        raise refuse("This field may not be null.")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refuse("Not a valid string.")
    return str(value)


def text(*, max_length: int, blank: bool = False, trim: bool = True) -> Callable[[object], str]:
    """Return a validator for text of at most ``max_length`` characters.

    Text is blank where nothing of it prints; a password (not trimmed) where it is only white space.
    """

    def validate(value: object) -> str:
        said = _as_text(value)
        if trim:
            said = said.strip()
        if not blank and not (is_visible(said) if trim else said.strip()):
            raise refuse("This field may not be blank.")
        wrong = []
        if len(said) > max_length:
            wrong.append(f"Ensure this field has no more than {max_length} characters.")
        if "\0" in said:
            wrong.append("Null characters are not allowed.")
        if wrong:
            raise refuse(*wrong)
        return said

    return validate


def integer(*, at_most: int) -> Callable[[object], int]:
    """Return a validator for an integer from 1; numeric text counts, booleans do not."""

    def validate(value: object) -> int:
        if value is None:
            raise refuse("This field may not be null.")
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, float) and value.is_integer():
            number = int(value)
        elif isinstance(value, str) and (match := _INTEGER.fullmatch(value)):
            number = int(match[1])
        if number is None:
            raise refuse("A valid integer is required.")
        if number < 1:
            raise refuse("Ensure this value is greater than or equal to 1.")
        if number > at_most:
            raise refuse(f"Ensure this value is less than or equal to {at_most}.")
        return number

    return validate


def username(value: object) -> str:
    """Validate a username; compatibility forms are stored as what they look like (NFKC)."""
    name = unicodedata.normalize("NFKC", text(max_length=150)(value))
    if not _USERNAME.fullmatch(name):
        raise refuse(
            "Enter a valid username. This value may contain only letters, "
            "numbers, and @/./+/-/_ characters."
        )
    return name


def email(value: object) -> str:
    """Validate an e-mail address (RFC 5321 syntax; whether it can be reached is not asked)."""
    address = text(max_length=254)(value)
    try:
        found = validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise refuse("Enter a valid email address.") from None
    if "." not in found.domain and found.domain != _LOCAL:
        raise refuse("Enter a valid email address.")
    return found.normalized


Text = Annotated[str, BeforeValidator(text(max_length=MAX_TEXT)), text_schema(max_length=MAX_TEXT)]
OptionalText = Annotated[
    str | None, BeforeValidator(text(max_length=MAX_TEXT)), text_schema(max_length=MAX_TEXT)
]
Year = Annotated[int, BeforeValidator(integer(at_most=MAX_YEAR)), integer_schema(at_most=MAX_YEAR)]
OptionalYear = Annotated[
    int | None, BeforeValidator(integer(at_most=MAX_YEAR)), integer_schema(at_most=MAX_YEAR)
]
Version = Annotated[
    int, BeforeValidator(integer(at_most=MAX_VERSION)), integer_schema(at_most=MAX_VERSION)
]
Username = Annotated[str, BeforeValidator(username), USERNAME]
Email = Annotated[str, BeforeValidator(email), EMAIL]
Name = Annotated[
    str, BeforeValidator(text(max_length=150, blank=True)), text_schema(max_length=150, blank=True)
]
# A password is never trimmed; the limit bounds the work of hashing it.
Password = Annotated[
    str,
    BeforeValidator(text(max_length=1024, trim=False)),
    text_schema(max_length=1024, min_length=8),
]
# What is compared, not stored: an over-long log-in name is simply wrong.
LoginText = Annotated[
    str,
    BeforeValidator(text(max_length=1024, trim=False)),
    text_schema(max_length=1024),
]
