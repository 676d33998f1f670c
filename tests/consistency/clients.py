"""Clients under load: each sends one request after the other and records every call and answer.

A write without an answer is recorded as of unknown outcome. A creation is then sent again with the
same ``Idempotency-Key``, until it is answered.
"""

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

import httpx

from tests.consistency.history import (
    CHANGE,
    CREATE,
    DELETE,
    HISTORY,
    LIST,
    READ,
    WRITES,
    Event,
    Operation,
    Row,
)
from tests.running import PASSWORD

TIMEOUT_S, PAUSE_S, RETRIES = 10.0, 0.05, 100
SHARES = {CREATE: 25, CHANGE: 20, DELETE: 5, READ: 25, LIST: 20, HISTORY: 5}
"""Percentages of the kinds of operations."""
METHODS = {CREATE: "POST", CHANGE: "PATCH", DELETE: "DELETE"}
PAGE_SIZE = 10


class Account:
    """The account of all clients. Its access token is renewed when a service refuses it."""

    def __init__(self, username: str = "ann") -> None:
        self.username = username
        self.token = ""
        self._turn = asyncio.Lock()

    async def sign_up(self, http: httpx.AsyncClient) -> None:
        """Register and sign in."""
        email = f"{self.username}@example.org"
        body = {"username": self.username, "email": email}
        body |= {"password": PASSWORD, "password2": PASSWORD}
        (await http.post("/api/v1/auth/register/", json=body)).raise_for_status()
        await self.renew(http, "")

    async def renew(self, http: httpx.AsyncClient, refused: str) -> None:
        """Sign in again, unless another client did so since ``refused`` was current."""
        async with self._turn:
            if self.token != refused:
                return
            body = {"username": self.username, "password": PASSWORD}
            answer = await http.post("/api/v1/auth/token/", json=body)
            if answer.is_success:
                self.token = answer.json()["access"]


class Client:
    """One client; with ``in_session`` it sends the last position that it saw."""

    def __init__(
        self,
        name: str,
        load: "Load",
        urls: Sequence[str],
        *,
        in_session: bool,
    ) -> None:
        self.name, self.load = name, load
        self.random = random.Random(f"{load.seed} {name}")
        self.seen: int | None = 0 if in_session else None
        self.numbers = itertools.count(1)
        self.http = [httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) for url in urls]

    async def run(self) -> None:
        """Send requests until the load ends."""
        try:
            while not self.load.over:
                await self.step()
                await asyncio.sleep(self.random.random() * 2 * self.load.pause_s)
        finally:
            for http in self.http:
                await http.aclose()

    async def step(self) -> None:
        """Carry out one operation; a creation until its outcome is known."""
        kind = self.random.choices([*SHARES], [*SHARES.values()])[0]
        movies = self.load.movies
        if not movies and kind not in {CREATE, LIST}:
            kind = CREATE
        movie = "" if kind in {CREATE, LIST} else self.random.choice(movies)
        write = f"{self.name}-{next(self.numbers)}" if kind in WRITES else ""
        for _ in range(RETRIES if kind == CREATE else 1):
            one = await self.send(kind, movie, write)
            if one.status is not None and one.status not in {401, 409, 503}:
                break
            await asyncio.sleep(PAUSE_S)
        if kind == CREATE and one.acknowledged:
            movies.append(one.movie)
        elif kind == DELETE and movie in movies:
            movies.remove(movie)

    async def send(self, kind: str, movie: str, write: str) -> Operation:
        """Send one request; record it and its answer, and return them."""
        http = self.random.choice(self.http)
        token = self.load.account.token
        headers = {"Authorization": f"Bearer {token}"}
        if write:
            headers["X-Request-ID"] = write
        if kind == CREATE:
            headers["Idempotency-Key"] = write
        if self.seen is not None and kind not in WRITES:
            headers["Min-Event-Position"] = str(self.seen)
        one = Operation(self.name, kind, time.monotonic_ns(), write=write, movie=movie)
        if "Min-Event-Position" in headers:
            one.least = self.seen
        self.load.operations.append(one)
        try:
            answer = await http.request(
                METHODS.get(kind, "GET"),
                _path(kind, movie),
                json=_body(kind, write),
                headers=headers,
            )
        except httpx.TransportError as error:
            one.code = type(error).__name__
        else:
            _note(one, answer)
        one.ended = time.monotonic_ns()
        if self.seen is not None and one.acknowledged:
            self.seen = max(self.seen, one.position)
        if one.status == 401:
            with suppress(httpx.TransportError):
                await self.load.account.renew(http, token)
        return one


