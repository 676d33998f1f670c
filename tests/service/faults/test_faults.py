"""Faults: killed processes lose no acknowledged write; errors name the unreachable component."""

import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest
import redis

from service.embedded_redis.valkey_process import server_binary
from tests.running import PASSWORD, Cinelog, eventually, persistently, problem

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


class Writer(threading.Thread):
    """Creates movies until stopped; records successful and refused answers."""

    def __init__(self, cinelog, token):
        super().__init__(daemon=True)
        self.cinelog, self.token = cinelog, token
        self.stop, self.answered, self.refused = threading.Event(), [], []

    def run(self):
        client = httpx.Client(
            base_url=f"{self.cinelog.url}/api/v1", headers={"Authorization": f"Bearer {self.token}"}
        )
        with client:
            while not self.stop.is_set():
                try:
                    answer = client.post("/movies/", json=ALIEN, timeout=10)
                except httpx.TransportError:
                    time.sleep(0.01)
                    continue
                (self.answered if answer.is_success else self.refused).append(answer)


def test_a_kill_loses_no_answered_write(tmp_path):
    """Writers keep running while workers, projection and Redis are killed in turn."""
    random_delays = random.Random(7)
    with Cinelog(tmp_path / "var", workers=2) as cinelog:
        ann = cinelog.account("ann")
        writers = [Writer(cinelog, ann.pair["access"]) for _ in range(4)]
        for writer in writers:
            writer.start()
        for part in (
            "api_worker",
            "projection_worker",
            "redis",
            "api_worker",
            "redis",
            "projection_worker",
        ):
            before = sum(len(writer.answered) for writer in writers)
            if part == "redis":
                os.kill(cinelog.redis().info("server")["process_id"], signal.SIGKILL)
            else:
                cinelog.kill(part)
            eventually(lambda n=before: sum(len(w.answered) for w in writers) > n + 20, 20)
            time.sleep(random_delays.random() / 5)
        for writer in writers:
            writer.stop.set()
        for writer in writers:
            writer.join(20)
        answered = {answer.json()["id"] for writer in writers for answer in writer.answered}
        refused = [answer for writer in writers for answer in writer.refused]
        assert not [answer.text for answer in refused if answer.status_code != 503]
        # A killed worker may have committed writes that it did not answer.
        # The list may lag for a moment after the last kill.
        listed = eventually(lambda: answered <= (ids := all_ids(cinelog, ann) or set()) and ids, 20)
        assert len(listed) <= len(answered) + 4 * 6


def all_ids(cinelog, client):
    found, page = set(), persistently(lambda: client.get("/movies/?page_size=100"))
    if page.status_code != 200:
        return None
    while True:
        found |= {row["id"] for row in page.json()["results"]}
        if "link" not in page.headers:
            return found
        page = client.get(page.headers["link"][1:].partition(">")[0])


def test_answered_writes_survive_a_killed_supervisor(tmp_path):
    """Acknowledged writes survive a ``kill -9`` of the supervisor."""
    cinelog = Cinelog(tmp_path / "var")
    ann = cinelog.account("ann")
    created = {ann.post("/movies/", json=ALIEN).json()["id"] for _ in range(20)}
    os.kill(cinelog.process.pid, signal.SIGKILL)
    cinelog.stop()
    with Cinelog(tmp_path / "var") as again:
        body = {"username": "ann", "password": PASSWORD}
        token = again.client().post("/auth/token/", json=body).json()["access"]
        assert all_ids(again, again.client(token)) == created


@pytest.fixture
def valkey(tmp_path):
    """A separate Redis that a test can stop and start."""

    class Valkey:
        url = f"unix://{tmp_path}/own.sock"

        def start(self):
            options = [
                "--port",
                "0",
                "--unixsocket",
                f"{tmp_path}/own.sock",
                "--dir",
                str(tmp_path),
            ]
            self.process = subprocess.Popen(
                [server_binary(), *options, "--save", ""], stdout=subprocess.DEVNULL
            )
            client = redis.Redis.from_url(self.url)
            eventually(lambda: self.answers(client))
            client.close()

        def answers(self, client):
            try:
                return client.ping()
            except redis.ConnectionError:
                return False

        def stop(self):
            self.process.kill()
            self.process.wait()

    valkey = Valkey()
    valkey.start()
    yield valkey
    valkey.stop()


