"""What JSON Schema says of the field types in ``commands/fields.py``: what is taken, not more.

Patterns are for the dialect of ECMA-262 and mean the same to Python's ``re``.
"""

from pydantic import WithJsonSchema


def shown_text(
    *, max_length: int, min_length: int = 1, blank: bool = False, trim: bool = True
) -> WithJsonSchema:
    """Return what JSON Schema says of ``text``; a number stands for its digits."""
    core = rf"[^\s\x00]([^\x00]{{0,{max_length - 2}}}[^\s\x00])?"
    if not trim:
        pattern = r"^[^\x00]*[^\s\x00][^\x00]*$"
    else:
        pattern = rf"^\s*({core})?\s*$" if blank else rf"^\s*{core}\s*$"
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
    pattern = rf"^\s*\+?0{{0,24}}[1-9][0-9]{{0,{digits - 1}}}(\.0*)?\s*$"
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
        "type": ["string", "integer"],
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
