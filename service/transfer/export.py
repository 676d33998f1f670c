"""Export of the log, or of the current movies, to a file.

Both export the store as of the position at which they start: a log only grows, so its events up to
that position do not change while they run.
"""

import codecs
import csv
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from commands.event_store.store import Store
from projections.rebuild.replay import Usernames, fold_streams, whole_streams
from projections.row import ROW_FIELDS, decode_row
from service.durable_file import replacing
from service.transfer.csv_rows import guarded
from service.transfer.event_file import EventWriter, Summary, is_gzip

_BATCH = 2_000


class Exported(NamedTuple):
    """The number of movies written, and the position they are exported as of."""

    movies: int
    position: int


def export_events(store: Store, path: Path, advance: Callable[[int], None]) -> Summary:
    """Write the whole log; gzipped if the name ends in ``.gz``.

    ``advance`` is called with the number of events written. Raises OSError.
    """
    head = store.head()
    done = position = 0
    with replacing(path) as file:
        writer = EventWriter(file, compressed=is_gzip(path), lineage=store.read_identity())
        while events := store.read_raw(position, _BATCH, head):
            writer.add(events)
            position = events[-1].position
            done += len(events)
            advance(done)
        store.integrity.check_count(head, done)
        return writer.finish()


def export_movies(store: Store, path: Path, advance: Callable[[int], None]) -> Exported:
    """Write the current movies, oldest first.

    CSV if the name ends in ``.csv``, else JSON Lines. ``advance`` is called with the number of
    events read. Raises OSError.
    """
    head, count = store.head(), 0
    with replacing(path) as file:
        write = _csv_writer(file) if path.suffix.lower() == ".csv" else _json_writer(file)
        for movie in _movies(store, head, advance):
            write(movie)
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
    store.integrity.check_count(head, done)


def _csv_writer(file: BinaryIO) -> Callable[[dict[str, Any]], object]:
    # With another line end than that of RFC 4180, Python would not quote a lone CR in a title.
    rows = csv.writer(codecs.getwriter("utf-8")(file))
    rows.writerow(ROW_FIELDS)
    return lambda movie: rows.writerow([guarded(str(movie[name])) for name in ROW_FIELDS])


def _json_writer(file: BinaryIO) -> Callable[[dict[str, Any]], object]:
    return lambda movie: file.write(orjson.dumps(movie) + b"\n")
