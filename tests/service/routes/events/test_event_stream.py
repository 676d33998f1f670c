"""The live feed delivers each event exactly once and queues nothing per client."""

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest

from commands.errors import EventStoreUnavailableError
from queries.log.change_feed import GREETING, PING, ChangeFeed, EventBatch, RenderedEvent
from queries.log.event_filter import EventFacts, EventFilter
from tests.controls import ALIEN
from tests.running import Cinelog, eventually


class Log:
    """A log of numbered events that can grow and become unreachable."""

    def __init__(self, length=0):
        self.length, self.unreachable, self.reads = length, False, 0

    async def read(self, after, limit):
        if self.unreachable:
            raise EventStoreUnavailableError
        self.reads += 1
        await asyncio.sleep(0)
        last = min(after + limit, self.length)
        return EventBatch([RenderedEvent(n, b"%d " % n) for n in range(after + 1, last + 1)], last)

    async def grown(self, position, timeout_s):
        until = time.monotonic() + min(timeout_s, 0.05)
        while self.length < position and time.monotonic() < until:  # noqa: ASYNC110 - a test's log
            await asyncio.sleep(0.001)
        return self.length >= position

    async def head(self):
        return self.length

    def feed(self, **options):
        return ChangeFeed(self.read, self.grown, self.head, **options)


async def take(events, count):
    """Return the numbers of the next ``count`` events."""
    numbers = []
    while len(numbers) < count:
        _, text = await asyncio.wait_for(anext(events), 5)
        numbers += [int(word) for word in text.split() if not text.startswith(b":")]
    return numbers


def in_one_minute():
    return time.time() + 60


async def test_stream_without_a_position_begins_at_the_head():
    log = Log(5)
    feed = log.feed()
    events = feed.events(None, in_one_minute())
    assert await anext(events) == (5, GREETING)
    log.length = 7
    assert await take(events, 2) == [6, 7]
    await feed.close()


async def test_stream_from_a_position_catches_up_and_goes_live():
    log = Log(1200)
    feed = log.feed()
    events = feed.events(0, in_one_minute())
    first = await take(events, 600)
    log.length = 1300
    assert first + await take(events, 1300 - len(first)) == list(range(1, 1301))
    await feed.close()


async def test_many_clients_share_reads():
    log = Log(0)
    feed = log.feed()
    clients = [feed.events(None, in_one_minute()) for _ in range(200)]
    for events in clients:
        await anext(events)
    log.reads, log.length = 0, 3
    assert [await take(events, 3) for events in clients] == [[1, 2, 3]] * 200
    assert log.reads < 20
    await feed.close()


async def test_a_slow_client_falls_back_to_the_log():
    """A client behind the buffer still gets each event once."""
    log = Log(0)
    feed = log.feed(kept=10)
    slow, quick = feed.events(None, in_one_minute()), feed.events(None, in_one_minute())
    await anext(slow)
    await anext(quick)
    for length in range(5, 205, 5):
        log.length = length
        await take(quick, 5)
    assert len(feed._kept) == 10
    assert await take(slow, 200) == list(range(1, 201))
    await feed.close()


async def test_an_idle_stream_sends_pings():
    feed = Log(3).feed(ping_s=0.01)
    events = feed.events(None, in_one_minute())
    await anext(events)
    assert await asyncio.wait_for(anext(events), 5) == (3, PING)
    await feed.close()


ODD = EventFilter(type="odd")


class TypedLog(Log):
    """Odd and even numbers are of different types."""

    async def read(self, after, limit):
        batch = await super().read(after, limit)
        types = ("even", "odd")
        events = [
            one._replace(facts=EventFacts(types[one.position % 2], "", "", ""))
            for one in batch.events
        ]
        return batch._replace(events=events)


async def test_clients_with_filters_share_reads():
    """Each is sent what passes its own filter, from the past and live."""
    log = TypedLog(1000)
    feed = log.feed()
    odd, rest = feed.events(0, in_one_minute(), None, ODD), feed.events(0, in_one_minute())
    assert await take(odd, 500) == list(range(1, 1000, 2))
    assert await take(rest, 1000) == list(range(1, 1001))
    reads, log.length = log.reads, 1004
    assert await take(odd, 2) == [1001, 1003]
    assert await take(rest, 4) == [1001, 1002, 1003, 1004]
    assert log.reads - reads < 10
    await feed.close()


async def test_a_silent_filtered_stream_tells_its_position():
    """A client that comes back does not read again what the filter left out."""
    log = TypedLog(3)
    feed = log.feed(ping_s=0.01)
    events = feed.events(0, in_one_minute(), None, EventFilter(type="even"))
    await anext(events)
    assert await anext(events) == (3, b"2 ")
    told = await asyncio.wait_for(anext(events), 5)
    assert told == (3, b'id: 3\nevent: position\ndata: {"position":3}\n\n')
    assert await asyncio.wait_for(anext(events), 5) == (3, PING)
    await feed.close()


async def test_a_filtered_stream_is_not_silent_while_others_have_news():
    log = TypedLog(0)
    feed = log.feed(ping_s=0.05)
    events = feed.events(None, in_one_minute(), None, EventFilter(type="none"))
    await anext(events)

    async def grow():
        while True:
            log.length += 1
            await asyncio.sleep(0.01)

    growing = asyncio.create_task(grow())
    sent = await asyncio.wait_for(anext(events), 5)
    assert sent.text.startswith(b"id: %d\nevent: position\n" % sent.position)
    growing.cancel()
    await feed.close()


