"""Gzip streams, and sealed gzip: every changed bit of an exported log must be detected.

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
_GZIP_WBITS = 16 + zlib.MAX_WBITS


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
    """Yield the content of a file with one gzip member, which may be sealed.

    Raises BrokenGzipError.
    """
    head = file.read(len(_HEADER) + _SEAL_BYTES)
    sealed = len(head) > _FLAGS and bool(head[_FLAGS] & _HAS_EXTRA)
    if sealed and not head.startswith(_HEADER):
        raise BrokenGzipError("its header was changed")
    seal = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        yield head
        while chunk := file.read(_CHUNK_BYTES):
            seal.update(chunk)
            yield chunk

    yield from decompress(chunks(), _CHUNK_BYTES)
    if sealed and seal.digest() != head[len(_HEADER) :]:
        raise BrokenGzipError("its SHA-256 differs")


def decompress(
    chunks: Iterator[bytes], max_bytes: int, *, concatenated: bool = False
) -> Iterator[bytes]:
    """Yield the content of gzip in chunks of at most ``max_bytes``. Raises BrokenGzipError.

    ``concatenated`` gzip may have several members, and zeros as padding. A chunk whose check fails
    is not yielded.
    """
    member, pending = zlib.decompressobj(wbits=_GZIP_WBITS), b""
    while True:
        pending = pending or next(chunks, b"")
        at_end = not pending
        if member.eof:
            pending = pending.lstrip(b"\0") if concatenated else pending
            if at_end:
                return
            if not concatenated:
                raise BrokenGzipError("something follows its end")
            if not pending:
                continue
            member = zlib.decompressobj(wbits=_GZIP_WBITS)
        try:
            data = member.decompress(pending, max_bytes)
        except zlib.error as error:
            raise BrokenGzipError(str(error)) from None
        pending = member.unconsumed_tail or member.unused_data
        if data:
            yield data
        elif at_end:
            raise BrokenGzipError("it is cut off")
