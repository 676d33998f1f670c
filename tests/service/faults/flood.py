"""A flood of requests on many connections, at little cost to this process."""

import asyncio
import time
from typing import NamedTuple


class Answer(NamedTuple):
    """When an answer came in seconds of the monotonic clock, how long it took, and parts of it."""

    at: float
    took_s: float
    status: int
    head: bytes
    body: bytes


async def ask(port, request, *, streams=None):
    """Send a request; return the answer."""
    began = time.monotonic()
    reader, writer = streams or await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split()[0])
        body = await reader.readexactly(length)
    finally:
        if not streams:
            writer.close()
    now = time.monotonic()
    return Answer(now, now - began, int(head.split()[1]), head, body)


async def flood(port, request, *, connections, pause_s, until):
    """Send a request on each connection again and again until a time; return all answers."""

    async def one():
        answers, streams = [], await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            answers.append(await ask(port, request, streams=streams))
            await asyncio.sleep(pause_s)
        streams[1].close()
        return answers

    found = await asyncio.gather(*(one() for _ in range(connections)))
    return [answer for answers in found for answer in answers]


def request_of(method, path, token, body=b""):
    """Return the bytes of a request."""
    head = (
        f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    )
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body
