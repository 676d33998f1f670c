"""The change feed: follows the log for the clients of one process.

One loop a process reads each new event once and keeps the last few thousand, rendered. A client is
a coroutine with a place in the log: it takes what follows that place from what is kept, or, while
it is too far behind, from the log. So nothing queues up for anyone, however slow, and a client
that comes back with the last position it saw neither misses nor repeats an event.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable

import orjson
import structlog

from commands.errors import BusyError
from queries.log.catch_up import CatchUp, EventBatch, ReadBatch, RenderedEvent
from queries.log.history import Changes

KEPT = 4_096
MAX_CLIENTS = 3_072
PING_S = 15.0
BUSY_S = 5
_LOOK_S = 1.0
_NEW = 500
# Server-sent events (WHATWG HTML, 9.2). No blank line follows the greeting: it would end an event,
# and some clients deliver one that has no data.
GREETING = b": Cinelog\nretry: 1000\n"
PING = b": ping\n"
# Some clients end a line at these too. JSON has them in texts only, where an escape means the same.
_LINE_ENDS = tuple((end.encode(), b"\\u%04x" % ord(end)) for end in ("\u0085", "\u2028", "\u2029"))
log = structlog.get_logger(__name__)


class ChangeFeed:
    """Follows the log for all stream clients of a process.

    ``read(after, limit)`` reads a stretch, ``grown(position, timeout_s)`` waits until the log may
    reach beyond a position. At most ``most`` listen at a time.
    """

    def __init__(  # noqa: PLR0913 - each is a part or a bound
        self,
        read: ReadBatch,
        grown: Callable[[int, float], Awaitable[bool]],
        head: Callable[[], Awaitable[int]],
        *,
        kept: int = KEPT,
        ping_s: float = PING_S,
        most: int = MAX_CLIENTS,
    ) -> None:
        self._read = read
        self._catch_up = CatchUp(read)
        self._most = most
        self._grown = grown
        self._head = head
        self._kept: deque[RenderedEvent] = deque(maxlen=kept)
        self._most_kept = kept
        self._ping_s = ping_s
        self._kept_after = self._reached = 0
        self._news = asyncio.Event()
        self._clients = 0
        self._log = 0
        self._starting = asyncio.Lock()
        self._follower: asyncio.Task[None] | None = None
        self._closing = False

    async def events(
        self, after: int | None, until: float, account: Hashable = None
    ) -> AsyncGenerator[RenderedEvent]:
        """Yield what follows ``after`` (None: from now on), then what comes, until a Unix time.

        The greeting comes first, with the place after which it begins; once it is there nothing is
        missed. A comment stands where nothing came for 15 s. Raises BusyError when too many listen.
        """
        if self._clients >= self._most:
            raise BusyError("too many streams", retry_after_s=BUSY_S)
        self._clients += 1
        try:
            async with self._starting:
                if self._follower is None or self._follower.done():
                    self._reached = self._kept_after = await self._head()
                    self._kept.clear()
                    self._follower = asyncio.create_task(self._follow())
                    self._tell()  # whoever waits still reads from the log what came meanwhile
            place = self._reached if after is None else after
            log = self._log
            yield RenderedEvent(place, GREETING)
            while not self._closing and log == self._log and (left := until - time.time()) > 0:
                news = self._news
                if place < self._kept_after:
                    stretch = await self._catch_up.after(place, account)
                else:
                    stretch = self._after(place)
                if log != self._log:
                    break
                if stretch.events:
                    yield RenderedEvent(
                        stretch.reached, b"".join(sent.text for sent in stretch.events)
                    )
                if stretch.reached > place:
                    place = stretch.reached
                    continue
                try:
                    await asyncio.wait_for(news.wait(), min(self._ping_s, left))
                except TimeoutError:
                    yield RenderedEvent(place, PING)
        finally:
            self._clients -= 1
            if not self._clients and self._follower:
                self._follower.cancel()
                self._follower = None

    def _after(self, place: int) -> EventBatch:
        """Return what is kept after a place, found from the new end: most want only that."""
        found: list[RenderedEvent] = []
        for sent in reversed(self._kept):
            if sent.position <= place:
                break
            found.append(sent)
        return EventBatch(found[::-1], max(place, self._reached))

    async def _follow(self) -> None:
        while True:
            try:
                await self._step()
            except Exception as error:  # noqa: BLE001 - whatever it was, the streams must live on
                log.warning(
                    "stream waits",
                    position=self._reached,
                    error=f"{type(error).__name__}: {error}",
                )
                await asyncio.sleep(_LOOK_S)

    async def _step(self) -> None:
        """Keep what is new, once there is something."""
        if not await self._grown(self._reached + 1, _LOOK_S):
            await asyncio.sleep(_LOOK_S / 4)
        stretch = await self._read(self._reached, _NEW)
        overflow = len(self._kept) + len(stretch.events) - self._most_kept
        if overflow > 0:
            dropped = (*self._kept, *stretch.events)[overflow - 1]
            self._kept_after = dropped.position
        self._kept.extend(stretch.events)
        if stretch.reached > self._reached:
            self._reached = stretch.reached
            self._tell()

    def restart(self) -> None:
        """End every stream, since another log or epoch began; clients come back and are told."""
        self._log += 1
        if self._follower:
            self._follower.cancel()
            self._follower = None
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def close(self) -> None:
        """End every stream."""
        self._closing = True
        self._tell()
        if self._follower:
            self._follower.cancel()
            await asyncio.wait([self._follower])


def rendered(changes: Changes, name_of: Callable[[str], str]) -> EventBatch:
    """Return changes as they go over the wire."""
    events = []
    for entry in changes.entries:
        data = orjson.dumps({"movie_id": entry.movie_id, **entry.shown(name_of)})
        for raw, escaped in _LINE_ENDS:
            data = data.replace(raw, escaped)
        text = b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.position, entry.type.encode(), data)
        events.append(RenderedEvent(entry.position, text))
    return EventBatch(events, changes.reached)
