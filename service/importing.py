"""Reading movies from a file: CSV with a header, or JSON Lines.

A bad row is refused with its line and the reason, the rest goes in. Each row is claimed by its
account and content (and how many such rows came before it), in the transaction of its movie: the
same file again, or an interrupted import run again, adds only what is missing.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import uuid_utils.compat

from commands.claims import row_claim
from commands.errors import InvalidError
from commands.group_commit import BATCH, Receipt, commit
from commands.messages import CreateMovie, MovieFields, OnceOnly
from commands.store import Store

_COLUMNS = ("title", "genre", "year")


class Row(NamedTuple):
    """A row of the file: the line it begins on, and its fields or what is wrong with it."""

    line: int
    fields: dict[str, Any] | str


class Refused(NamedTuple):
    """A row that did not go in."""

    line: int
    reason: str


class Report(NamedTuple):
    """How far an import is.

    ``line`` is the last line read, ``position`` the last one appended to the log, 0 for none.
    """

    line: int
    added: int
    already: int
    refused: int
    position: int


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV or JSON Lines file in order. Raises OSError."""
    with path.open("rb") as file:
        begins_with = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return _json_rows(path) if begins_with == b"{" else _csv_rows(path)


def count_lines(path: Path) -> int:
    """Return how many lines a file has. Raises OSError."""
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _json_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                fields = orjson.loads(line)
            except orjson.JSONDecodeError:
                yield Row(number, "not JSON")
            else:
                yield Row(number, fields if isinstance(fields, dict) else "not a JSON object")


def _csv_rows(path: Path) -> Iterator[Row]:
    # Bytes that are not UTF-8 become lone surrogates, so that only their own row is refused.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in _COLUMNS if name not in header]
        if missing:
            yield Row(1, f"the header lacks {', '.join(missing)}")
            return
        while True:
            line = reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(line, f"not CSV: {error}")
                continue
            if not values:
                continue
            if len(values) > len(header):
                yield Row(line, f"{len(values)} fields where the header has {len(header)}")
            elif any("\udc80" <= char <= "\udcff" for value in values for char in value):
                yield Row(line, "not UTF-8")
            else:
                yield Row(line, dict(zip(header, values, strict=False)))


def import_movies(  # noqa: PLR0913 - what, where, whose, and who is told
    store: Store,
    rows: Iterator[Row],
    account: UUID,
    *,
    advance: Callable[[Report], None] = lambda _: None,
    refuse: Callable[[Refused], None] = lambda _: None,
    reason: str | None = None,
) -> Report:
    """Create a movie of ``account`` for each row that is valid and not yet claimed.

    ``advance`` is told after each transaction, ``refuse`` of each row that does not go in.
    ``reason`` stands in every event.
    """
    request_id = f"import-{uuid_utils.compat.uuid7()}"
    seen: Counter[int] = Counter()
    line = added = already = refused = position = 0
    while batch := list(islice(rows, BATCH)):
        commands: list[CreateMovie] = []
        line = batch[-1].line
        for row in batch:
            try:
                fields = _fields(row)
            except InvalidError as error:
                refused += 1
                refuse(Refused(row.line, str(error)))
                continue
            key = hash(fields.facts())
            seen[key] += 1
            commands.append(
                CreateMovie(
                    by=account,
                    request_id=request_id,
                    at=datetime.now(UTC),
                    reason=reason,
                    movie_id=uuid_utils.compat.uuid7(),
                    fields=fields,
                    once=OnceOnly(claim=row_claim(str(account), *fields.facts(), seen[key])),
                )
            )
        for answer in commit(store, commands):
            if not isinstance(answer, Receipt):
                raise answer
            added += answer.appended
            already += not answer.appended
            position = max(position, answer.position if answer.appended else 0)
        advance(Report(line, added, already, refused, position))
    return Report(line, added, already, refused, position)


def _fields(row: Row) -> MovieFields:
    if isinstance(row.fields, str):
        raise InvalidError({"row": [row.fields]})
    return MovieFields.of(row.fields)
