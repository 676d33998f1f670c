"""The file that holds a whole log: JSON Lines, or the same in gzip.

The first line names the format, the last one counts the events and has the SHA-256 of every byte
before it. Between them stands an event a line, in log order::

    {"position":7,"stream_id":"0189…","version":1,"type":"MovieCreated","state":{…}}

``state`` is what the store holds, byte for byte. Where that is no JSON of one line, ``state_base64``
stands in its place.
"""

import base64
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import BinaryIO, NamedTuple

import orjson

from commands.store import Stored
from service.sealed_gzip import MAGIC, BrokenGzipError, GzipReader, GzipWriter

FORMAT = 1
_FIRST = b'{"cinelog":"events","format":%d}\n'
_LAST = b'{"count":%d,"sha256":"%s"}\n'
_EVENT = re.compile(
    rb'\{"position":([1-9][0-9]{0,18}),'
    rb'"stream_id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",'
    rb'"version":([1-9][0-9]{0,18}),'
    rb'"type":("(?:[^"\\]|\\.)*"),'
    rb'"state(_base64)?":(.*)\}\n',
    re.DOTALL,
)
_MAX_INTEGER = 2**63 - 1
# No event comes near it; it bounds the memory that a file without line ends can take.
_MAX_LINE_BYTES = 1 << 26


class Summary(NamedTuple):
    """What a file holds: how many events, the last one's position, the SHA-256 of its lines."""

    events: int
    position: int
    sha256: str


class DamagedError(Exception):
    """The file is not what was exported. ``line`` is where that shows, from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class EventWriter:
    """Writes a log's events, as they come, into a file."""

    def __init__(self, file: BinaryIO, *, compressed: bool) -> None:
        self._out = GzipWriter(file) if compressed else file
        self._compressed = compressed
        self._sha256 = hashlib.sha256()
        self._count = self._position = 0
        self._write(_FIRST % FORMAT)

    def add(self, events: Sequence[Stored]) -> None:
        """Append events that follow those before."""
        self._write(b"".join(map(_line, events)))
        self._count += len(events)
        self._position = events[-1].position

    def finish(self) -> Summary:
        """Write the last line."""
        digest = self._sha256.hexdigest()
        self._out.write(_LAST % (self._count, digest.encode()))
        if isinstance(self._out, GzipWriter):
            self._out.finish()
        return Summary(self._count, self._position, digest)

    def _write(self, lines: bytes) -> None:
        self._sha256.update(lines)
        self._out.write(lines)


class EventReader:
    """Reads the events of a file once; ``summary`` is there when the last one was read.

    Whoever took all of them without DamagedError has read exactly what was written.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.summary: Summary | None = None

    def __iter__(self) -> Iterator[Stored]:
        """Yield the events in log order. Raises DamagedError."""
        line = 1
        try:
            source = _decompressed(self._file)
            text = source.readline(_MAX_LINE_BYTES)
            _check_first(text)
            sha256 = hashlib.sha256(text)
            position = 0
            for line in itertools.count(2):
                ...
        except BrokenGzipError as error:
            raise DamagedError(line, f"the gzip is broken: {error}") from None
