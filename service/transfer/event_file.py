"""The file that holds a whole log: JSON Lines, or the same in gzip.

The first line names the format, and of which log it is and in which epochs that was (format 2); a
file without that has format 1. The last one counts the events and has the SHA-256 of every byte
before it. Between them stands an event a line, in log order::

    {"position":7,"stream_id":"0189…","version":1,"type":"MovieCreated","state":{…}}

``state`` is what the store holds, byte for byte. Where that is no JSON of one line, its Base64
stands as ``state_base64``: a log with a broken event is kept with it.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import BinaryIO, NamedTuple

import orjson

from commands.errors import DamagedFileError
from commands.event_store.event_codec import RawEvent
from commands.event_store.log_identity import LogIdentity
from service.transfer.sealed_gzip import MAGIC, BrokenGzipError, GzipWriter, read_gzip

FORMAT = 2
_FIRST = b'{"cinelog":"events","format":1}\n'
_LAST = b'{"count":%d,"sha256":"%s"}\n'
_LAST_BEGINS = b'{"count":'
_EVENT = re.compile(
    rb'\{"position":([1-9][0-9]{0,18}),'
    rb'"stream_id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",'
    rb'"version":([1-9][0-9]{0,18}),'
    rb'"type":("(?:[^"\\]|\\.)*"),'
    rb'(?:"state":(.*)|"state_base64":"([A-Za-z0-9+/=]*)")\}\n',
)
_MAX_INTEGER = 2**63 - 1
_CHUNK_BYTES = 1 << 18
# No event comes near it; it bounds the memory that a file without line ends takes.
_MAX_LINE_BYTES = 1 << 24


class Summary(NamedTuple):
    """What a file holds: how many events, and the position of the last one, 0 for none."""

    events: int
    position: int


class _WrongError(Exception):
    """What is wrong with a line."""


class EventWriter:
    """Writes a log into a file, batch by batch."""

    def __init__(
        self, file: BinaryIO, *, compressed: bool, lineage: LogIdentity | None = None
    ) -> None:
        self._out = GzipWriter(file) if compressed else file
        self._sha256 = hashlib.sha256()
        self._count = self._position = 0
        self._write(_first_line(lineage) if lineage else _FIRST)

    def add(self, events: Sequence[RawEvent]) -> None:
        """Append events that follow those before."""
        self._write(b"".join(map(_line, events)))
        self._count += len(events)
        self._position = events[-1].position

    def finish(self) -> Summary:
        """Write the last line."""
        self._out.write(_LAST % (self._count, self._sha256.hexdigest().encode()))
        if isinstance(self._out, GzipWriter):
            self._out.finish()
        return Summary(self._count, self._position)

    def _write(self, lines: bytes) -> None:
        self._sha256.update(lines)
        self._out.write(lines)


def read_events(file: BinaryIO) -> Iterator[RawEvent]:
    """Yield the events of a file in log order. Raises DamagedFileError.

    Only who took them all knows that they are what was exported: the last line tells.
    """
    lines = _lines(file)
    number, last, sha256 = 1, 0, hashlib.sha256()
    try:
        line = next(lines, b"")
        _check_first(line)
        while True:
            sha256.update(line)
            number += 1
            line = next(lines, b"")
            if line.startswith(_LAST_BEGINS):
                break
            event = _event(line, last)
            last = event.position
            yield event
        _check_last(line, number - 2, sha256.hexdigest())
        number += 1
        _check_end(next(lines, b""))
    except BrokenGzipError as error:
        raise DamagedFileError(number, f"the gzip is broken, {error}") from None
    except _WrongError as error:
        raise DamagedFileError(number, str(error)) from None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines with their ends, which only the last one may lack."""
    file.seek(0)
    compressed = file.read(len(MAGIC)) == MAGIC
    file.seek(0)
    chunks = read_gzip(file) if compressed else iter(lambda: file.read(_CHUNK_BYTES), b"")
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
        if len(rest) > _MAX_LINE_BYTES:
            raise _WrongError("the line has no end")
    if rest:
        yield rest


def _line(event: RawEvent) -> bytes:
    position, stream_id, version, kind, state = event
    front = f'{{"position":{position},"stream_id":"{stream_id}","version":{version},"type":'
    if _is_one_line(state):
        rest = b',"state":' + state
    else:
        rest = b',"state_base64":"' + base64.b64encode(state) + b'"'
    return front.encode() + _quoted(kind) + rest + b"}\n"


@lru_cache(maxsize=256)
def _quoted(kind: str) -> bytes:
    return orjson.dumps(kind)


def _is_one_line(state: bytes) -> bool:
    try:
        orjson.loads(state)
    except orjson.JSONDecodeError:
        return False
    return b"\n" not in state


def _event(line: bytes, last: int) -> RawEvent:
    """Return the event of a line, which must stand after position ``last``."""
    if not line.endswith(b"\n"):
        raise _WrongError("the file is cut off here")
    match = _EVENT.fullmatch(line)
    if match is None:
        raise _WrongError("this is no event")
    position, version = int(match[1]), int(match[3])
    if position <= last:
        raise _WrongError(f"position {position} stands after position {last}")
    if max(position, version) > _MAX_INTEGER:
        raise _WrongError("a number is too large")
    try:
        kind, state = orjson.loads(match[4]), match[5]
        if state is None:
            state = base64.b64decode(match[6], validate=True)
        else:
            orjson.loads(state)
    except ValueError:
        raise _WrongError("this is no event") from None
    if "\0" in kind:
        raise _WrongError("its type has a character that PostgreSQL cannot store")
    return RawEvent(position, match[2].decode(), version, kind, state)


def lineage_of(file: BinaryIO) -> LogIdentity | None:
    """Return of which log a file is, None for one of format 1. Raises DamagedFileError."""
    try:
        return _check_first(next(_lines(file), b""))
    except (BrokenGzipError, _WrongError) as error:
        raise DamagedFileError(1, str(error)) from None


def _first_line(lineage: LogIdentity) -> bytes:
    said = {"cinelog": "events", "format": FORMAT, "log": lineage.log, "epochs": lineage.rows}
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def _check_first(line: bytes) -> LogIdentity | None:
    if line == _FIRST:
        return None
    try:
        said = orjson.loads(line)
        newer = said["cinelog"] == "events" and said["format"] > FORMAT
        if not newer:
            lineage = LogIdentity.of_rows(said["log"], said["epochs"])
            if line == _first_line(lineage):
                return lineage
    except (ValueError, LookupError, TypeError):
        newer = False
    if newer:
        raise _WrongError(
            f"a newer version of Cinelog wrote this file (format {said['format']}, this one knows"
            f" {FORMAT})"
        )
    raise _WrongError("this is no file that cinelog export --events wrote")


def _check_last(line: bytes, count: int, sha256: str) -> None:
    if line == _LAST % (count, sha256.encode()):
        return
    if not line.startswith(_LAST_BEGINS + b"%d," % count):
        raise _WrongError(f"the file holds {count} events, its last line says something else")
    raise _WrongError("the SHA-256 of the lines is another: one of them, or this one, was changed")


def _check_end(line: bytes) -> None:
    if line:
        raise _WrongError("the file goes on after its last line")