def test_an_unreachable_redis(tmp_path, valkey):
    """Writes succeed, reads of one movie use the log, lists return 503."""
    with Cinelog(tmp_path / "var", redis_url=valkey.url, write_wait_ms=2000) as cinelog:
        ann = cinelog.account("ann")
        before = ann.post("/movies/", json=ALIEN).json()
        valkey.stop()
        created = ann.post("/movies/", json=ALIEN | {"title": "Aliens"})
        assert (created.status_code, created.headers["read-model"]) == (201, "behind")
        url = f"/movies/{created.json()['id']}/"
        assert ann.get(url).json() == created.json()
        changed = ann.patch(f"/movies/{before['id']}/", json={"year": 1980})
        assert (changed.status_code, changed.json()["version"]) == (200, 2)
        assert ann.get(f"/movies/{before['id']}/history/").json()["count"] == 2
        for path in ("/movies/", "/movies/?title=alien"):
            body = problem(ann.get(path), 503, "unavailable")
            assert "read model" in body["detail"]
            assert int(ann.get(path).headers["retry-after"]) >= 1
        valkey.start()
        # After a restart Redis is empty: the read model is rebuilt before lists are served.
        page = persistently(lambda: ann.get("/movies/"))
        assert [row["title"] for row in page.json()["results"]] == ["Aliens", "Alien"]


def timed(send):
    """Return the answer and the time it took."""
    began = time.monotonic()
    answer = send()
    return answer, time.monotonic() - began


def test_a_suspended_redis(tmp_path, valkey):
    """While Redis is suspended, the first calls wait a second, later ones fail at once."""
    with Cinelog(tmp_path / "var", redis_url=valkey.url, write_wait_ms=500) as cinelog:
        ann = cinelog.account("ann")
        movie = ann.post("/movies/", json=ALIEN).json()
        path = f"/movies/{movie['id']}/"
        sign_in = {"username": "ann", "password": PASSWORD}
        calls = {
            "list": (lambda: ann.get("/movies/"), 503),
            "movie": (lambda: ann.get(path), 200),
            "sign-in": (lambda: ann.post("/auth/token/", json=sign_in), 503),
            "write": (lambda: ann.patch(path, json={"year": 1980}), 200),
            "readiness": (lambda: httpx.get(f"{cinelog.url}/readyz"), 503),
        }
        os.kill(valkey.process.pid, signal.SIGSTOP)
        try:
            for within_s in (4.0, 0.7):
                with ThreadPoolExecutor() as threads:
                    futures = {
                        name: threads.submit(timed, call) for name, (call, _) in calls.items()
                    }
                for name, (_, status) in calls.items():
                    answer, took_s = futures[name].result()
                    assert answer.status_code == status, (name, answer.text)
                    assert took_s < within_s, name
                    print(f"{name}: {took_s:.3f} s")
            assert httpx.get(f"{cinelog.url}/readyz").json()["read_model"]["state"] == "unavailable"
        finally:
            os.kill(valkey.process.pid, signal.SIGCONT)
        began = time.monotonic()
        page = persistently(lambda: ann.get("/movies/", headers={"Min-Event-Position": "6"}))
        assert page.json()["results"][0]["year"] == 1980
        eventually(lambda: httpx.get(f"{cinelog.url}/readyz").status_code == 200)
        print(f"recovered after {time.monotonic() - began:.3f} s")
        assert time.monotonic() - began < 3


