"""Gzip that shows any change, of the compressed bytes too.

Gzip checks what it holds, but not its own header nor the bits that fill up its last byte. So the
header of ours has a field with the SHA-256 of all that follows it (RFC 1952, 2.3.1.1; every other
tool passes over it). Files of other tools are read as well, with the check that gzip has.
"""

import hashlib
import io
import struct
import zlib
from collections.abc import Buffer
from typing import BinaryIO

MAGIC = b"\x1f\x8b"
_HAS_FIELDS = 0x04
_FIELD = b"CL" + struct.pack("<H", hashlib.sha256().digest_size)
# Deflate, fields, no time, no hints, system unknown; then the field up to its content.
_HEADER = (
    MAGIC + bytes([8, _HAS_FIELDS]) + b"\0\0\0\0\0\xff" + struct.pack("<H", len(_FIELD) + 32) + _FIELD
)
_BODY = len(_HEADER) + 32
_CHUNK = 1 << 18
# Above it, compressing costs more time than reading a store does.
_LEVEL = 5


class BrokenGzipError(Exception):
    """The compressed data is not what was written."""


class GzipWriter:
    """Compresses into a file that can be sought in."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._deflate = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
        self._crc = self._size = 0
        self._sha256 = hashlib.sha256()
        file.write(_HEADER.ljust(_BODY, b"\0"))

    def write(self, data: bytes) -> None:
        """Add ``data``."""
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._put(self._deflate.compress(data))

    def finish(self) -> None:
        """Write the end, and the seal into the header."""
        self._put(self._deflate.flush())
        self._put(struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))
        self._file.seek(len(_HEADER))
        self._file.write(self._sha256.digest())

    def _put(self, compressed: bytes) -> None:
        self._sha256.update(compressed)
        self._file.write(compressed)


class GzipReader(io.RawIOBase):
    """Decompresses from a file, in bounded memory. Reading raises BrokenGzipError."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._sha256 = hashlib.sha256()
        self._head = file.read(_BODY)
        self._sealed = self._head[3:4] > b"" and bool(self._head[3] & _HAS_FIELDS)
        if self._sealed and not self._head.startswith(_HEADER):
            raise BrokenGzipError("its header is damaged")
        self._waiting = self._head

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill ``buffer`` as far as there is something; 0 at the sound end."""
        view = memoryview(buffer)
        while not self._inflate.eof:
            data = self._waiting or self._read()
            try:
                out = self._inflate.decompress(data, len(view))
            except zlib.error as error:
                raise BrokenGzipError(str(error)) from None
            self._waiting = self._inflate.unconsumed_tail
            if out:
                view[: len(out)] = out
                return len(out)
            if not data and not self._inflate.eof:
                raise BrokenGzipError("it is cut off")
        if self._inflate.unused_data or self._read():
            raise BrokenGzipError("something follows its end")
        if self._sealed and self._sha256.digest() != self._head[len(_HEADER) :]:
            raise BrokenGzipError("its SHA-256 is another")
        return 0

    def _read(self) -> bytes:
        data = self._file.read(_CHUNK)
        self._sha256.update(data)
        return data
