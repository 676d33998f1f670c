"""A Redis that fails over to an older state: no process answers from it."""

import os
import signal

import httpx
import redis

from tests.controls import ALIEN
from tests.running import PASSWORD, Cinelog, eventually, persistently, problem, run


def test_a_replaced_read_model_is_not_answered_from(tmp_path, own_valkey):
    """Neither by a process that has seen the newer one, nor by one that starts now."""
    settings = {"redis_url": own_valkey.url}
    with Cinelog(tmp_path / "var", **settings) as service:
        ann = service.account("ann")
        ann.post("/movies/", json=ALIEN)
        client = redis.Redis.from_url(own_valkey.url)
        before = {key: (client.pttl(key), client.dump(key)) for key in client.scan_iter()}
        assert run(tmp_path / "var", "rebuild", **settings).returncode == 0
        assert ann.get("/movies/").json()["count"] == 1
        (projection,) = service.processes("projection_worker")
        os.kill(projection, signal.SIGSTOP)
        try:
            client.flushall()
            for key, (ttl_ms, value) in before.items():
                if value:
                    client.restore(key, max(0, ttl_ms), value)
            problem(ann.get("/movies/"), 503, "unavailable")
            service.kill("api_worker")
            again = persistently_answered(lambda: ann.get("/movies/"))
            problem(again, 503, "unavailable")
        finally:
            os.kill(projection, signal.SIGCONT)
        body = {"username": "ann", "password": PASSWORD}
        token = persistently(lambda: ann.post("/auth/token/", json=body)).json()["access"]
        ann = service.client(token)
        page = persistently(lambda: ann.get("/movies/"))
        assert page.json()["count"] == 1
        assert int(client.get("movies:live")) == 3
        client.close()


def persistently_answered(send):
    """Return the first answer of a service that may be starting."""

    def attempt():
        try:
            return [send()]
        except httpx.TransportError:
            return None

    return eventually(attempt)[0]
