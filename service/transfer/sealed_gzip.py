"""Gzip that shows any change, of the compressed bytes too.

Gzip checks what it holds, but not its own header nor the bits that fill up its last byte. So the
header of ours has a field with the SHA-256 of all that follows it (RFC 1952, 2.3.1.1; every other
tool passes over it). Files of other tools are read as well, with the check that gzip has.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

MAGIC = b"\x1f\x8b"
_FLAGS, _HAS_FIELDS = 3, 0x04
_SEAL_BYTES = hashlib.sha256().digest_size
_FIELD = b"CL" + struct.pack("<H", _SEAL_BYTES)
# Deflate, fields, no time, no hint, system unknown; then the one field up to its content.
_HEADER = (
    MAGIC
    + bytes([8, _HAS_FIELDS, 0, 0, 0, 0, 0, 255])
    + struct.pack("<H", len(_FIELD) + _SEAL_BYTES)
    + _FIELD
)
_CHUNK_BYTES = 1 << 18
_LEVEL = 5


class BrokenGzipError(Exception):
    """The compressed data is not what was written."""


class GzipWriter:
    """Compresses into a file that can be sought in."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._deflate = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
        self._crc = self._size = 0
        self._seal = hashlib.sha256()
        file.write(_HEADER + bytes(_SEAL_BYTES))

    def write(self, data: bytes) -> None:
        """Add ``data``."""
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._put(self._deflate.compress(data))

    def finish(self) -> None:
        """Write the end, and the seal into the header."""
        self._put(self._deflate.flush() + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))
        self._file.seek(len(_HEADER))
        self._file.write(self._seal.digest())

    def _put(self, compressed: bytes) -> None:
        self._seal.update(compressed)
        self._file.write(compressed)


def read_gzip(file: BinaryIO) -> Iterator[bytes]:
    """Yield what ``file`` holds in parts of bounded size. Raises BrokenGzipError."""
    head = file.read(len(_HEADER) + _SEAL_BYTES)
    sealed = len(head) > _FLAGS and bool(head[_FLAGS] & _HAS_FIELDS)
    if sealed and not head.startswith(_HEADER):
        raise BrokenGzipError("its header was changed")
    seal = hashlib.sha256()
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    waiting = head
    while not inflate.eof:
        if not waiting:
            waiting = file.read(_CHUNK_BYTES)
            seal.update(waiting)
        ended = not waiting
        try:
            data = inflate.decompress(waiting, _CHUNK_BYTES)
        except zlib.error as error:
            raise BrokenGzipError(str(error)) from None
        waiting = inflate.unconsumed_tail
        if data:
            yield data
        elif ended:
            raise BrokenGzipError("it is cut off")
    if inflate.unused_data or file.read(1):
        raise BrokenGzipError("something follows its end")
    if sealed and seal.digest() != head[len(_HEADER) :]:
        raise BrokenGzipError("its SHA-256 is another")
