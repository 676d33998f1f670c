"""The field types of request bodies: validators with their messages, and JSON Schemas.

A schema describes what a client should send. The validators accept more: numbers for text, digits
in a string for an integer, white space around either. So generated clients get simple types.
Patterns mean the same in Python's ``re`` and in ECMA-262; they leave out invisible characters
beyond U+FFFF.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Annotated

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from commands.text import INVISIBLE, is_visible

MAX_TEXT = 100
MAX_YEAR = 9999
MAX_VERSION = 2**53
_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,40})(?:\.0*)?\s*")
_USERNAME = re.compile(r"[\w.@+-]+")
_LOCAL = "localhost"
# Reserved names (RFC 6761) are valid addresses, though they cannot be reached from everywhere.
SPECIAL_USE_DOMAIN_NAMES.clear()


def _invalid(*messages: str) -> PydanticCustomError:
    """Return an error that has all messages of one field."""
    return PydanticCustomError("invalid", "{text}", {"text": " ".join(messages), "all": messages})


def _as_text(value: object) -> str:
    if value is None:
        raise _invalid("This field may not be null.")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _invalid("Not a valid string.")
    return str(value)


def text(*, max_length: int, blank: bool = False, trim: bool = True) -> Callable[[object], str]:
    """Return a validator for text of at most ``max_length`` characters.

    Text without a visible character is blank; a password (not trimmed) if it is only white space.
    """

    def validate(value: object) -> str:
        result = _as_text(value)
        if trim:
            result = result.strip()
        if not blank and not (is_visible(result) if trim else result.strip()):
            raise _invalid("This field may not be blank.")
        errors = []
        if len(result) > max_length:
            errors.append(f"Ensure this field has no more than {max_length} characters.")
        if "\0" in result:
            errors.append("Null characters are not allowed.")
        if errors:
            raise _invalid(*errors)
        return result

    return validate


def integer(*, at_most: int) -> Callable[[object], int]:
    """Return a validator for an integer from 1; numeric text counts, booleans do not."""

    def validate(value: object) -> int:
        if value is None:
            raise _invalid("This field may not be null.")
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, float) and value.is_integer():
            number = int(value)
        elif isinstance(value, str) and (match := _INTEGER.fullmatch(value)):
            number = int(match[1])
        if number is None:
            raise _invalid("A valid integer is required.")
        if number < 1:
            raise _invalid("Ensure this value is greater than or equal to 1.")
        if number > at_most:
            raise _invalid(f"Ensure this value is less than or equal to {at_most}.")
        return number

    return validate


def choice(*choices: str, message: str) -> Callable[[object], str]:
    """Return a validator for one of some texts; ``message`` says which."""

    def validate(value: object) -> str:
        result = _as_text(value).strip()
        if result not in choices:
            raise _invalid(message)
        return result

    return validate


def username(value: object) -> str:
    """Return a valid username in the compatibility form NFKC."""
    name = unicodedata.normalize("NFKC", text(max_length=150)(value))
    if not _USERNAME.fullmatch(name):
        raise _invalid(
            "Enter a valid username. This value may contain only letters, "
            "numbers, and @/./+/-/_ characters."
        )
    return name


def email(value: object) -> str:
    """Return a valid e-mail address (RFC 5321 syntax)."""
    address = text(max_length=254)(value)
    try:
        parsed = validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise _invalid("Enter a valid email address.") from None
    if "." not in parsed.domain and parsed.domain != _LOCAL:
        raise _invalid("Enter a valid email address.")
    return parsed.normalized


_NOT_BLANK = rf"^[^\x00]*[^{INVISIBLE}\x00][^\x00]*$"
_NO_NUL = r"^[^\x00]*$"


def text_schema(*, max_length: int, min_length: int = 1, blank: bool = False) -> WithJsonSchema:
    """Return the schema of ``text``; lengths are in characters."""
    schema = {"type": "string", "maxLength": max_length}
    if blank:
        return WithJsonSchema(schema | {"pattern": _NO_NUL})
    return WithJsonSchema(schema | {"minLength": min_length, "pattern": _NOT_BLANK})


def integer_schema(*, at_most: int) -> WithJsonSchema:
    """Return the schema of ``integer``."""
    return WithJsonSchema({"type": "integer", "minimum": 1, "maximum": at_most})


USERNAME = WithJsonSchema(
    {
        "type": "string",
        "pattern": rf"^[^{INVISIBLE}\x00!-*,/:-?\[-^`{{-\x7f]{{1,150}}$",
        "description": "1 to 150 letters, digits and any of `@ . + - _`, of any script; "
        "stored in the compatibility form NFKC. Unique without regard to case.",
    }
)
EMAIL = WithJsonSchema(
    {
        "type": "string",
        "format": "email",
        "maxLength": 254,
        "description": "An e-mail address, unique without regard to case.",
    }
)
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
# For comparison only: an over-long log-in name is simply wrong.
LoginText = Annotated[
    str,
    BeforeValidator(text(max_length=1024, trim=False)),
    text_schema(max_length=1024),
]
