"""Rows of a CSV, of which a bad one costs only itself.

A cell in quotes may hold line ends (RFC 4180). So where a quote is not closed on its line, up to
``MAX_CELL_LINES`` further lines (``MAX_CELL_BYTES``) are read with it. If that makes no row, the
line alone is the bad row, and reading goes on at the next line. Lines that together are one row of
the right number of cells, but no valid movie, are refused as one row unless one of them is a valid
movie alone.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from typing import Any

from commands.errors import InvalidError
from commands.messages import MovieFields
from service.transfer.readers.csv_cells import is_exported, unguarded
from service.transfer.readers.file_kinds import UnreadableInputError
from service.transfer.readers.rows import COLUMNS, REQUIRED, TOO_LONG, Line, Row
from service.transfer.readers.source import RowSource

DELIMITERS = (",", ";", "\t")
MAX_CELL_LINES, MAX_CELL_BYTES = 100, 1 << 16
NOT_CLOSED = "a quote is not closed"
_SEPARATOR = re.compile(rb"sep=(.)\s*")


class CsvRows:
    """The rows of a CSV; the delimiter is the one that makes the header hold the columns."""

    def __init__(self, lines: Iterator[Line], source: RowSource) -> None:
        self._lines = lines
        self._source = source
        self._ahead: deque[Line] = deque()
        self._delimiter = ","
        self._header: list[str] = []
        self._guarded = False
        # The line on which an open quote met another: its quotes may belong to either.
        self._doubted = 0

    def __iter__(self) -> Iterator[Row]:
        self._read_header()
        while (line := self._next()) is not None:
            if line.raw is None:
                yield Row(line.number, TOO_LONG)
            elif line.raw.strip():
                row = self._row(line.number, line.raw)
                if row is not None:
                    yield row

    def _next(self) -> Line | None:
        return self._ahead.popleft() if self._ahead else next(self._lines, None)

    def _following(self) -> Iterator[Line]:
        """Yield the lines after this one without taking them."""
        for index in range(MAX_CELL_LINES):
            if index == len(self._ahead):
                line = next(self._lines, None)
                if line is None:
                    return
                self._ahead.append(line)
            yield self._ahead[index]

    def _read_header(self) -> None:
        line = self._next()
        while line is not None and line.raw is not None and not line.raw.strip():
            line = self._next()
        delimiters: tuple[str, ...] = DELIMITERS
        if line and line.raw and (match := _SEPARATOR.fullmatch(line.raw)):  # as Excel writes it
            delimiters = (match[1].decode("latin-1"),)
            line = self._next()
        if line is None:
            return
        if line.raw is None:
            raise UnreadableInputError(line.number, f"the header is {TOO_LONG}")
        best: tuple[int, str, list[str], int] | None = None
        error = ""
        for delimiter in delimiters:
            self._delimiter = delimiter
            cells, taken = self._cells(line.raw)
            if isinstance(cells, str):
                error = error or cells
                continue
            header = [cell.strip().lower() for cell in cells]
            found = len({*header} & {*COLUMNS}) * 1_000 + len(header)
            if best is None or found > best[0]:
                best = (found, delimiter, header, taken)
        if best is None:
            raise UnreadableInputError(line.number, f"the header is not CSV: {error}")
        _, self._delimiter, self._header, taken = best
        for _ in range(taken):
            self._ahead.popleft()
        _check_header(line.number, self._header)
        self._guarded = is_exported(self._header)

    def _row(self, number: int, raw: bytes) -> Row | None:
        """Return the row that begins on a line, None for one of blank cells."""
        cells, taken = self._cells(raw)
        if taken and not self._is_whole(cells, taken):
            self._doubted = number + taken
            return Row(number, NOT_CLOSED)
        for _ in range(taken):
            self._ahead.popleft()
        if isinstance(cells, str):
            return Row(number, cells)
        if not any(map(str.strip, cells)):
            return None
        if number == self._doubted and not self._is_quoted_well(raw):
            return Row(number, "a quote stands here that may end one opened before")
        return Row(number, self._fields(cells))

    def _cells(self, raw: bytes) -> tuple[list[str] | str, int]:
        """Return the cells, or what is wrong, and how many further lines they take."""
        text = _decoded(raw)
        if '"' not in text:
            return text.rstrip("\r\n").split(self._delimiter), 0
        taken, ended = 0, False

        def lines() -> Iterator[str]:
            nonlocal taken, ended
            yield text
            size = len(raw)
            for line in self._following():
                if line.raw is None or (size := size + len(line.raw)) > MAX_CELL_BYTES:
                    break
                taken += 1
                yield _decoded(line.raw)
            ended = True  # without the quote that closes

        try:
            return next(csv.reader(lines(), delimiter=self._delimiter, strict=True)), taken
        except csv.Error as error:
            return (NOT_CLOSED, 0) if ended else (f"not CSV: {error}", taken)

    def _is_whole(self, cells: list[str] | str, taken: int) -> bool:
        """Tell whether lines are one row: a movie, or at least none of them is one alone."""
        if isinstance(cells, str):
            return False
        return self._is_movie(cells) or not any(
            self._is_movie_alone(self._ahead[index].raw) for index in range(taken)
        )

    def _is_movie_alone(self, raw: bytes | None) -> bool:
        try:
            cells = next(
                csv.reader([_decoded(raw or b"")], delimiter=self._delimiter, strict=True), []
            )
        except csv.Error:
            return False
        return self._is_movie(cells)

    def _is_movie(self, cells: list[str]) -> bool:
        fields = self._fields(cells)
        if isinstance(fields, str) or len(cells) != len(self._header):
            return False
        try:
            MovieFields.of(fields)
        except InvalidError:
            return False
        return True

    def _is_quoted_well(self, raw: bytes) -> bool:
        mark = re.escape(self._delimiter)
        cell = rf'(?:"(?:[^"]|"")*+"|[^"{mark}]*+)'
        return bool(re.fullmatch(rf"{cell}(?:{mark}{cell})*+", _decoded(raw).rstrip("\r\n")))

    def _fields(self, cells: list[str]) -> dict[str, Any] | str:
        if len(cells) > len(self._header):
            return f"{len(cells)} fields where the header has {len(self._header)}"
        if any("\udc80" <= char <= "\udcff" for cell in cells for char in cell):
            return f"not {self._source.encoding}"
        if self._guarded:
            cells = [unguarded(cell) for cell in cells]
        return dict(zip(self._header, cells, strict=False))


def _decoded(raw: bytes) -> str:
    """Return the text; what is not UTF-8 becomes lone surrogates, so that its row is known."""
    return raw.decode("utf-8", "surrogateescape")


def _check_header(line: int, header: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        said = f"the header lacks {', '.join(missing)}"
        if len(header) == 1 and "|" in header[0]:
            said += "; separate cells with a comma, a semicolon or a tab, not with |"
        raise UnreadableInputError(line, said)
    for name in COLUMNS:
        if header.count(name) > 1:
            raise UnreadableInputError(line, f"the header has the column {name} twice or more")
