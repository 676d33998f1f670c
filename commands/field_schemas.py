"""JSON Schemas of the field types in ``commands/fields.py``: what a client should send.

The validators accept more: numbers for text, digits in a string for an integer, white space
around either. The description leaves that out, so that generated clients get simple types.
Patterns mean the same to Python's ``re`` and in the dialect of ECMA-262. They leave out the
characters beyond U+FFFF that print nothing.
"""

from pydantic import WithJsonSchema

from commands.text import UNSEEN

_NOT_BLANK = rf"^[^\x00]*[^{UNSEEN}\x00][^\x00]*$"
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
        "pattern": rf"^[^{UNSEEN}\x00!-*,/:-?\[-^`{{-\x7f]{{1,150}}$",
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
