"""The rows of an import, whatever it is: CSV, JSON Lines, or a JSON array.

Every row of the input comes out once, as its fields or with what is wrong with it; lines and rows
without any content are no rows. A bad row costs only itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from service.transfer.readers.csv_rows import CsvRows
from service.transfer.readers.file_kinds import UnreadableInputError
from service.transfer.readers.json_elements import JsonElements
from service.transfer.readers.rows import COLUMNS, MAX_LINE_BYTES, TOO_LONG, Line, Row, lines_of
from service.transfer.readers.source import HEAD_BYTES, RowSource


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file. Raises what ``rows_of`` does."""
    with RowSource.open(path) as source:
        yield from rows_of(source)


def rows_of(source: RowSource) -> Iterator[Row]:
    """Yield the rows of an input in order. Raises UnreadableInputError and OSError.

    Nothing is read before the first row is asked for.
    """
    chunks = source.text()
    head = start = b""
    while len(start) < HEAD_BYTES and (chunk := next(chunks, b"")):
        head += chunk
        start = head.lstrip()
        if not start and len(head) > MAX_LINE_BYTES:
            raise UnreadableInputError(1, "nothing but white space in the first 1 MiB")
    chunks = _chained(head, chunks)
    if not start:
        return
    if start.startswith(b"{"):
        if _is_spread(start):
            yield from _json_elements(JsonElements(chunks, array=False), source)
        else:
            yield from _json_lines(lines_of(chunks), source)
    elif start.startswith(b"["):
        if _is_first_of_lines(start):
            yield from _json_lines(lines_of(chunks), source)
        else:
            yield from _json_elements(JsonElements(chunks, array=True), source)
    else:
        yield from CsvRows(lines_of(chunks), source)


def _chained(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from chunks


def _is_spread(start: bytes) -> bool:
    """Tell JSON objects that are written over several lines from JSON Lines."""
    first, _, others = start.partition(b"\n")
    goes_on = first.rstrip().endswith((b"{", b"[", b",", b":"))
    return goes_on and others.lstrip()[:1] not in (b"", b"{", b"[")


def _is_first_of_lines(start: bytes) -> bool:
    """Tell JSON Lines that begin with a list from an array."""
    first, _, others = start.partition(b"\n")
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        return False
    return bool(others.strip())


def _json_lines(lines: Iterator[Line], source: RowSource) -> Iterator[Row]:
    for number, raw in lines:
        if raw is None:
            yield Row(number, TOO_LONG)
        elif raw.strip():
            yield Row(number, _json_fields(raw, source))


def _json_elements(elements: JsonElements, source: RowSource) -> Iterator[Row]:
    for line, raw in elements:
        yield Row(line, "not JSON" if raw is None else _json_fields(raw, source))


def _json_fields(raw: bytes, source: RowSource) -> dict[str, Any] | str:
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return "not JSON" if _is_utf8(raw) else f"not {source.encoding}"
    if not isinstance(fields, dict):
        return "not a JSON object"
    for name in COLUMNS:  # of two, one would be lost silently
        if raw.count(b'"%b"' % name.encode()) > 1 and _names(raw).count(name) > 1:
            return f"{name} stands in it twice"
    return fields


def _names(raw: bytes) -> list[str]:
    import json  # noqa: PLC0415 - seldom wanted: orjson does not tell of repeated names

    pairs: list[tuple[str, Any]] = json.loads(raw, object_pairs_hook=lambda pairs: pairs)
    return [name for name, _ in pairs]


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
