"""The change feed: follows the log for the stream clients of one process.

One task reads each new event once and keeps the last few thousand, rendered. A client is a
coroutine with a position: it takes the events after it from memory, or from the log where it is
further behind. Nothing is queued per client, however slow, and a client that returns with the last
position it saw neither misses nor repeats an event.

The filter of a client selects from what was read for all. So that it need not read again what its
filter left out, it is told its position in an event of its own, at most every 15 s and in the end.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import suppress
from typing import NamedTuple

import orjson
import structlog

from commands.errors import BusyError
from commands.text import fold_name
from queries.admission.turns import Turns
from queries.log.event_filter import EVERY_EVENT, EventFacts, EventFilter
from queries.log.movie_events import Changes

KEPT = 4_096
MAX_CLIENTS = 3_072
PING_S = 15.0
BUSY_S = 5
_POLL_S = 1.0
_LIVE_BATCH, _CATCH_UP_BATCH = 500, 200
# A catch-up read is followed by a pause of twice its duration, a cached one by a millisecond.
_PAUSE_FACTOR, _MAX_PAUSE_S, _CACHED_PAUSE_S = 2.0, 0.05, 0.001
_CACHED_BATCHES = 64
# Server-sent events (WHATWG HTML, 9.2). No blank line follows the greeting: it would end an event,
# and some clients deliver an event without data.
GREETING = b": Cinelog\nretry: 1000\n"
PING = b": ping\n"
_POSITION = b'id: %d\nevent: position\ndata: {"position":%d}\n\n'
# Some clients end a line at these too. JSON has them only in texts, where an escape is equivalent.
_LINE_ENDS = tuple((end.encode(), b"\\u%04x" % ord(end)) for end in ("\u0085", "\u2028", "\u2029"))
log = structlog.get_logger(__name__)


class Sent(NamedTuple):
    """Bytes for a client, and the position that the stream has reached with them."""

    position: int
    text: bytes


class RenderedEvent(NamedTuple):
    """The bytes of an event, its position, and what filters compare."""

    position: int
    text: bytes
    facts: EventFacts = EventFacts("", "", "", "")


class EventBatch(NamedTuple):
    """Events in log order, complete up to the position ``reached``."""

    events: list[RenderedEvent]
    reached: int


ReadBatch = Callable[[int, int], Awaitable[EventBatch]]


def rendered(changes: Changes, username_of: Callable[[str], str]) -> EventBatch:
    """Return changes as server-sent events."""
    events = []
    for entry in changes.entries:
        fields = {"movie_id": entry.movie_id, **entry.to_dict(username_of)}
        data = orjson.dumps(fields)
        for raw, escaped in _LINE_ENDS:
            data = data.replace(raw, escaped)
        text = b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.position, entry.type.encode(), data)
        actor = fold_name(fields["actor"]["username"] or "")
        facts = EventFacts(entry.type, entry.movie_id, entry.at or "", actor)
        events.append(RenderedEvent(entry.position, text, facts))
    return EventBatch(events, changes.reached)


class CatchUp:
    """Reads of the log for clients that are far behind, at a pace that spares others.

    One read at a time, accounts in turn, with a pause after each. Clients at the same position
    share a read.
    """

    def __init__(self, read: ReadBatch) -> None:
        self._read = read
        # A client waits at most once, and the number of clients is bounded elsewhere.
        self._turns = Turns("reads of the log", running=1, waiting=1_000_000, patient=True)
        self._cached: OrderedDict[int, EventBatch] = OrderedDict()

    async def after(self, position: int, account: Hashable) -> EventBatch:
        """Return events after a position. Raises what ``read`` raises."""
        async with self._turns.of(account):
            if batch := self._cached.get(position):
                pause_s = _CACHED_PAUSE_S
            else:
                began = time.monotonic()
                batch = await self._read(position, _CATCH_UP_BATCH)
                pause_s = min(_MAX_PAUSE_S, _PAUSE_FACTOR * (time.monotonic() - began))
                if batch.reached > position:  # an empty batch at the end of the log grows soon
                    self._cached[position] = batch
                    if len(self._cached) > _CACHED_BATCHES:
                        self._cached.popitem(last=False)
            await asyncio.sleep(pause_s)
        return batch


class ChangeFeed:
    """Follows the log for all stream clients of a process.

    ``read(after, limit)`` reads a batch, ``wait_for(position, timeout_s)`` waits until the log may
    have a position. At most ``most`` clients at a time.
    """

    def __init__(  # noqa: PLR0913 - each is a part or a bound
        self,
        read: ReadBatch,
        wait_for: Callable[[int, float], Awaitable[bool]],
        head: Callable[[], Awaitable[int]],
        *,
        kept: int = KEPT,
        ping_s: float = PING_S,
        most: int = MAX_CLIENTS,
    ) -> None:
        self._read = read
        self._catch_up = CatchUp(read)
        self._wait_for = wait_for
        self._head = head
        self._most = most
        self._most_kept = kept
        self._ping_s = ping_s
        self._kept: deque[RenderedEvent] = deque(maxlen=kept)
        self._kept_after = self._reached = 0
        self._news = asyncio.Event()
        self._clients = 0
        self._epoch = 0
        self._starting = asyncio.Lock()
        self._follower: asyncio.Task[None] | None = None
        self._closing = False

    async def events(
        self,
        after: int | None,
        until: float,
        account: Hashable = None,
        wanted: EventFilter = EVERY_EVENT,
    ) -> AsyncGenerator[Sent]:
        """Yield wanted events after a position (None: from now on) as they come, until a Unix time.

        The greeting comes first, with the position to begin after; no later event is missed. After
        15 s of silence comes a comment, or an event ``position`` where the filter left out events,
        as it does in the end. Raises BusyError where too many clients listen.
        """
        if self._clients >= self._most:
            raise BusyError("too many streams", retry_after_s=BUSY_S)
        self._clients += 1
        try:
            await self._start()
            position = told = self._reached if after is None else after
            epoch = self._epoch
            yield Sent(position, GREETING)
            told_at = time.monotonic()
            while not self._closing and epoch == self._epoch and (left := until - time.time()) > 0:
                news = self._news
                batch = await self._after(position, account)
                if epoch != self._epoch:
                    break
                if chosen := [one for one in batch.events if wanted.passes(one.facts)]:
                    yield Sent(batch.reached, b"".join(one.text for one in chosen))
                    told, told_at = chosen[-1].position, time.monotonic()
                silent_s = time.monotonic() - told_at
                if batch.reached > position:
                    position = batch.reached
                elif silent_s < self._ping_s:
                    await _wait(news, min(self._ping_s - silent_s, left))
                    continue
                if silent_s >= self._ping_s:
                    yield _sign_of_life(position, told, wanted)
                    told, told_at = position, time.monotonic()
            if epoch == self._epoch and wanted != EVERY_EVENT and position > told:
                yield _sign_of_life(position, told, wanted)
        finally:
            self._clients -= 1
            if not self._clients:
                self._stop()

    async def _start(self) -> None:
        """Follow the log from its head, unless a task does."""
        async with self._starting:
            if self._follower is None or self._follower.done():
                self._reached = self._kept_after = await self._head()
                self._kept.clear()
                self._follower = asyncio.create_task(self._follow())
                self._notify()  # waiting clients read from the log what came meanwhile

    async def _after(self, position: int, account: Hashable) -> EventBatch:
        """Return events after a position: the kept ones, or for clients far behind from the log.

        The kept ones are searched from the end: most clients are near.
        """
        if position < self._kept_after:
            return await self._catch_up.after(position, account)
        events: list[RenderedEvent] = []
        for event in reversed(self._kept):
            if event.position <= position:
                break
            events.append(event)
        return EventBatch(events[::-1], max(position, self._reached))

    async def _follow(self) -> None:
        while True:
            try:
                await self._step()
            except Exception as error:  # noqa: BLE001 - the streams must live on
                log.warning(
                    "stream waits",
                    position=self._reached,
                    error=f"{type(error).__name__}: {error}",
                )
                await asyncio.sleep(_POLL_S)

    async def _step(self) -> None:
        """Wait for new events and keep them."""
        if not await self._wait_for(self._reached + 1, _POLL_S):
            await asyncio.sleep(_POLL_S / 4)
        batch = await self._read(self._reached, _LIVE_BATCH)
        overflow = len(self._kept) + len(batch.events) - self._most_kept
        if overflow > 0:
            evicted = (*self._kept, *batch.events)[overflow - 1]
            self._kept_after = evicted.position
        self._kept.extend(batch.events)
        if batch.reached > self._reached:
            self._reached = batch.reached
            self._notify()

    def restart(self) -> None:
        """End every stream, because another log or epoch began; clients come back and learn it."""
        self._epoch += 1
        self._stop()
        self._notify()

    def _stop(self) -> None:
        if self._follower:
            self._follower.cancel()
            self._follower = None

    def _notify(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def close(self) -> None:
        """End every stream."""
        self._closing = True
        self._notify()
        if self._follower:
            self._follower.cancel()
            await asyncio.wait([self._follower])


def _sign_of_life(position: int, told: int, wanted: EventFilter) -> Sent:
    """Return what ends a silence: the position, where the client does not know how far it is."""
    if wanted == EVERY_EVENT or position <= told:
        return Sent(position, PING)
    return Sent(position, _POSITION % (position, position))


async def _wait(news: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(news.wait(), timeout_s)
