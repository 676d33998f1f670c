"""A commit that waits for a missing standby costs writes, for a bounded time, and nothing else."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.controls import ALIEN
from tests.postgres import hanging, missing_standby
from tests.running import Cinelog, eventually, persistently, problem

KEY = {"Idempotency-Key": "once"}


def timed(send):
    """Return the answer and the time it took."""
    began = time.monotonic()
    answer = send()
    return answer, time.monotonic() - began


def test_a_hanging_commit(tmp_path, postgres):
    """Its caller learns that the outcome is unknown, reads go on, and a retry finds the write."""
    url = postgres()
    with (
        Cinelog(tmp_path / "var", event_store_url=url, commit_wait_s=3) as service,
        ThreadPoolExecutor() as threads,
    ):
        ann = service.account("ann")
        before = ann.post("/movies/", json=ALIEN).json()
        with missing_standby(url) as admin:
            hung = threads.submit(timed, lambda: ann.post("/movies/", json=ALIEN, headers=KEY))
            eventually(lambda: hanging(admin))
            eventually(lambda: readiness(service) == (503, "unavailable"))
            assert not hung.done()
            refused, took_s = timed(lambda: ann.post("/movies/", json=ALIEN))
            problem(refused, 503, "unavailable")
            assert took_s < 1
            answer, took_s = hung.result()
            problem(answer, 503, "outcome_unknown")
            assert took_s < 5
            for one in (refused, answer):
                assert int(one.headers["retry-after"]) >= 1
            assert ann.get("/movies/").json()["results"] == [before]
            assert ann.get(f"/movies/{before['id']}/history/").status_code == 200
        again = persistently(lambda: ann.post("/movies/", json=ALIEN, headers=KEY))
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        eventually(lambda: readiness(service) == (200, "ok"))
        assert ann.get("/movies/").json()["count"] == 2
        with missing_standby(url) as admin:
            threads.submit(ann.post, "/movies/", json=ALIEN)
            eventually(lambda: hanging(admin))
            code, took_s = timed(service.stop)
            assert code == 0
            assert took_s < 6


def readiness(service):
    """Return the status of ``/readyz``, and the state of the event store."""
    answer = httpx.get(f"{service.url}/readyz")
    return answer.status_code, answer.json()["event_store"]["state"]
