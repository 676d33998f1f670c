"""The file of a whole log: JSON Lines, optionally gzipped, written and restored byte for byte.

The first line names the format and (format 2) the identity of the log and its epochs. Each further
line is an event, in log order; the last line has their count and the SHA-256 of all bytes before::

    {"position":7,"stream_id":"0189…","version":1,"type":"MovieCreated","state":{…}}

``state`` is the stored state, byte for byte. A state that is not JSON on one line, such as that of
a broken event, is stored in Base64 as ``state_base64``.

A file of an incremental backup holds the events after a position, which its first line names
(``after``). It is not a whole log: only ``cinelog restore`` reads it.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from commands.errors import InvalidError
from commands.event_store.event_codec import RawEvent
from commands.event_store.log.log_identity import LogIdentity
from commands.event_store.store import Store
from service.errors import DamagedFileError
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
_BATCH = 1_000
_MAX_INTEGER = 2**63 - 1
_CHUNK_BYTES = 1 << 18
# Far longer than any event; bounds the memory used for a file without line ends.
_MAX_LINE_BYTES = 1 << 24


class Summary(NamedTuple):
    """The number of events in a file, and the position of the last one (0 without events)."""

    events: int
    position: int


class _InvalidLineError(Exception):
    """A line is invalid; the message says why."""


class EventWriter:
    """Writes a log to a file, batch by batch."""

    def __init__(
        self,
        file: BinaryIO,
        *,
        compressed: bool,
        lineage: LogIdentity | None = None,
        after: int = 0,
    ) -> None:
        """With ``after`` the file is a part: the events after that position."""
        self._out = GzipWriter(file) if compressed else file
        self._sha256 = hashlib.sha256()
        self._count = self._position = 0
        self._write(_first_line(lineage, after) if lineage else _FIRST)

    def add(self, events: Sequence[RawEvent]) -> None:
        """Append a batch of events, in log order."""
        self._write(b"".join(map(_line, events)))
        self._count += len(events)
        self._position = events[-1].position

    def finish(self) -> Summary:
        """Write the last line and return what the file holds."""
        self._out.write(_LAST % (self._count, self._sha256.hexdigest().encode()))
        if isinstance(self._out, GzipWriter):
            self._out.finish()
        return Summary(self._count, self._position)

    def _write(self, lines: bytes) -> None:
        self._sha256.update(lines)
        self._out.write(lines)


def is_gzip(path: Path) -> bool:
    """Return whether the file of a log gets gzipped, by its name."""
    return path.suffix.lower() == ".gz"


def read_events(file: BinaryIO, after: int = 0) -> Iterator[RawEvent]:
    """Yield the events of a file in log order. Raises DamagedFileError.

    ``after`` is the position that a part begins after. The last line is checked after the last
    event, so the events are verified only once the iterator is exhausted.
    """
    lines = _lines(file)
    number, last, sha256 = 1, after, hashlib.sha256()
    try:
        line = next(lines, b"")
        _check_first(line, after)
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
    except _InvalidLineError as error:
        raise DamagedFileError(number, str(error)) from None


def check_file(file: BinaryIO, advance: Callable[[int], None]) -> Summary:
    """Read a file to its end and return what it holds. Raises DamagedFileError.

    ``advance`` is called with the number of bytes read.
    """
    count = position = 0
    for batch in _batches(file):
        count += len(batch)
        position = batch[-1].position
        advance(file.tell())
    return Summary(count, position)


def restore(
    store: Store,
    file: BinaryIO,
    advance: Callable[[int], None],
    identity: LogIdentity | None = None,
) -> None:
    """Write the log of a file into an empty store: all of it, or nothing.

    The log continues as ``identity``, or gets an identity of its own. The file is checked again
    while it is read, in case it was changed after ``check_file``. ``advance`` is called with the
    number of events written. Raises DamagedFileError, EventStoreUnavailableError, and
    ConfigurationError if the store is not empty.
    """

    def batches() -> Iterator[list[RawEvent]]:
        done = 0
        for batch in _batches(file):
            yield batch
            done += len(batch)
            advance(done)

    try:
        store.restore(batches(), identity)
    except InvalidError as error:
        raise DamagedFileError(None, str(error)) from None


def _batches(file: BinaryIO) -> Iterator[list[RawEvent]]:
    events = read_events(file)
    while batch := list(islice(events, _BATCH)):
        yield batch


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines including their ends, which the last line may lack."""
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
            raise _InvalidLineError("the line has no end")
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
    """Return the event of a line, whose position must be greater than ``last``."""
    if not line.endswith(b"\n"):
        raise _InvalidLineError("the file is cut off here")
    match = _EVENT.fullmatch(line)
    if match is None:
        raise _InvalidLineError("this is not an event")
    position, version = int(match[1]), int(match[3])
    if position <= last:
        raise _InvalidLineError(f"position {position} follows position {last}")
    if max(position, version) > _MAX_INTEGER:
        raise _InvalidLineError("a number is too large")
    try:
        kind, state = orjson.loads(match[4]), match[5]
        if state is None:
            state = base64.b64decode(match[6], validate=True)
        else:
            orjson.loads(state)
    except ValueError:
        raise _InvalidLineError("this is not an event") from None
    if "\0" in kind:
        raise _InvalidLineError("the type has a character that PostgreSQL cannot store")
    return RawEvent(position, match[2].decode(), version, kind, state)


def lineage_of(file: BinaryIO, after: int = 0) -> LogIdentity | None:
    """Return the identity of the log in a file, None in format 1. Raises DamagedFileError."""
    try:
        return _check_first(next(_lines(file), b""), after)
    except (BrokenGzipError, _InvalidLineError) as error:
        raise DamagedFileError(1, str(error)) from None


def _first_line(lineage: LogIdentity, after: int) -> bytes:
    head = {"cinelog": "events", "format": FORMAT, "log": lineage.log, "epochs": lineage.rows}
    if after:
        head["after"] = after
    return orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE)


def _check_first(line: bytes, after: int) -> LogIdentity | None:
    if line == _FIRST and not after:
        return None
    try:
        head = orjson.loads(line)
        if head["cinelog"] == "events" and head["format"] > FORMAT:
            raise _InvalidLineError(
                f"a newer version of Cinelog wrote this file (format {head['format']}, this one"
                f" reads {FORMAT})"
            )
        lineage = LogIdentity.of_rows(head["log"], head["epochs"])
        begins_after = head.get("after", 0)
    except (ValueError, LookupError, TypeError):
        lineage = None
    if lineage and begins_after != after:
        raise _InvalidLineError(
            f"this is a part of a backup, with the events after position {begins_after}; restore"
            " the backup with cinelog restore"
        )
    if lineage is None or line != _first_line(lineage, after):
        raise _InvalidLineError("this is not a file written by cinelog export --events")
    return lineage


def _check_last(line: bytes, count: int, sha256: str) -> None:
    if line == _LAST % (count, sha256.encode()):
        return
    if not line.startswith(_LAST_BEGINS + b"%d," % count):
        raise _InvalidLineError(f"the file holds {count} events, but its last line says otherwise")
    raise _InvalidLineError("the SHA-256 of the lines differs: one of them or this one was changed")


def _check_end(line: bytes) -> None:
    if line:
        raise _InvalidLineError("the file continues after its last line")
