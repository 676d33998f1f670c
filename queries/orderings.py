"""Orderings of a list, and seek keys.

A *seek key* is the position of a row in an ordering: the values that it is ordered by, then its id.
Ties come newest first.
"""

import re
from typing import Any, Literal, NamedTuple

import orjson

from commands.errors import InvalidError
from commands.text import fold
from projections.row import microseconds

Field = Literal["created_at", "title", "genre", "creator", "year", "id"]
FIELDS: dict[str, Field] = {
    "created_at": "created_at",
    "title": "title",
    "genre": "genre",
    "creator": "creator",
    "year": "year",
    "id": "id",
}
# Texts may be anything without a NUL.
_FORMS = {
    "created_at": re.compile(r"-?[0-9]{15,18}"),
    "year": re.compile(r"[0-9]{4}"),
    "id": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}


class Order(NamedTuple):
    """An ordering by one field; texts are compared without regard to case."""

    field: Field
    descending: bool = False

    def __str__(self) -> str:
        return f"-{self.field}" if self.descending else self.field


Orderings = tuple[Order, ...]
NEWEST_FIRST: Orderings = (Order("created_at", descending=True),)


def parse_orderings(text: str) -> Orderings:
    """Return the comma-separated orderings of a text, newest first where it is blank.

    Unknown ones are ignored beside known ones. Raises InvalidError where all are unknown.
    """
    names = [name for part in text.split(",") if (name := part.strip())]
    found: list[Order] = []
    for name in names:
        field = FIELDS.get(name.removeprefix("-"))
        if field and field not in [one.field for one in found]:
            found.append(Order(field, name.startswith("-")))
    if names and not found:
        raise InvalidError({"ordering": [f"Select a valid choice: {', '.join(FIELDS)}."]})
    fields = [one.field for one in found]
    if "id" in fields:  # ids are unique: later fields decide nothing
        del found[fields.index("id") + 1 :]
    if len(found) > 1 and found[-1] == Order("id", descending=True):
        found.pop()  # the order of ties
    return tuple(found) or NEWEST_FIRST


def seek_key(row: bytes, orderings: Orderings) -> str:
    """Return the seek key of a row."""
    movie = orjson.loads(row)
    return "\0".join([*(_value(movie, one.field) for one in orderings), movie["id"]])


def is_seek_key(text: str, orderings: Orderings) -> bool:
    """Return whether a text has the form of a seek key of these orderings."""
    *values, movie_id = text.split("\0")
    if len(values) != len(orderings) or not _FORMS["id"].fullmatch(movie_id):
        return False
    return all(
        one.field not in _FORMS or _FORMS[one.field].fullmatch(value)
        for value, one in zip(values, orderings, strict=True)
    )


def _value(movie: dict[str, Any], field: Field) -> str:
    if field == "created_at":
        return f"{microseconds(movie[field]):016}"
    if field == "year":
        return f"{movie[field]:04}"
    return movie["id"] if field == "id" else fold(movie[field])
