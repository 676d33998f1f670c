"""Rows of JSON Lines, of a JSON array, or of JSON values in sequence.

An element of an array is yielded as soon as it ends, so that the input may have any size. A broken
element becomes one invalid row; reading resumes at what looks like the start of the next object.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from service.transfer.file_kinds import UnreadableInputError
from service.transfer.source import COLUMNS, TOO_LONG, Line, Row

MAX_ELEMENT_BYTES = 1 << 20
_SEPARATORS = re.compile(rb"[\s,]*")
_SPACE = re.compile(rb"\s*")
_TOKEN = re.compile(rb'"(?:[^"\\\r\n]|\\[^\r\n])*"|["{}\[\],\n]')
_AFTER_STRING = b":,}]"
_NEXT_OBJECT = re.compile(rb"(?:\n|\}\s*,)\s*(?=\{)")
_NEXT_OBJECT_BYTES = 64
_OPENING = {b"}": b"{", b"]": b"["}
_NO_END = "the JSON array has no end; is the file cut off?"


def json_line_rows(lines: Iterator[Line], encoding: str) -> Iterator[Row]:
    """Yield the rows of JSON Lines; ``encoding`` is named where a line is invalid in it."""
    for number, raw in lines:
        if raw is None:
            yield Row(number, TOO_LONG)
        elif raw.strip():
            yield Row(number, _fields(raw, encoding))


def json_value_rows(chunks: Iterator[bytes], encoding: str, *, array: bool) -> Iterator[Row]:
    """Yield the rows of an array, or of values in sequence. Raises UnreadableInputError."""
    for line, raw in _Elements(chunks, array=array):
        yield Row(line, "not JSON" if raw is None else _fields(raw, encoding))


def _fields(raw: bytes, encoding: str) -> dict[str, Any] | str:
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            raw.decode()
        except UnicodeDecodeError:
            return f"not {encoding}"
        return "not JSON"
    if not isinstance(fields, dict):
        return "not a JSON object"
    for name in COLUMNS:  # orjson would silently drop the first of two values
        if raw.count(b'"%b"' % name.encode()) > 1 and _names(raw).count(name) > 1:
            return f"{name} occurs twice"
    return fields


def _names(raw: bytes) -> list[str]:
    pairs: list[tuple[str, Any]] = json.loads(raw, object_pairs_hook=lambda pairs: pairs)
    return [name for name, _ in pairs]


class _Element(NamedTuple):
    """An element: the line it begins on, and its bytes, None if its end cannot be determined."""

    line: int
    raw: bytes | None


class _BrokenError(Exception):
    """The element is not JSON; the next one begins ``offset`` bytes after its start, if known."""

    def __init__(self, offset: int | None = None) -> None:
        super().__init__()
        self.offset = offset


class _Nesting:
    """The brackets that are open."""

    def __init__(self) -> None:
        self.open: list[bytes] = []
        self._last = b""

    def closes_with(self, token: bytes, start: int) -> bool:
        """Add a token; return whether it ends the element. Raises _BrokenError."""
        if token in (b"{", b"["):
            is_key = self.open[-1:] == [b"{"] and self._last in (b",", b"{")
            if token == b"{" and is_key:
                raise _BrokenError(start)  # an object in place of a key: a new element
            self.open.append(token)
        elif token in (b"}", b"]") and self.open.pop() != _OPENING[token]:
            raise _BrokenError
        if token != b"\n":
            self._last = token
        return not self.open


class _Elements:
    """Splits a stream of JSON into elements; ``array`` means that they stand in ``[`` and ``]``."""

    def __init__(self, chunks: Iterator[bytes], *, array: bool) -> None:
        self._chunks = chunks
        self._array = array
        self._buffer = b""
        self._at = 0
        self._line = 1

    def __iter__(self) -> Iterator[_Element]:
        """Yield the elements. Raises UnreadableInputError if the array is incomplete."""
        if self._array:
            self._skip(_SPACE)
            self._at += 1
        while (byte := self._skip(_SEPARATORS)) or self._array:
            if not byte:
                raise UnreadableInputError(self._line, _NO_END)
            if self._array and byte == b"]":
                self._at += 1
                if self._skip(_SPACE):
                    raise UnreadableInputError(self._line, "something follows the JSON array")
                return
            line = self._line
            try:
                raw = self._take()
            except _BrokenError as error:
                yield _Element(line, None)
                self._resume(error.offset)
            else:
                yield _Element(line, raw)

    def _fill(self) -> bool:
        """Read a chunk, dropping what is before the current place; False at the end."""
        chunk = next(self._chunks, b"")
        if not chunk:
            return False
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return True

    def _move(self, to: int) -> None:
        self._line += self._buffer.count(b"\n", self._at, to)
        self._at = to

    def _skip(self, what: re.Pattern[bytes]) -> bytes:
        """Skip what the pattern matches; return the byte that follows, empty at the end."""
        while True:
            match = what.match(self._buffer, self._at)
            self._move(match.end() if match else self._at)
            if self._at < len(self._buffer) or not self._fill():
                return self._buffer[self._at : self._at + 1]

    def _take(self) -> bytes:
        """Return the element that begins here and move past it. Raises _BrokenError."""
        nesting, size = _Nesting(), 0
        while True:
            found = _TOKEN.search(self._buffer, self._at + size)
            if found is None or found[0] == b'"':
                size = (found.start() if found else len(self._buffer)) - self._at
                is_broken_string = found and self._buffer.find(b"\n", found.end()) >= 0
                if not is_broken_string and self._read_more():
                    continue
                if found is None and not nesting.open:
                    return self._cut(len(self._buffer))
                raise _BrokenError
            token, start, size = found[0], found.start() - self._at, found.end() - self._at
            if nesting.open or token in (b"{", b"["):
                if nesting.closes_with(token, start):
                    return self._cut(self._at + size)
                if token.startswith(b'"'):
                    self._check_after_string(size)
            elif not token.startswith(b'"'):  # the end of a number or a word, or a lone token
                return self._cut(self._at + (start or size))

    def _read_more(self) -> bool:
        return len(self._buffer) - self._at <= MAX_ELEMENT_BYTES and self._fill()

    def _check_after_string(self, size: int) -> None:
        """Detect a surplus quote at once, before it swallows the elements that follow."""
        while True:
            match = _SPACE.match(self._buffer, self._at + size)
            end = match.end() if match else 0
            if end < len(self._buffer):
                if self._buffer[end] not in _AFTER_STRING:
                    raise _BrokenError
                return
            if not self._read_more():
                return

    def _cut(self, end: int) -> bytes:
        raw = self._buffer[self._at : end]
        self._move(end)
        return raw

    def _resume(self, offset: int | None) -> None:
        """Move to where the next object seems to begin, or to the end of the input.

        Raises UnreadableInputError if an array has no such object and no end.
        """
        if offset is not None:
            self._move(self._at + offset)
            return
        broken_line = self._line
        while (found := _NEXT_OBJECT.search(self._buffer, self._at + 1)) is None:
            # The last bytes may be the beginning of a match.
            self._move(max(self._at, len(self._buffer) - _NEXT_OBJECT_BYTES))
            if not self._fill():
                break
        if found:
            self._move(found.end())
            return
        if self._array and not self._buffer[self._at :].rstrip().endswith(b"]"):
            raise UnreadableInputError(broken_line, _NO_END)
        self._move(len(self._buffer))
        self._array = False