def _path(kind: str, movie: str) -> str:
    path = "/api/v1/movies/" + (f"{movie}/" if movie else "")
    if kind == LIST:
        return f"{path}?page_size={PAGE_SIZE}"
    return f"{path}history/?page_size=100" if kind == HISTORY else path


def _body(kind: str, write: str) -> dict[str, object] | None:
    if kind == CREATE:
        return {"title": write, "genre": "Drama", "year": 2000}
    return {"title": write} if kind == CHANGE else None


def _note(one: Operation, answer: httpx.Response) -> None:
    """Note what an answer says."""
    one.status = answer.status_code
    one.position = int(answer.headers.get("Event-Position", 0))
    one.log = answer.headers.get("Event-Log", "")
    one.behind = answer.headers.get("Read-Model") == "behind"
    one.replayed = "Idempotent-Replayed" in answer.headers
    if not answer.content:
        return
    body = answer.json()
    if not answer.is_success:
        one.code = body["code"]
    elif one.kind == LIST:
        one.count, one.size = body["count"], PAGE_SIZE
        one.rows = [_row(row) for row in body["results"]]
    elif one.kind == HISTORY:
        one.count = body["count"]
        one.rows = [Row(one.movie, entry["version"], _title(entry)) for entry in body["results"]]
    else:
        one.movie, one.version = body["id"], body["version"]
        one.rows = [_row(body)]


def _row(movie: dict) -> Row:
    return Row(movie["id"], movie["version"], movie["title"])


def _title(entry: dict) -> str | None:
    return entry["changes"]["title"]["to"] if entry["changes"] else None


class Load:
    """Several clients of one account, and what they recorded; half of them are in session."""

    def __init__(
        self, urls: Sequence[str], seed: int, *, clients: int = 8, pause_s: float = 0.01
    ) -> None:
        """``urls`` are those of the nodes of one service; each request goes to one of them."""
        self.urls, self.seed, self.pause_s = urls, seed, pause_s
        self.account = Account()
        self.operations: list[Operation] = []
        self.movies: deque[str] = deque(maxlen=40)
        """Movies that are read and changed."""
        self.over = False
        self._clients = [
            Client(f"c{number}", self, urls, in_session=number % 2 == 0)
            for number in range(clients)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        async with httpx.AsyncClient(base_url=self.urls[0], timeout=TIMEOUT_S) as http:
            await self.account.sign_up(http)
        self._tasks = [asyncio.create_task(client.run()) for client in self._clients]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.over = True
        await asyncio.gather(*self._tasks)

    def check_alive(self) -> None:
        """Raise what a client raised."""
        for task in self._tasks:
            if task.done() and not self.over:
                task.result()


async def read_log(url: str, account: Account) -> list[Event]:
    """Return all events of movies, as the feed tells them."""
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as http:
        events: list[Event] = []
        following = "/api/v1/events/?limit=1000"
        while following:
            body = (await _get(http, following, account)).json()
            for one in body["results"]:
                event = one["position"], one["movie_id"], one["version"], one["request_id"]
                events.append(Event(*event, _title(one), one["at"]))
            following = body["next"]
        return events


async def read_rows(url: str, account: Account, position: int) -> list[Row]:
    """Return the rows of the list that shows ``position``."""
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as http:
        rows: list[Row] = []
        following = "/api/v1/movies/?page_size=100&ordering=created_at"
        while following:
            answer = await _get(http, following, account, {"Min-Event-Position": str(position)})
            rows += [_row(one) for one in answer.json()["results"]]
            following = answer.json()["next"]
        return rows


async def _get(
    http: httpx.AsyncClient, url: str, account: Account, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Return an answer, of several attempts if need be."""
    for _ in range(RETRIES):
        token = account.token
        try:
            sent = {"Authorization": f"Bearer {token}"} | (headers or {})
            answer = await http.get(url, headers=sent)
            if answer.status_code == 401:
                await account.renew(http, token)
            elif answer.is_success:
                return answer
        except httpx.TransportError:
            pass
        await asyncio.sleep(10 * PAUSE_S)
    raise AssertionError(f"{url} is not answered")
