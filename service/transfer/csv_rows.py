"""Rows of a CSV file; an invalid row never affects another row.

A quoted cell may contain line ends (RFC 4180). If a quote is not closed on its line, the parser
reads up to ``MAX_CELL_LINES`` further lines (``MAX_CELL_BYTES``). If they do not form a row, only
the first line is invalid and reading resumes at the next line. Lines that form a row with the right
number of cells but no valid movie are refused as one row, unless one of them is a valid movie by
itself.

In an exported CSV, a cell that a spreadsheet would run as a formula (CWE-1236) is guarded with an
apostrophe, because any account can choose a title. A cell that has apostrophes already gets one
more, so that ``unguarded`` restores every value.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from commands.errors import InvalidError
from commands.messages import MovieFields
from projections.row import ROW_FIELDS
from service.transfer.file_kinds import UnreadableInputError
from service.transfer.source import COLUMNS, REQUIRED, TOO_LONG, Line, Row

DELIMITERS = (",", ";", "\t")
MAX_CELL_LINES, MAX_CELL_BYTES = 100, 1 << 16
NOT_CLOSED = "a quote is not closed"
# Full-width signs (U+FF0B and others) too.
_BEGINS = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(f"'*{_BEGINS}")
_GUARDED = re.compile(f"'+{_BEGINS}")
_SEP_LINE = re.compile(rb"sep=(.)\s*")


class CsvRows:
    """The rows of a CSV; the delimiter is the one that yields the most known columns."""

    def __init__(self, lines: Iterator[Line], encoding: str) -> None:
        self._lines = lines
        self._encoding = encoding
        self._ahead: deque[Line] = deque()
        self._delimiter = ","
        self._header: list[str] = []
        self._guarded = False
        # The line on which an open quote met another: its quotes may belong to either row.
        self._doubtful_line = 0

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
        """Yield the following lines without consuming them."""
        for index in range(MAX_CELL_LINES):
            if index == len(self._ahead):
                line = next(self._lines, None)
                if line is None:
                    return
                self._ahead.append(line)
            yield self._ahead[index]

    def _consume(self, count: int) -> None:
        for _ in range(count):
            self._ahead.popleft()

    def _read_header(self) -> None:
        line = self._next()
        while line is not None and line.raw is not None and not line.raw.strip():
            line = self._next()
        delimiters: tuple[str, ...] = DELIMITERS
        if line and line.raw and (match := _SEP_LINE.fullmatch(line.raw)):  # written by Excel
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
            score = len({*header} & {*COLUMNS}) * 1_000 + len(header)
            if best is None or score > best[0]:
                best = (score, delimiter, header, taken)
        if best is None:
            raise UnreadableInputError(line.number, f"the header is not CSV: {error}")
        _, self._delimiter, self._header, taken = best
        self._consume(taken)
        _check_header(line.number, self._header)
        self._guarded = is_exported(self._header)

    def _row(self, number: int, raw: bytes) -> Row | None:
        """Return the row that begins on a line, None if its cells are blank."""
        cells, taken = self._cells(raw)
        if taken and not self._is_whole(cells, taken):
            self._doubtful_line = number + taken
            return Row(number, NOT_CLOSED)
        self._consume(taken)
        if isinstance(cells, str):
            return Row(number, cells)
        if not any(map(str.strip, cells)):
            return None
        if number == self._doubtful_line and not self._is_quoted_well(raw):
            return Row(number, "a quote here may close one opened on an earlier line")
        return Row(number, self._fields(cells))

    def _cells(self, raw: bytes) -> tuple[list[str] | str, int]:
        """Return the cells or an error, and the number of further lines they span."""
        text = _decoded(raw)
        if '"' not in text:
            return text.rstrip("\r\n").split(self._delimiter), 0
        taken, unclosed = 0, False

        def lines() -> Iterator[str]:
            nonlocal taken, unclosed
            yield text
            size = len(raw)
            for line in self._following():
                if line.raw is None or (size := size + len(line.raw)) > MAX_CELL_BYTES:
                    break
                taken += 1
                yield _decoded(line.raw)
            unclosed = True

        try:
            return next(csv.reader(lines(), delimiter=self._delimiter, strict=True)), taken
        except csv.Error as error:
            return (NOT_CLOSED, 0) if unclosed else (f"not CSV: {error}", taken)

    def _is_whole(self, cells: list[str] | str, taken: int) -> bool:
        """Return whether lines are one row: a movie, or none of them is a movie by itself."""
        if isinstance(cells, str):
            return False
        further = (self._ahead[index].raw for index in range(taken))
        return self._is_movie(cells) or not any(map(self._is_movie_alone, further))

    def _is_movie_alone(self, raw: bytes | None) -> bool:
        reader = csv.reader([_decoded(raw or b"")], delimiter=self._delimiter, strict=True)
        try:
            return self._is_movie(next(reader, []))
        except csv.Error:
            return False

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
            return f"not {self._encoding}"
        if self._guarded:
            cells = [unguarded(cell) for cell in cells]
        return dict(zip(self._header, cells, strict=False))


def _decoded(raw: bytes) -> str:
    """Return the text; bytes that are not UTF-8 become lone surrogates, refused with their row."""
    return raw.decode("utf-8", "surrogateescape")


def _check_header(line: int, header: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        problem = f"the header lacks {', '.join(missing)}"
        if len(header) == 1 and "|" in header[0]:
            problem += "; separate cells with a comma, a semicolon or a tab, not with |"
        raise UnreadableInputError(line, problem)
    for name in COLUMNS:
        if header.count(name) > 1:
            raise UnreadableInputError(line, f"the header has the column {name} more than once")


def is_exported(header: Sequence[str]) -> bool:
    """Return whether a header was written by an export, whose cells are guarded.

    An export of an earlier release lacks fields added since, which have defaults.
    """
    known = [name for name in ROW_FIELDS if name in header]
    optional = set(COLUMNS) - set(REQUIRED)
    return list(header) == known and set(ROW_FIELDS) - set(header) <= optional


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """Return the value that ``guarded`` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell
