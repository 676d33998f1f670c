"""Taking the log, or the movies as they are now, out into a file.

The file shows the store as it was when the export began, whatever is written meanwhile: a log only
grows, so what stands up to its head then stays as it is.
"""

import codecs
import csv
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from commands.event_store.store import Store
from projections.generation.completeness import check_all_read
from projections.movie_rows import ROW_FIELDS, decode_row
from projections.rebuild.replay import Usernames, fold_streams, whole_streams
from service.transfer.event_file import EventWriter, Summary
from service.transfer.readers.csv_cells import guarded

_BATCH = 2_000
_MODE = 0o600  # the log holds password hashes, and movies belong to accounts


class Exported(NamedTuple):
    """How many movies were written, as they were at which position."""

    movies: int
    position: int


def export_events(store: Store, path: Path, advance: Callable[[int], None]) -> Summary:
    """Write the whole log; in gzip where the name ends in ``.gz``.

    ``advance`` is told how many events are written. Raises OSError.
    """
    head = store.head()
    done = position = 0
    with whole_file(path) as file:
        compressed = path.suffix.lower() == ".gz"
        writer = EventWriter(file, compressed=compressed, lineage=store.read_identity())
        while events := store.read_raw(position, _BATCH, head):
            writer.add(events)
            position = events[-1].position
            done += len(events)
            advance(done)
        check_all_read(store, head, done)
        return writer.finish()


def export_movies(store: Store, path: Path, advance: Callable[[int], None]) -> Exported:
    """Write the movies as they are now, oldest first.

    CSV where the name ends in ``.csv``, else JSON Lines. ``advance`` is told how many events are
    read. Raises OSError.
    """
    head, count = store.head(), 0
    with whole_file(path) as file:
        put = _csv(file) if path.suffix.lower() == ".csv" else _json_lines(file)
        for movie in _movies(store, head, advance):
            put(movie)
            count += 1
    return Exported(count, head)


def _movies(store: Store, head: int, advance: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    names, done = Usernames(store), 0
    for events in whole_streams(store, head):
        for command, name, values in fold_streams(events, names).writes:
            if (command, name) == ("HSET", "rows"):
                yield from sorted(map(decode_row, values[1::2]), key=itemgetter("id"))
        done += len(events)
        advance(done)
    check_all_read(store, head, done)


def _csv(file: BinaryIO) -> Callable[[dict[str, Any]], object]:
    # Its lines end as RFC 4180 says: with less, Python would not quote a lone CR in a title.
    rows = csv.writer(codecs.getwriter("utf-8")(file))
    rows.writerow(ROW_FIELDS)
    return lambda movie: rows.writerow([guarded(str(movie[name])) for name in ROW_FIELDS])


def _json_lines(file: BinaryIO) -> Callable[[dict[str, Any]], object]:
    return lambda movie: file.write(orjson.dumps(movie) + b"\n")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file that takes ``path``'s place when all went well: never a part of it."""
    path = path.resolve()
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
