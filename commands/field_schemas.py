"""What JSON Schema says of the field types in ``commands/fields.py``: what is taken, not more.

Patterns mean the same to Python's ``re`` and in the dialect of ECMA-262, which does not count all
as white space that ``str.strip`` removes.
"""

from pydantic import WithJsonSchema

_SPACE = r"\s\x1c-\x1f\x85"
_SUBSTANCE = rf"[^{_SPACE}\x00]"


def shown_text(
    *, max_length: int, min_length: int = 1, blank: bool = False, trim: bool = True
) -> WithJsonSchema:
    """Return what JSON Schema says of ``text``; a number stands for its digits."""
    core = rf"{_SUBSTANCE}([^\x00]{{0,{max_length - 2}}}{_SUBSTANCE})?"
    if not trim:
        pattern = rf"^[^\x00]*{_SUBSTANCE}[^\x00]*$"
    elif blank:
        pattern = rf"^[{_SPACE}]*({core})?[{_SPACE}]*$"
    else:
        pattern = rf"^[{_SPACE}]*{core}[{_SPACE}]*$"
    said = f"{min_length} to {max_length:,} characters"
    if blank:
        said = f"Up to {max_length:,} characters"
    schema = {"type": ["string", "number"], "pattern": pattern}
    if trim:
        return WithJsonSchema(
            schema | {"description": f"{said}; white space around them is removed."}
        )
    return WithJsonSchema(
        schema | {"minLength": min_length, "maxLength": max_length, "description": f"{said}."}
    )


def shown_integer(*, at_most: int) -> WithJsonSchema:
    """Return what JSON Schema says of ``integer``."""
    # Numerals with as many digits as the greatest are left to the validator, but for years.
    digits = len(str(at_most)) - (at_most != 10 ** len(str(at_most)) - 1)
    pattern = rf"^[{_SPACE}]*\+?0{{0,24}}[1-9][0-9]{{0,{digits - 1}}}(\.0*)?[{_SPACE}]*$"
    return WithJsonSchema(
        {
            "type": ["integer", "string"],
            "minimum": 1,
            "maximum": at_most,
            "pattern": pattern,
            "description": f"An integer from 1 to {at_most:,}, or its digits in a string.",
        }
    )


USERNAME = WithJsonSchema(
    {
        "type": ["string", "number"],
        "pattern": r"^\s*[^\s\x00-\x1f!-*,/:-?\[-^`{-\x7f]{1,150}\s*$",
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
