"""The elements of a JSON array, or of JSON values one after another, from a stream of any size.

An element is handed out as soon as it ends. One that is broken costs only itself: reading goes on
where the next object seems to begin.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from service.transfer.readers.file_kinds import UnreadableInputError

MAX_ELEMENT_BYTES = 1 << 20
_BETWEEN = re.compile(rb"[\s,]*")
_SPACE = re.compile(rb"\s*")
_TOKEN = re.compile(rb'"(?:[^"\\\r\n]|\\[^\r\n])*"|["{}\[\],\n]')
_AFTER_STRING = b":,}]"
_NEXT_OBJECT = re.compile(rb"(?:\n|\}\s*,)\s*(?=\{)")
_PAIRS = {b"}": b"{", b"]": b"["}


class Element(NamedTuple):
    """One element: the line it begins on, and its bytes, None for one that has no clear end."""

    line: int
    raw: bytes | None


class _BrokenError(Exception):
    """The element is no JSON; the next one begins ``at`` bytes behind its start, where known."""

    def __init__(self, at: int | None = None) -> None:
        super().__init__()
        self.at = at


class _Nesting:
    """The brackets that are open."""

    def __init__(self) -> None:
        self.open: list[bytes] = []
        self._last = b""

    def closes_with(self, token: bytes, start: int) -> bool:
        """Take a token into account; tell whether it ends the element. Raises _BrokenError."""
        if token in (b"{", b"["):
            is_key = self.open[-1:] == [b"{"] and self._last in (b",", b"{")
            if token == b"{" and is_key:
                raise _BrokenError(start)  # an object in the place of a key: a new element
            self.open.append(token)
        elif token in (b"}", b"]") and self.open.pop() != _PAIRS[token]:
            raise _BrokenError
        if token != b"\n":
            self._last = token
        return not self.open


class JsonElements:
    """Takes a stream of JSON apart; ``array`` tells whether it stands between ``[`` and ``]``."""

    def __init__(self, chunks: Iterator[bytes], *, array: bool) -> None:
        self._chunks = chunks
        self._array = array
        self._buffer = b""
        self._at = 0
        self._line = 1

    def __iter__(self) -> Iterator[Element]:
        """Yield the elements. Raises UnreadableInputError where the array is not whole."""
        if self._array:
            self._skip(_SPACE)
            self._at += 1
        while (byte := self._skip(_BETWEEN)) or self._array:
            if self._array and not byte:
                raise UnreadableInputError(
                    self._line, "the JSON array has no end; is the file cut off?"
                )
            if self._array and byte == b"]":
                self._at += 1
                if self._skip(_SPACE):
                    raise UnreadableInputError(self._line, "something follows the JSON array")
                return
            line = self._line
            try:
                raw = self._take()
            except _BrokenError as error:
                yield Element(line, None)
                self._resume(error.at)
            else:
                yield Element(line, raw)

    def _fill(self) -> bool:
        """Read more; what stands before ``_at`` is dropped."""
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
        """Move on behind ``what``; return the byte that stands there, none at the end."""
        while True:
            match = what.match(self._buffer, self._at)
            self._move(match.end() if match else self._at)
            if self._at < len(self._buffer) or not self._fill():
                return self._buffer[self._at : self._at + 1]

    def _take(self) -> bytes:
        """Return the element that begins here, and move on behind it."""
        nesting, size = _Nesting(), 0
        while True:
            found = _TOKEN.search(self._buffer, self._at + size)
            if found is None or found[0] == b'"':
                size = (found.start() if found else len(self._buffer)) - self._at
                if self._goes_on(found):
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
            elif not token.startswith(b'"'):  # what ends a number or a word, or stands alone
                return self._cut(self._at + (start or size))

    def _goes_on(self, quote: re.Match[bytes] | None) -> bool:
        """Read more of an element, whose last token may be the quote of a string not yet whole."""
        if quote and self._buffer.find(b"\n", quote.end()) >= 0:
            return False
        return self._more()

    def _more(self) -> bool:
        return len(self._buffer) - self._at <= MAX_ELEMENT_BYTES and self._fill()

    def _check_after_string(self, size: int) -> None:
        """Find a quote too many at once: what it shifts is no JSON from there on."""
        while True:
            match = _SPACE.match(self._buffer, self._at + size)
            end = match.end() if match else 0
            if end < len(self._buffer):
                if self._buffer[end] not in _AFTER_STRING:
                    raise _BrokenError
                return
            if not self._more():
                return

    def _cut(self, end: int) -> bytes:
        raw = self._buffer[self._at : end]
        self._move(end)
        return raw

    def _resume(self, at: int | None) -> None:
        """Go to where the next object seems to begin. Raises UnreadableInputError if none does."""
        if at is not None:
            self._move(self._at + at)
            return
        broken_on = self._line
        while True:
            found = _NEXT_OBJECT.search(self._buffer, self._at + 1)
            if found:
                self._move(found.end())
                return
            # What may be the beginning of a match is kept.
            self._move(max(self._at, len(self._buffer) - 64))
            if not self._fill():
                break
        if self._array and not self._buffer[self._at :].rstrip().endswith(b"]"):
            raise UnreadableInputError(broken_on, "the JSON array has no end; is the file cut off?")
        self._move(len(self._buffer))
        self._array = False
