"""Records: what lists and filters need of a movie, packed. Pure.

A record is a header (``created`` in microseconds since the epoch, year, id) and, unless it is dead,
``folded title NUL folded genre NUL folded creator``. A dead record has no movie: it was deleted.

A record lies at an *address*: the number of its block times ``BLOCK``, plus its place in the block.
"""

import struct
from collections.abc import Iterator

BLOCK = 16_384
"""The largest number of records in a block."""
DEAD = 0xFFFF
"""The year of a dead record."""
HEADER = struct.Struct("<QH16s")
HEADER_BYTES = HEADER.size
_CHANGE = struct.Struct("<IH")


def encode_record(created_us: int, year: int, movie_id: bytes, texts: bytes) -> bytes:
    """Return the record of a movie; ``texts`` are those of ``record_texts``, the id is 16 bytes."""
    return HEADER.pack(created_us, year, movie_id) + texts


def record_texts(title: str, genre: str, creator: str) -> bytes:
    """Return the folded texts of a record as they are stored."""
    return f"{title}\0{genre}\0{creator}".encode()


def dead_record(record: bytes) -> bytes:
    """Return the record that remains of a movie that is deleted."""
    created_us, _, movie_id = HEADER.unpack_from(record)
    return HEADER.pack(created_us, DEAD, movie_id)


def is_dead(record: bytes) -> bool:
    """Return whether a record has no movie."""
    return record[8:10] == b"\xff\xff"


def pack_change(address: int, record: bytes) -> bytes:
    """Return a change as it lies in the stream of changes, several of them one after the other."""
    return _CHANGE.pack(address, len(record)) + record


def unpack_changes(packed: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the address and the record of each change."""
    at = 0
    while at < len(packed):
        address, size = _CHANGE.unpack_from(packed, at)
        at += _CHANGE.size
        yield address, packed[at : at + size]
        at += size
