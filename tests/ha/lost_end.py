"""A failover that loses the end of the log: it must be noticed by the log's identity, and told.

Without ``synchronous_mode`` a standby may be promoted that lacks acknowledged writes.
"""

import threading
import time

import httpx
import psycopg

from tests.ha.machines import until
from tests.running import eventually

WRITES = 20
_CUT_STANDBYS = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication"


class Follower(threading.Thread):
    """Follows the stream of a node from now on; ``names`` are the names of its events."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self._client = client
        self.names, self.data = [], []

    def run(self):
        try:
            with self._client.stream("GET", "/events/stream?after=0", timeout=60) as answer:
                for line in answer.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "event":
                        self.names.append(value)
        except httpx.TransportError as error:
            self.names.append(type(error).__name__)


def lose_end(stack):
    """Promote a standby that lacks the last writes; return a line for each broken promise."""
    primary = stack.postgres.primary()
    token = stack.nodes[0].account(f"ann-{time.time_ns()}").pair["access"]
    clients = [node.client(token) for node in stack.nodes]
    followers = [Follower(client) for client in clients]
    for follower in followers:
        follower.start()
    kept = [_create(clients[0], f"kept {number}") for number in range(WRITES)]
    _until_replicated(stack, primary)
    standbys = [one for one in stack.postgres.machines if one is not primary]
    stack.network.cut_replication(standbys, primary.port["postgres"])
    with psycopg.connect(stack.postgres.url, autocommit=True) as connection:
        connection.execute(_CUT_STANDBYS)
    lost = [_create(clients[0], f"lost {number}") for number in range(WRITES)]
    eventually(lambda: len(followers[1].names) >= 2 * WRITES)
    # Both nodes have read the log up to its end: one that has not would notice a second later.
    _told(clients[1], lost[-1])
    primary.kill()
    began = time.monotonic()
    stack.network.join()
    after = until(lambda: _try_create(clients[1], "after"), 60, "no write succeeds")
    print(f"  lost end: write {time.monotonic() - began:5.2f} s", flush=True)
    listed = until(lambda: _list(clients[1]), 30, "no list is served")
    print(f"  lost end: list  {time.monotonic() - began:5.2f} s", flush=True)
    stack.restart_ended()
    return [
        *_told_wrong(clients, kept[-1], lost[-1], after),
        *_left_over(clients, listed, lost),
        *[
            f"the stream of node {number} told {follower.names[-3:]}, not that the log changed"
            for number, follower in enumerate(followers, start=1)
            if not eventually(lambda follower=follower: not follower.is_alive())
            or "log" not in follower.names
        ],
    ]


def _create(client, title):
    answer = client.post("/movies/", json={"title": title, "genre": "Lost", "year": 2000})
    assert answer.status_code == 201, answer.text
    return answer


def _try_create(client, title):
    try:
        return _create(client, title)
    except (AssertionError, httpx.TransportError):
        return None


def _list(client):
    answer = client.get("/movies/?genre=Lost&page_size=100")
    return answer if answer.status_code == 200 else None


def _until_replicated(stack, primary):
    query = (
        "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_flush_lsn()"
    )
    with psycopg.connect(stack.postgres.url, autocommit=True) as connection:
        until(lambda: connection.execute(query).fetchone() == (2,), 10, "a standby lags")


def _told(client, write):
    """Return what a node answers to a client that has seen a write."""
    asked = {"Event-Log": write.headers["event-log"]}
    asked["Min-Event-Position"] = write.headers["event-position"]

    def answered():
        answer = client.get("/movies/", headers=asked)
        return answer if answer.status_code < 500 else None

    return eventually(answered)


def _told_wrong(clients, kept, lost, after):
    """Yield what was told wrong about the position of a lost write."""
    if after.headers["event-log"] == lost.headers["event-log"]:
        yield "a log that went back has the same identity"
    for number, client in enumerate(clients, start=1):
        answer = _told(client, lost)
        body = answer.json()
        if (answer.status_code, body.get("code")) != (409, "position_unknown"):
            yield f"node {number} answers a lost position with {answer.status_code} {answer.text}"
        elif not body["shared"] <= int(kept.headers["event-position"]):
            yield f"node {number} says that the logs share {body['shared']}"


def _left_over(clients, listed, lost):
    """Yield what is still shown of lost writes."""
    titles = [movie["title"] for movie in listed.json()["results"]]
    if left := [title for title in titles if title.startswith("lost")]:
        yield f"lists show {left}"
    for client in clients:
        status = client.get(f"/movies/{lost[-1].json()['id']}/").status_code
        if status != 404:
            yield f"a lost movie is answered with {status}"