def test_a_suspended_event_store(tmp_path):
    """Calls fail fast while PostgreSQL is suspended; the service recovers within seconds."""
    pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL wheel for this Python")
    folder = tmp_path / "pg"
    folder.mkdir()
    server = pgserver.get_server(folder, cleanup_mode="stop")
    with Cinelog(tmp_path / "var", event_store_url=server.get_uri()) as cinelog:
        ann = cinelog.account("ann")
        movie = ann.post("/movies/", json=ALIEN).json()
        path = f"/movies/{movie['id']}/"
        sign_in = {"username": "ann", "password": PASSWORD}
        calls = {
            "write": (lambda: ann.post("/movies/", json=ALIEN), 503),
            "write again": (lambda: ann.post("/movies/", json=ALIEN), 503),
            "sign-in": (lambda: ann.post("/auth/token/", json=sign_in), 503),
            "history": (lambda: ann.get(f"{path}history/"), 503),
            "list": (lambda: ann.get("/movies/"), 200),
            "movie": (lambda: ann.get(path), 200),
            "readiness": (lambda: httpx.get(f"{cinelog.url}/readyz"), 503),
        }
        pids = [server.get_pid(), *backends_of(server)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            for within_s in (5.0, 0.7):
                with ThreadPoolExecutor() as threads:
                    futures = {
                        name: threads.submit(timed, call) for name, (call, _) in calls.items()
                    }
                for name, (_, status) in calls.items():
                    answer, took_s = futures[name].result()
                    assert answer.status_code == status, (name, answer.text)
                    assert took_s < within_s, name
                    print(f"{name}: {took_s:.3f} s")
            state = httpx.get(f"{cinelog.url}/readyz").json()
            assert state["event_store"]["state"] == "unavailable"
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        began = time.monotonic()
        persistently(lambda: ann.post("/movies/", json=ALIEN | {"title": "Aliens"}))
        eventually(lambda: httpx.get(f"{cinelog.url}/readyz").status_code == 200)
        eventually(lambda: ann.get("/movies/").json()["count"] == 2)
        print(f"recovered after {time.monotonic() - began:.3f} s")
        assert time.monotonic() - began < 3
    server.cleanup()


def backends_of(server):
    with psycopg.connect(server.get_uri()) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE datname IS NOT NULL"
        pids = {pid for (pid,) in connection.execute(query).fetchall()}
        return pids - {connection.info.backend_pid}


def test_an_unreachable_event_store(tmp_path):
    """Lists and movies are readable; writes report the event store as unavailable."""
    pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL wheel for this Python")
    folder = tmp_path / "pg"
    folder.mkdir()
    server = pgserver.get_server(folder, cleanup_mode="stop")
    url = server.get_uri()
    with Cinelog(tmp_path / "var", event_store_url=url, write_wait_ms=2000) as cinelog:
        ann = cinelog.account("ann")
        movie = ann.post("/movies/", json=ALIEN).json()
        server.cleanup()
        ann.timeout = 30
        body = problem(ann.post("/movies/", json=ALIEN), 503, "unavailable")
        assert "event store" in body["detail"]
        assert ann.get("/movies/").json()["results"] == [movie]
        assert ann.get(f"/movies/{movie['id']}/").json() == movie
        problem(ann.get(f"/movies/{movie['id']}/history/"), 503, "unavailable")
        server = pgserver.get_server(folder, cleanup_mode="stop")
        again = persistently(lambda: ann.post("/movies/", json=ALIEN))
        assert again.status_code == 201
        assert ann.get("/movies/").json()["count"] == 2
    server.cleanup()


def test_requests_in_flight_are_answered_on_sigterm(tmp_path):
    """After SIGTERM, requests in flight are answered and the service stops within 5 s."""
    cinelog = Cinelog(tmp_path / "var")
    ann = cinelog.account("ann")
    writers = [Writer(cinelog, ann.pair["access"]) for _ in range(4)]
    for writer in writers:
        writer.start()
    eventually(lambda: all(len(writer.answered) > 5 for writer in writers))
    began = time.monotonic()
    assert cinelog.stop() == 0
    assert time.monotonic() - began < 5
    for writer in writers:
        writer.stop.set()
        writer.join(5)
        assert not writer.refused
    with Cinelog(tmp_path / "var") as again:
        body = {"username": "ann", "password": PASSWORD}
        token = again.client().post("/auth/token/", json=body).json()["access"]
        listed = all_ids(again, again.client(token))
        answered = {answer.json()["id"] for writer in writers for answer in writer.answered}
        assert answered == listed
