"""Records: what lists and filters need of a movie, packed. Pure.

A record is a header (``created`` in microseconds since the epoch, year, id) and, unless it is dead,
``folded title NUL folded genre NUL folded creator``. A dead record says that the movie was deleted.

Each row of the read model begins with its record, and each change of the live generation is
announced by the records of the movies that changed. So a process can keep all records in memory.
"""

import struct
from collections.abc import Iterator

RECORDS_SINCE = 4
"""The first row format whose rows have records. A format with other records needs another key."""
DEAD = 0xFFFF
"""The year of a dead record."""
HEADER = struct.Struct("<QH16s")
_SIZE = struct.Struct("<H")


def encode_record(created_us: int, year: int, movie_id: bytes, texts: str) -> bytes:
    """Return a record; the id is 16 bytes, ``texts`` are joined by NUL."""
    return HEADER.pack(created_us, year, movie_id) + texts.encode()


def dead_record(movie_id: bytes) -> bytes:
    """Return the record of a movie that is deleted."""
    return HEADER.pack(0, DEAD, movie_id)


def is_dead(record: bytes) -> bool:
    """Return whether the movie of a record is deleted."""
    return len(record) == HEADER.size


def pack(record: bytes) -> bytes:
    """Return a record after its size, so that others or the JSON of a row may follow."""
    return _SIZE.pack(len(record)) + record


def unpack(packed: bytes) -> Iterator[bytes]:
    """Yield the records that were packed one after the other."""
    at = 0
    while at < len(packed):
        record = first_record(packed, at)
        at += _SIZE.size + len(record)
        yield record


def first_record(packed: bytes, at: int = 0) -> bytes:
    """Return the packed record at an offset. Raises ValueError if it is cut off."""
    begin = at + _SIZE.size
    end = begin + int.from_bytes(packed[at:begin], "little")
    if not HEADER.size <= end - begin or end > len(packed):
        raise ValueError("it is no packed record")
    return packed[begin:end]
