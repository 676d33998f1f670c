"""Printable: text from a database or a file, so that a terminal shows it and obeys none of it."""

import re
from typing import Any

import orjson

# Controls of both sets, what changes the direction of text, line ends of Unicode, lone surrogates.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return ``text`` with an escape for each character that a terminal could take as an order."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_json(facts: Any) -> None:
    """Print one line of JSON; the escapes that make it printable are those of JSON."""
    print(printable(orjson.dumps(facts).decode()))  # noqa: T201 - what the command is for
