"""The row of a movie: its public representation, and how it is stored.

A row is stored encoded: its packed record (see ``records``), then JSON. Readers get the JSON, which
is the public representation. No text contains NUL.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from commands.aggregates.movie import MovieDetails
from commands.rfc3339 import is_timestamp
from projections.records import first_record, pack

Row = dict[str, Any]
ROW_FIELDS = ("id", *MovieDetails._fields, "creator", "version", "created_at", "updated_at")
"""The fields of the public representation, in its order."""
_DETAILS = MovieDetails._fields  # looked up once, not for each of a million events


class CannotApplyError(ValueError):
    """An event that does not follow from the state before it."""


def row_of(  # noqa: PLR0913 - one argument for each part of the representation
    movie_id: str,
    details: Mapping[str, Any],
    creator: str,
    *,
    version: int,
    created_at: str,
    updated_at: str,
) -> Row:
    """Return the public representation of a movie, its keys in the order of ``ROW_FIELDS``.

    Takes the fields of ``MovieDetails`` from ``details``.
    """
    row: Row = {"id": movie_id}
    for name in _DETAILS:  # a comprehension would be a second call, for each of a million events
        row[name] = details[name]
    row["creator"], row["version"] = creator, version
    row["created_at"], row["updated_at"] = created_at, updated_at
    return row


def decode_row(encoded: bytes) -> Row:
    """Return the public representation in an encoded row."""
    row: Row = orjson.loads(row_json(encoded))
    return row


def row_json(encoded: bytes) -> bytes:
    """Return the JSON in an encoded row. Raises ValueError if it has no record."""
    return encoded[len(pack(first_record(encoded))) :]


def microseconds(time: str) -> int:
    """Return microseconds since the epoch of ``2026-11-23T11:45:26.123456Z``."""
    if not is_timestamp(time):
        raise CannotApplyError("the time is not RFC 3339 in UTC with microseconds")
    return _second(time[:19]) + int(time[20:26])


@lru_cache(maxsize=1024)
def _second(second: str) -> int:
    # Events of one second share it: no datetime is made for each of a million events.
    return int(datetime.fromisoformat(second).replace(tzinfo=UTC).timestamp()) * 1_000_000
