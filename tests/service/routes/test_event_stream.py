"""The live feed: nothing missed, nothing repeated, nothing queued for anyone."""

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest

from commands.errors import EventStoreUnavailableError
from queries.log.change_feed import GREETING, PING, ChangeFeed, EventBatch, RenderedEvent
from tests.controls import ALIEN
from tests.running import Cinelog, eventually


class Log:
    """A log of numbered events that can grow and be away."""

    def __init__(self, length=0):
        self.length, self.away, self.reads = length, False, 0

    async def read(self, after, limit):
        if self.away:
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

    def live(self, **options):
        return ChangeFeed(self.read, self.grown, self.head, **options)


async def take(events, count):
    """Return the numbers of the next ``count`` events."""
    numbers = []
    while len(numbers) < count:
        _, text = await asyncio.wait_for(anext(events), 5)
        numbers += [int(word) for word in text.split() if not text.startswith(b":")]
    return numbers


def soon():
    return time.time() + 60


async def test_from_now_on():
    log = Log(5)
    live = log.live()
    events = live.events(None, soon())
    assert await anext(events) == (5, GREETING)
    log.length = 7
    assert await take(events, 2) == [6, 7]
    await live.close()


async def test_from_a_place_through_the_catch_up_into_the_live_part():
    log = Log(1200)
    live = log.live()
    events = live.events(0, soon())
    first = await take(events, 600)
    log.length = 1300
    assert first + await take(events, 1300 - len(first)) == list(range(1, 1301))
    await live.close()


async def test_many_clients_cost_one_reading():
    log = Log(0)
    live = log.live()
    clients = [live.events(None, soon()) for _ in range(200)]
    for events in clients:
        await anext(events)
    log.reads, log.length = 0, 3
    assert [await take(events, 3) for events in clients] == [[1, 2, 3]] * 200
    assert log.reads < 20
    await live.close()


async def test_a_slow_client_reads_the_log_itself_where_too_little_is_kept():
    """It falls behind what is kept, and still gets each event once."""
    log = Log(0)
    live = log.live(kept=10)
    slow, quick = live.events(None, soon()), live.events(None, soon())
    await anext(slow)
    await anext(quick)
    for length in range(5, 205, 5):
        log.length = length
        await take(quick, 5)
    assert len(live._kept) == 10
    assert await take(slow, 200) == list(range(1, 201))
    await live.close()


async def test_a_ping_where_nothing_comes():
    live = Log(3).live(ping_s=0.01)
    events = live.events(None, soon())
    await anext(events)
    assert await asyncio.wait_for(anext(events), 5) == (3, PING)
    await live.close()


async def test_the_end_of_the_token_ends_the_stream():
    live = Log(3).live()
    texts = [sent.text async for sent in live.events(None, time.time() + 0.05)]
    assert texts[0] == GREETING
    assert len(texts) <= 2


async def test_a_log_that_is_away_is_waited_for():
    log = Log(1)
    live = log.live()
    events = live.events(None, soon())
    await anext(events)
    log.away, log.length = True, 2
    await asyncio.sleep(0.1)
    log.away = False
    assert await take(events, 1) == [2]
    await live.close()


async def test_a_mistake_of_ours_does_not_end_the_streams(capsys):
    """Whatever reading fails with, the loop lives on and says where it stands."""
    log = Log(1)

    async def grown(position, timeout_s):
        if log.length == 2 and not failed:
            failed.append(position)
            raise AttributeError("a mistake of ours")
        return await Log.grown(log, position, timeout_s)

    log.grown, failed = grown, []
    live = log.live()
    events = live.events(None, soon())
    await anext(events)
    log.length = 2
    assert await take(events, 1) == [2]
    assert failed == [2]
    said = capsys.readouterr()
    assert "AttributeError: a mistake of ours" in said.out + said.err
    await live.close()


async def test_a_follower_that_ended_is_started_for_the_next_client():
    """And those that are there already miss nothing."""
    log = Log(1)
    live = log.live()
    first, second = live.events(None, soon()), live.events(None, soon())
    await anext(first)
    waiting = asyncio.create_task(take(first, 2))
    await asyncio.sleep(0.01)
    live._follower.cancel()
    await asyncio.wait([live._follower])
    log.length = 2
    assert await anext(second) == (2, GREETING)
    log.length = 3
    assert await take(second, 1) == [3]
    assert await waiting == [2, 3]
    await live.close()


async def test_a_log_that_is_away_at_first_refuses():
    log = Log(5)
    log.head = lambda: log.read(0, 0)
    log.away = True
    with pytest.raises(EventStoreUnavailableError):
        await anext(log.live().events(None, soon()))


async def test_nothing_is_left_behind():
    live = Log(0).live()
    events = live.events(None, soon())
    await anext(events)
    await events.aclose()
    assert live._follower is None
    assert live._clients == 0


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


def test_over_http_the_stream_says_where_it_begins(ann):
    head = ann.get("/movies/").headers["event-position"]
    for headers, place in (({}, head), ({"Last-Event-ID": "1"}, "1")):
        with ann.stream("GET", "/events/stream", headers=headers) as response:
            assert response.headers["event-position"] == place


def test_over_http_the_stream_outlives_what_it_cannot_show(tmp_path):
    """An event by nobody we can name holds it up only for as long as it is like that."""
    with Cinelog(tmp_path / "var") as cinelog:
        ann = cinelog.account("ann")
        ann.post("/movies/", json=ALIEN)
        with ann.stream("GET", "/events/stream", timeout=20) as response:
            lines = response.iter_lines()
            next(lines)
            with closing(sqlite3.connect(tmp_path / "var" / "events.db")) as log:
                log.execute(
                    "INSERT INTO stored_events SELECT ?, 1, topic, json_set(state, '$.by', "
                    "json('[]')) FROM stored_events WHERE topic = 'MovieCreated'",
                    ("0" * 32,),
                )
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
