"""Bringing a log back from a file into an empty store: the same positions, ids and bytes."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import BinaryIO

from commands.errors import DamagedFileError, InvalidError
from commands.event_store.event_codec import RawEvent
from commands.event_store.log_identity import LogIdentity
from commands.event_store.store import Store
from service.transfer.event_file import Summary, read_events

_BATCH = 1_000


def check(file: BinaryIO, advance: Callable[[int], None]) -> Summary:
    """Read a file to its end and return what it holds, or raise DamagedFileError.

    ``advance`` is told how many bytes are read.
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
    """Write the log of a file into an empty store; all of it, or nothing.

    It goes on as ``identity``, or as a log of its own.
    The file is checked once more as it is read, so that one that was changed after ``check`` is
    refused, too. ``advance`` is told how many events are written. Raises DamagedFileError,
    ConfigurationError where the store is not empty, and EventStoreUnavailableError.
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