async def test_a_filtered_stream_tells_its_position_in_the_end():
    feed = TypedLog(4).feed()
    events = feed.events(0, time.time() + 0.2, None, ODD)
    texts = [sent.text async for sent in events]
    assert texts[1:] == [b"1 3 ", b'id: 4\nevent: position\ndata: {"position":4}\n\n']


async def test_a_stream_ends_with_its_token():
    feed = Log(3).feed()
    texts = [sent.text async for sent in feed.events(None, time.time() + 0.05)]
    assert texts[0] == GREETING
    assert len(texts) <= 2


async def test_a_stream_waits_for_an_unreachable_log():
    log = Log(1)
    feed = log.feed()
    events = feed.events(None, in_one_minute())
    await anext(events)
    log.unreachable, log.length = True, 2
    await asyncio.sleep(0.1)
    log.unreachable = False
    assert await take(events, 1) == [2]
    await feed.close()


async def test_a_bug_does_not_end_the_streams(capsys):
    """Any exception of a read is logged with its position, and the loop continues."""
    log = Log(1)

    async def grown(position, timeout_s):
        if log.length == 2 and not failed:
            failed.append(position)
            raise AttributeError("a bug")
        return await Log.grown(log, position, timeout_s)

    log.grown, failed = grown, []
    feed = log.feed()
    events = feed.events(None, in_one_minute())
    await anext(events)
    log.length = 2
    assert await take(events, 1) == [2]
    assert failed == [2]
    captured = capsys.readouterr()
    assert "AttributeError: a bug" in captured.out + captured.err
    await feed.close()


async def test_an_ended_follower_is_restarted_by_the_next_client():
    """Connected clients miss no event."""
    log = Log(1)
    feed = log.feed()
    first, second = feed.events(None, in_one_minute()), feed.events(None, in_one_minute())
    await anext(first)
    waiting = asyncio.create_task(take(first, 2))
    await asyncio.sleep(0.01)
    feed._follower.cancel()
    await asyncio.wait([feed._follower])
    log.length = 2
    assert await anext(second) == (2, GREETING)
    log.length = 3
    assert await take(second, 1) == [3]
    assert await waiting == [2, 3]
    await feed.close()


async def test_an_unreachable_log_refuses_new_streams():
    log = Log(5)
    log.head = lambda: log.read(0, 0)
    log.unreachable = True
    with pytest.raises(EventStoreUnavailableError):
        await anext(log.feed().events(None, in_one_minute()))


async def test_the_last_client_stops_the_follower():
    feed = Log(0).feed()
    events = feed.events(None, in_one_minute())
    await anext(events)
    await events.aclose()
    assert feed._follower is None
    assert feed._clients == 0


def test_over_http_the_stream_ends_with_the_token_and_with_the_service(tmp_path):
    with Cinelog(tmp_path / "var", access_ttl_s=2) as cinelog:
        ann = cinelog.account("ann")
        began = time.monotonic()
        with ann.stream("GET", "/events/stream", timeout=10) as response:
            assert b"".join(response.iter_raw()).startswith(GREETING)
        assert time.monotonic() - began < 5
        token = cinelog.client().post(
            "/auth/token/", json={"username": "ann", "password": "correct-horse-7"}
        )
        client = cinelog.client(token.json()["access"])
        with client.stream("GET", "/events/stream", timeout=10) as response:
            assert response.status_code == 200
            began = time.monotonic()
            cinelog.process.terminate()
            for _ in response.iter_raw():
                pass
            assert eventually(lambda: cinelog.process.poll() is not None)
            assert time.monotonic() - began < 5


def test_over_http_the_stream_has_its_first_position(ann):
    head = ann.get("/movies/").headers["event-position"]
    for headers, position in (({}, head), ({"Last-Event-ID": "1"}, "1")):
        with ann.stream("GET", "/events/stream", headers=headers) as response:
            assert response.headers["event-position"] == position


def test_over_http_the_stream_continues_after_an_unreadable_event(tmp_path):
    """An unreadable event blocks the stream only until it is repaired.

    The log's last event stays as it is: else its repair could begin another epoch.
    """
    copy = "INSERT INTO stored_events SELECT ?, 1, topic, state FROM stored_events WHERE topic = ?"
    with Cinelog(tmp_path / "var") as cinelog:
        ann = cinelog.account("ann")
        ann.post("/movies/", json=ALIEN)
        with ann.stream("GET", "/events/stream", timeout=20) as response:
            lines = response.iter_lines()
            next(lines)
            with closing(sqlite3.connect(tmp_path / "var" / "events.db")) as log:
                broken = copy.replace("state", "json_set(state, '$.by', json('[]'))", 1)
                log.execute(broken, ("0" * 32, "MovieCreated"))
                log.execute(copy, ("1" * 32, "UserRegistered"))
                log.commit()
                eventually(lambda: "stream waits" in cinelog.output())
                log.execute(
                    "UPDATE stored_events SET state = CAST(json_set(state, '$.by', ?) AS BLOB) "
                    "WHERE originator_id = ?",
                    (ann.account["id"], "0" * 32),
                )
                log.commit()
            movie = cinelog.client(ann.pair["access"]).post("/movies/", json=ALIEN).json()
            assert any(movie["id"] in line for line in lines)
