"""Fills a new generation from the log, faster than batches in log order can.

Events are read stream by stream, so that each movie is folded from nothing in one go: nothing is
read back from Redis, and only what is left of a movie in the end is written. Several processes may
share the work by the ids of streams. The writes are plain commands: nobody reads this generation
yet, and one whose filling was interrupted is thrown away.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from commands.errors import NotFoundError, ReadModelUnavailableError
from commands.store import Recorded, Store
from projections.heads import FILLING, name_of
from projections.keys import Keys
from projections.listing import Before, Changes, fold_batch, parking
from projections.scripts import Script
from projections.view import View
from projections import whole

BATCH = 2_000
# So few events are read at once, in log order, whatever else is in the log.
FEW = 20_000
# Values in one command: Redis answers others between two of them.
_VALUES = 128
_KNOWN_USERS = 50_000
FIRST, LAST = "00000000-0000-0000-0000-000000000000", "g"

_FINISH = Script(
    whole.ALL
    + f"""
if redis.call('HGET', KEYS[1], 'state') ~= '{FILLING}' then return 0 end
redis.call('HSET', KEYS[1], 'position', ARGV[1], 'events', ARGV[2], 'last', ARGV[3], 'at', ARGV[4],
  'state', ARGV[5])
count()
return 1
"""
)


class Span(NamedTuple):
    """Streams from an id on, up to and without another."""

    first: str = FIRST
    end: str = LAST


class Filled(NamedTuple):
    """How many events were read, and how many of them applied."""

    read: int
    applied: int


def whole_streams(store: Store, until: int, span: Span = Span()) -> Iterator[list[Recorded]]:
    """Yield all events up to a position, stream by stream; a stream is never divided."""
    if until <= FEW:
        events = [e for e in _in_log_order(store, until) if span.first <= e.stream_id < span.end]
        events.sort(key=attrgetter("stream_id", "version"))
    ...
