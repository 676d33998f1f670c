"""The input of an import: a file or a pipe, read once, from its first byte to its last.

What it is shows in its first bytes. Text in UTF-8 (with or without a byte order mark) or in UTF-16
with one is read, plain or compressed with gzip; anything else is named and refused. The input is
read in chunks of bounded size, whatever it expands to.
"""

import codecs
import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from service.transfer.readers.file_kinds import UNPACK, UnreadableInputError, check_readable

STANDARD_INPUT = Path("-")
CHUNK_BYTES = 1 << 16
HEAD_BYTES = 4096
_GZIP = b"\x1f\x8b"
# Text that expands further than this is no list of movies (deflate reaches 1,032).
_MAX_RATIO, _RATIO_FROM_BYTES = 200, 1 << 28
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class RowSource:
    """An open input. ``text`` yields it as UTF-8; what cannot be decoded stays invalid there."""

    def __init__(self, file: BinaryIO) -> None:
        self._raw = _Peekable(file)
        self.encoding = "UTF-8"
        facts = os.fstat(file.fileno())
        self.size = facts.st_size if stat.S_ISREG(facts.st_mode) else None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file, or standard input for ``-``. Raises OSError."""
        if path == STANDARD_INPUT:
            return cls(os.fdopen(os.dup(0), "rb", buffering=0))
        return cls(cast("BinaryIO", path.open("rb", buffering=0)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._raw.close()

    @property
    def bytes_read(self) -> int:
        """How many bytes of the input are read, compressed as it is."""
        return self._raw.count

    def text(self) -> Iterator[bytes]:
        """Yield the input in UTF-8 without byte order mark. Raises UnreadableInputError, OSError.

        Nothing that follows damage is yielded.
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
    """A stream whose first bytes can be looked at without losing them; a pipe has no other way."""

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
    """Expands a gzip stream, several members and padding included."""

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
                None, f"it expands more than {_MAX_RATIO} times, so it is not read further"
            )
        return data


def _from_utf16(source: _Peekable, encoding: str) -> Iterator[bytes]:
    """Yield UTF-8; half a surrogate pair becomes bytes that are not UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    while data := source.read(CHUNK_BYTES):
        yield decoder.decode(data).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        yield b"\xff"  # half a character at the end: its row is refused
