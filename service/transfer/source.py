"""The input of an import: a file or a pipe, read once in chunks of bounded size.

Its first bytes determine its kind: text in UTF-8 or, with a byte order mark, in UTF-16, plain or
gzipped. Other kinds are refused by name.
"""

import codecs
import os
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self, cast

from commands.aggregates.movie import MovieDetails
from service.transfer.file_kinds import UNPACK, UnreadableInputError, check_readable
from service.transfer.sealed_gzip import MAGIC, BrokenGzipError, decompress

COLUMNS = MovieDetails._fields
REQUIRED = tuple(name for name in COLUMNS if name not in MovieDetails._field_defaults)
MAX_LINE_BYTES = 1 << 20
TOO_LONG = "longer than 1 MiB"
STANDARD_INPUT = Path("-")
CHUNK_BYTES = 1 << 16
HEAD_BYTES = 4096
# Small, because damage costs the rows of a whole decompressed chunk.
_EXPANDED_BYTES = 1 << 13
# No list of movies compresses better (deflate reaches 1,032).
_MAX_RATIO, _RATIO_FROM_BYTES = 200, 1 << 28


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
        self._file = file
        self.encoding = "UTF-8"
        status = os.fstat(file.fileno())
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None
        self.bytes_read = 0
        """Before decompression."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file, or standard input for ``-``. Raises OSError."""
        if path == STANDARD_INPUT:
            return cls(os.fdopen(os.dup(0), "rb", buffering=0))
        return cls(cast("BinaryIO", path.open("rb", buffering=0)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def text(self) -> Iterator[bytes]:
        """Yield the input in UTF-8 without byte order mark. Raises UnreadableInputError, OSError.

        Nothing after a damaged part is yielded.
        """
        head, chunks = _with_head(self._chunks())
        if head.startswith(MAGIC):
            head, chunks = _with_head(self._decompressed(chunks))
            if head.startswith(MAGIC):
                raise UnreadableInputError(None, f"gzip within gzip; {UNPACK}")
        check_readable(head)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self.encoding = "UTF-16"
            return _from_utf16(chunks)
        return chain([next(chunks, b"").removeprefix(codecs.BOM_UTF8)], chunks)

    def _chunks(self) -> Iterator[bytes]:
        while chunk := self._file.read(CHUNK_BYTES):
            self.bytes_read += len(chunk)
            yield chunk

    def _decompressed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        try:
            for chunk in decompress(chunks, _EXPANDED_BYTES, concatenated=True):
                size += len(chunk)
                if size > max(_RATIO_FROM_BYTES, _MAX_RATIO * self.bytes_read):
                    raise UnreadableInputError(
                        None, f"it expands more than {_MAX_RATIO} times; the rest is not read"
                    )
                yield chunk
        except BrokenGzipError as error:
            raise UnreadableInputError(None, f"the gzip is damaged: {error}") from None


def _with_head(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, and all chunks including them."""
    head = b""
    while len(head) < HEAD_BYTES and (chunk := next(chunks, b"")):
        head += chunk
    return head, chain([head], chunks)


def _from_utf16(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield UTF-8; an unpaired surrogate becomes invalid UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
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
