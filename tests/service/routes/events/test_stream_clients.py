"""Common clients of server-sent events read the stream; greeting and ping are no events."""

import asyncio
import json
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from httpx_sse import connect_sse
from sseclient import SSEClient

from queries.log.change_feed import ChangeFeed, EventBatch, RenderedEvent
from tests.controls import ALIEN

CLIENTS = Path(__file__).parents[3] / "clients"
READ = """
import {EventSource} from "eventsource"
const [url, token, after, count] = process.argv.slice(1)
const headers = {Authorization: `Bearer ${token}`, "Last-Event-ID": after}
const events = new EventSource(
  url, {fetch: (input, init) => fetch(input, {...init, headers: {...init.headers, ...headers}})})
const received = []
const take = (event) => {
  received.push([event.type, event.lastEventId, event.data])
  if (received.length == count) { console.log(JSON.stringify(received)); process.exit(0) }
}
for (const type of ["message", "MovieCreated"]) events.addEventListener(type, take)
events.onerror = (error) => { console.error(String(error.code), error.message); process.exit(1) }
"""
pytestmark = pytest.mark.xdist_group("stream clients")  # they share a service
# Line ends of str.splitlines() that JSON does not escape.
TITLES = ["One", "A\u2028B", "C\u0085D", "E\u2029F", "Two"]


@pytest.fixture(scope="module")
def node():
    """Run JavaScript with the npm package ``eventsource``; skip if it is not installed."""
    program = shutil.which("node")
    if not program or not (CLIENTS / "node_modules" / "eventsource").exists():
        pytest.skip("Node.js or eventsource is not installed: `make test` requires npm")

    def run(*args):
        words = [program, "--input-type=module", "--eval", READ, "--", *map(str, args)]
        done = subprocess.run(
            words, cwd=CLIENTS, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def author(service):
    """An account with some movies, and the position before them."""
    account = service.account("herodotus")
    account.after = account.get("/movies/").headers["Event-Position"]
    for title in TITLES:
        assert account.post("/movies/", json=ALIEN | {"title": title}).status_code == 201
    account.service = service
    return account


def titles_of(datas):
    return [json.loads(data)["changes"]["title"]["to"] for data in datas]


def test_httpx_sse(author):
    events = []
    headers = {"Last-Event-ID": author.after}
    with connect_sse(author, "GET", "/events/stream", headers=headers) as source:
        for event in source.iter_sse():
            events.append(event)
            if len(events) == len(TITLES):
                break
    assert titles_of(event.data for event in events) == TITLES
    assert {event.event for event in events} == {"MovieCreated"}


def test_stream_has_only_line_ends_of_the_specification(author):
    """Clients that use ``str.splitlines`` read the same events."""
    received = []
    headers = {"Last-Event-ID": author.after}
    with author.stream("GET", "/events/stream", headers=headers) as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                received.append(line.removeprefix("data: "))
            if len(received) == len(TITLES):
                break
    assert titles_of(received) == TITLES


def test_sseclient_py(author):
    with author.stream("GET", f"/events/stream?after={author.after}") as response:
        events = SSEClient(response.iter_raw()).events()
        received = [next(events) for _ in TITLES]
    assert titles_of(event.data for event in received) == TITLES


def test_eventsource_of_node(author, node):
    url = f"{author.service.url}/api/v1/events/stream"
    received = node(url, author.pair["access"], author.after, len(TITLES))
    assert titles_of(data for _, _, data in received) == TITLES
    assert [int(number) for _, number, _ in received] == sorted(
        int(number) for _, number, _ in received
    )


def test_an_empty_last_event_id_counts_as_absent(author):
    """Clients send an empty id before their first event; then ``after`` counts."""
    now = author.get("/movies/").headers["Event-Position"]
    for after, position in (("", now), (author.after, author.after)):
        params, headers = {"after": after}, {"Last-Event-ID": ""}
        with author.stream("GET", "/events/stream", params=params, headers=headers) as response:
            assert response.status_code == 200
            assert int(response.headers["event-position"]) >= int(position)


async def test_greeting_and_ping_are_no_events(node):
    """Both are sent around the first event."""
    length = 0

    async def read(after, limit):
        numbers = range(after + 1, length + 1)
        text = b"id: %d\nevent: MovieCreated\ndata: {}\n\n"
        return EventBatch([RenderedEvent(n, text % n) for n in numbers], length)

    async def grown(position, timeout_s):
        await asyncio.sleep(0.01)
        return length >= position

    async def head():
        return length

    feed = ChangeFeed(read, grown, head, ping_s=0.03)

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        with suppress(ConnectionError):
            async for sent in feed.events(None, time.time() + 60):
                writer.write(sent.text)
                await writer.drain()
        writer.close()

    def by_httpx(url):
        with httpx.Client() as client, connect_sse(client, "GET", url) as source:
            events = source.iter_sse()
            return next(events).data, next(events).data

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    reading = [
        asyncio.create_task(asyncio.to_thread(by_httpx, url)),
        asyncio.create_task(asyncio.to_thread(node, url, "", "", 2)),
    ]
    while feed._clients < len(reading):  # clients in threads and processes
        done, _ = await asyncio.wait(reading, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
        assert not done, [one.exception() for one in done]
    for _ in range(2):
        await asyncio.sleep(0.1)
        length += 1
    assert await reading[0] == ("{}", "{}")
    assert [data for _, _, data in await reading[1]] == ["{}", "{}"]
    await feed.close()
    server.close()
    await asyncio.sleep(0.05)
