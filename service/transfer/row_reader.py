"""Reads the rows of an import, whether CSV, JSON Lines or a JSON array.

Every row of the input is yielded once, as its fields or with the reason why it is invalid. Blank
lines and rows of blank cells are skipped. An invalid row never affects another row.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import orjson

from service.transfer.csv_rows import CsvRows
from service.transfer.file_kinds import UnreadableInputError
from service.transfer.json_rows import json_line_rows, json_value_rows
from service.transfer.source import HEAD_BYTES, MAX_LINE_BYTES, Row, RowSource, lines_of


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file. Raises what ``rows_of`` does."""
    with RowSource.open(path) as source:
        yield from rows_of(source)


def rows_of(source: RowSource) -> Iterator[Row]:
    """Yield the rows of an input in order. Raises UnreadableInputError and OSError.

    Nothing is read before the first row is requested.
    """
    chunks = source.text()
    head = start = b""
    while len(start) < HEAD_BYTES and (chunk := next(chunks, b"")):
        head += chunk
        start = head.lstrip()
        if not start and len(head) > MAX_LINE_BYTES:
            raise UnreadableInputError(1, "nothing but white space in the first 1 MiB")
    chunks = chain([head], chunks)
    is_array = start.startswith(b"[") and not _begins_with_json_line(start)
    if is_array or (start.startswith(b"{") and _is_object_over_lines(start)):
        yield from json_value_rows(chunks, source.encoding, array=is_array)
    elif start.startswith((b"{", b"[")):
        yield from json_line_rows(lines_of(chunks), source.encoding)
    elif start:
        yield from CsvRows(lines_of(chunks), source.encoding)


def _is_object_over_lines(start: bytes) -> bool:
    """Return whether the first JSON object spans lines, unlike in JSON Lines."""
    first, _, others = start.partition(b"\n")
    continues = first.rstrip().endswith((b"{", b"[", b",", b":"))
    return continues and others.lstrip()[:1] not in (b"", b"{", b"[")


def _begins_with_json_line(start: bytes) -> bool:
    """Return whether the first line is a whole list and another line follows."""
    first, _, others = start.partition(b"\n")
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        return False
    return bool(others.strip())
