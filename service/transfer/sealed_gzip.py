"""Gzip in which every changed bit is detected, as the contract of an exported log requires.

Gzip checks its content, but neither its header nor the padding bits of its last byte. So the header
has an extra field (RFC 1952, 2.3.1.1; other tools ignore it) with the SHA-256 of all bytes after
it. Gzip written by other tools is read too, with the checks of plain gzip.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

MAGIC = b"\x1f\x8b"
_FLAGS, _HAS_EXTRA = 3, 0x04
_SEAL_BYTES = hashlib.sha256().digest_size
# Deflate, extra field, no time, no hint, unknown system; then the field up to its content.
_HEADER = (
    MAGIC
    + bytes([8, _HAS_EXTRA, 0, 0, 0, 0, 0, 255])
    + struct.pack("<H2sH", 4 + _SEAL_BYTES, b"CL", _SEAL_BYTES)
)
_CHUNK_BYTES = 1 << 18
_LEVEL = 5


class BrokenGzipError(Exception):
    """The compressed data is not what was written."""


class GzipWriter:
    """Compresses into a seekable file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._deflate = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
        self._crc = self._size = 0
        self._seal = hashlib.sha256()
        file.write(_HEADER + bytes(_SEAL_BYTES))

    def write(self, data: bytes) -> None:
        """Compress and write ``data``."""
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._write_sealed(self._deflate.compress(data))

    def finish(self) -> None:
        """Write the trailer, then the seal into the header."""
        trailer = struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)
        self._write_sealed(self._deflate.flush() + trailer)
        self._file.seek(len(_HEADER))
        self._file.write(self._seal.digest())

    def _write_sealed(self, compressed: bytes) -> None:
        self._seal.update(compressed)
        self._file.write(compressed)


def read_gzip(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content in chunks of bounded size. Raises BrokenGzipError."""
    head = file.read(len(_HEADER) + _SEAL_BYTES)
    sealed = len(head) > _FLAGS and bool(head[_FLAGS] & _HAS_EXTRA)
    if sealed and not head.startswith(_HEADER):
        raise BrokenGzipError("its header was changed")
    seal = hashlib.sha256()
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    pending = head
    while not inflate.eof:
        if not pending:
            pending = file.read(_CHUNK_BYTES)
            seal.update(pending)
        at_end = not pending
        try:
            data = inflate.decompress(pending, _CHUNK_BYTES)
        except zlib.error as error:
            raise BrokenGzipError(str(error)) from None
        pending = inflate.unconsumed_tail
        if data:
            yield data
        elif at_end:
            raise BrokenGzipError("it is cut off")
    if inflate.unused_data or file.read(1):
        raise BrokenGzipError("something follows its end")
    if sealed and seal.digest() != head[len(_HEADER) :]:
        raise BrokenGzipError("its SHA-256 differs")
