"""The input of an import: a file or a pipe, read once in chunks of bounded size.

Its first bytes determine its kind: text in UTF-8 or, with a byte order mark, in UTF-16, plain or
gzipped. Other kinds are refused by name.
"""

import codecs
import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self, cast

from commands.movie import MovieDetails
from service.transfer.readers.file_kinds import UNPACK, UnreadableInputError, check_readable

COLUMNS = MovieDetails._fields
REQUIRED = tuple(name for name in COLUMNS if name not in MovieDetails._field_defaults)
MAX_LINE_BYTES = 1 << 20
TOO_LONG = "longer than 1 MiB"
STANDARD_INPUT = Path("-")
CHUNK_BYTES = 1 << 16
HEAD_BYTES = 4096
_GZIP = b"\x1f\x8b"
# No list of movies compresses better (deflate reaches 1,032).
_MAX_RATIO, _RATIO_FROM_BYTES = 200, 1 << 28
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Row(NamedTuple):
    """A row: the line it begins on, and its fields or the reason why it is invalid."""

    line: int
    fields: dict[str, Any] | str


class Line(NamedTuple):
    """A line including its end; ``raw`` is None if it is too long."""

    number: int
    raw: bytes | None


class RowSource:
    """An open input, whose ``text`` is UTF-8; undecodable parts stay invalid."""

    def __init__(self, file: BinaryIO) -> None:
        self._raw = _Peekable(file)
        self.encoding = "UTF-8"
        status = os.fstat(file.fileno())
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file, or standard input for ``-``. Raises OSError."""
        if path == STANDARD_INPUT:
            return cls(os.fdopen(os.dup(0), "rb", buffering=0))
        return cls(cast("BinaryIO", path.open("rb", buffering=0)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    @property
    def bytes_read(self) -> int:
        """Number of bytes read, before decompression."""
        return self._raw.count

    def text(self) -> Iterator[bytes]:
        """Yield the input in UTF-8 without byte order mark. Raises UnreadableInputError, OSError.

        Nothing after a damaged part is yielded.
        """
        source = self._raw
        if source.peek(len(_GZIP)) == _GZIP:
            source = _Peekable(_Gunzip(source))
        head = source.peek(HEAD_BYTES)
        if head.startswith(_GZIP):
            raise UnreadableInputError(None, f"gzip within gzip; {UNPACK}")
        check_readable(head)
        if (mark := head[:2]) in _UTF16:
            self.encoding = "UTF-16"
            source.read(len(mark))
            return _from_utf16(source, _UTF16[mark])
        if head.startswith(codecs.BOM_UTF8):
            source.read(len(codecs.BOM_UTF8))
        return iter(lambda: source.read(CHUNK_BYTES), b"")


class _Peekable:
    """A stream whose first bytes can be read ahead, even of a pipe."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._ahead = b""
        self.count = 0

    def read(self, size: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._read(size)

    def peek(self, size: int) -> bytes:
        while len(self._ahead) < size:
            data = self._read(size)
            if not data:
                break
            self._ahead += data
        return self._ahead[:size]

    def _read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self.count += len(data)
        return data

    def close(self) -> None:
        self._file.close()


class _Gunzip:
    """Decompresses gzip, including several members and padding, up to a ratio."""

    def __init__(self, source: _Peekable) -> None:
        self._source = source
        self._gzip = gzip.GzipFile(fileobj=cast("Any", source), mode="rb")
        self._count = 0

    def read(self, size: int) -> bytes:
        try:
            data = self._gzip.read1(size)
        except EOFError:
            raise UnreadableInputError(None, "the gzip is damaged: it is cut off") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise UnreadableInputError(None, f"the gzip is damaged: {error}") from None
        self._count += len(data)
        if self._count > max(_RATIO_FROM_BYTES, _MAX_RATIO * self._source.count):
            raise UnreadableInputError(
                None, f"it expands more than {_MAX_RATIO} times; the rest is not read"
            )
        return data


def _from_utf16(source: _Peekable, encoding: str) -> Iterator[bytes]:
    """Yield UTF-8; an unpaired surrogate becomes invalid UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    while data := source.read(CHUNK_BYTES):
        yield decoder.decode(data).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        yield b"\xff"  # half a character at the end


def lines_of(chunks: Iterator[bytes]) -> Iterator[Line]:
    r"""Yield the lines, which end with ``\n``, ``\r\n`` or ``\r``."""
    number, rest, skipping = 0, b"", False
    for chunk in chunks:
        # The last piece may continue, or its "\r" be followed by "\n".
        *lines, rest = (rest + chunk).splitlines(keepends=True)
        if rest.endswith(b"\n"):
            lines.append(rest)
            rest = b""
        for line in lines:
            if not skipping:
                number += 1
                yield Line(number, line if len(line) <= MAX_LINE_BYTES else None)
            skipping = False
        if len(rest) > MAX_LINE_BYTES:
            if not skipping:
                number += 1
                yield Line(number, None)
            skipping, rest = True, rest[-1:]
    if rest and not skipping:
        yield Line(number + 1, rest)
