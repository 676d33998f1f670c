"""Reads events from the leaf pages of a SQLite file without SQLite, if its trees are broken.

Every leaf page of a table is read, whether or not a tree leads to it, and the committed pages of
the write-ahead log. The layout: https://sqlite.org/fileformat2.html.
"""

import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from commands.event_store.event_codec import RawEvent, raw_event

_MAGIC = b"SQLite format 3\0"
_PAGE_BYTES = 4096  # of files that Cinelog makes; used if the header is broken
_SIZES = {1 << bits for bits in range(9, 17)}
_LEAF = 0x0D
_FILE_HEADER, _LEAF_HEADER, _WAL_HEADER, _FRAME_HEADER = 100, 8, 32, 24
_ID = re.compile(rb"[0-9a-f]{32}")
_MOST_BYTES = 1 << 24  # no event comes near it
_TEXT, _BLOB, _FIRST_OF_BYTES = 13, 12, 12
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_OPEN: list[int] = []


class LeafPages:
    """The leaf pages of a file."""

    def __init__(self, path: Path) -> None:
        # Never closed: closing it would release the locks that SQLite has in this process.
        self._file = os.open(path, os.O_RDONLY)
        _OPEN.append(self._file)
        head = os.pread(self._file, _FILE_HEADER, 0)
        size = int.from_bytes(head[16:18], "big")
        size = 65_536 if size == 1 else size
        is_intact = head.startswith(_MAGIC) and size in _SIZES
        self._page_bytes = size if is_intact else _PAGE_BYTES
        self._usable = self._page_bytes - (head[20] if is_intact else 0)
        self._pages = -(-os.fstat(self._file).st_size // self._page_bytes)
        self._wal_pages = self._committed(path.with_name(f"{path.name}-wal"))
        self._pages = max(self._pages, *self._wal_pages, 0)

    def events(
        self, is_wanted: Callable[[int], bool], advance: Callable[[int, int], None]
    ) -> Iterator[RawEvent]:
        """Yield the events at wanted positions, by position.

        Records that are no events, down to the length of each column, are skipped. ``advance`` is
        called with the pages read and all pages.
        """
        places: list[int] = []
        for number in range(1, self._pages + 1):
            page = self._page(number)
            for offset in self._cells(page, number):
                event = self._event(page, offset)
                if event is not None and is_wanted(event.position):
                    places.append(event.position << 64 | number << 16 | offset)
            advance(number, self._pages)
        last = 0
        for place in sorted(places):
            page = self._page(place >> 16 & 0xFFFF_FFFF_FFFF)
            event = self._event(page, place & 0xFFFF)
            if event is not None and event.position > last:
                last = event.position
                yield event

    def _committed(self, wal: Path) -> dict[int, bytes]:
        """Return the pages of the write-ahead log by number, each as the last commit left it."""
        committed: dict[int, bytes] = {}
        pending: dict[int, bytes] = {}
        try:
            text = wal.read_bytes()
        except OSError:
            return committed
        salts, step = text[16:24], _FRAME_HEADER + self._page_bytes
        for at in range(_WAL_HEADER, len(text) - step + 1, step):
            number, size = struct.unpack_from(">II", text, at)
            if text[at + 8 : at + 16] != salts:
                break
            pending[number] = text[at + _FRAME_HEADER : at + step]
            if size:
                committed |= pending
                pending.clear()
        return committed

    def _page(self, number: int) -> bytes:
        if (page := self._wal_pages.get(number)) is not None:
            return page
        start = (number - 1) * self._page_bytes
        return os.pread(self._file, self._page_bytes, start).ljust(self._page_bytes, b"\0")

    def _cells(self, page: bytes, number: int) -> list[int]:
        start = _FILE_HEADER if number == 1 else 0
        if page[start] != _LEAF:
            return []
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        first = start + _LEAF_HEADER
        count = min(count, (self._page_bytes - first) // 2)
        return list(struct.unpack_from(f">{count}H", page, first))

    def _event(self, page: bytes, offset: int) -> RawEvent | None:
        try:
            size, at = _varint(page, offset)
            position, at = _varint(page, at)
            if not 0 < position < 1 << 63 or not 0 < size < _MOST_BYTES:
                return None
            return _event_in(position, self._payload(page, at, size))
        except (IndexError, ValueError):  # it exceeds the page, or its text is not UTF-8
            return None

    def _payload(self, page: bytes, at: int, size: int) -> bytes:
        most, least = self._usable - 35, (self._usable - 12) * 32 // 255 - 23
        if size <= most:
            return page[at : at + size]
        local = least + (size - least) % (self._usable - 4)
        local = local if local <= most else least
        parts, left = [page[at : at + local]], size - local
        follows = int.from_bytes(page[at + local : at + local + 4], "big")
        while left > 0 and 0 < follows <= self._pages:
            page = self._page(follows)
            parts.append(page[4 : min(self._usable, 4 + left)])
            left -= len(parts[-1])
            follows = int.from_bytes(page[:4], "big")
        return b"".join(parts)


def _event_in(position: int, payload: bytes) -> RawEvent | None:
    """Return the event in a record, None for a record of another shape."""
    header, at = _varint(payload, 0)
    kinds = []
    while at < header:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if at != header or len(kinds) != 4:  # noqa: PLR2004 - columns
        return None
    stream, version, topic, state = kinds
    if stream != _TEXT + 64 or topic < _TEXT or topic % 2 == 0 or state < _BLOB or state % 2:
        return None
    sizes = (32, _integer_bytes(version), (topic - _TEXT) // 2, (state - _BLOB) // 2)
    if header + sum(sizes) != len(payload):
        return None
    columns = []
    for size in sizes:
        columns.append(payload[at : at + size])
        at += size
    number = version - 8 if version in (8, 9) else int.from_bytes(columns[1], "big", signed=True)
    if not _ID.fullmatch(columns[0]) or number < 1:
        return None
    return raw_event((position, columns[0].decode(), number, columns[2].decode(), columns[3]))


def _integer_bytes(kind: int) -> int:
    if kind in (8, 9):
        return 0
    if kind not in _INTEGER_BYTES:
        raise ValueError("no integer")
    return _INTEGER_BYTES[kind]


def _varint(text: bytes, at: int) -> tuple[int, int]:
    """Return a varint and the offset after it."""
    value = 0
    for count in range(8):
        byte = text[at + count]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the last one
            return value, at + count + 1
    return value << 8 | text[at + 8], at + 9
