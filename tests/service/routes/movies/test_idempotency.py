"""``Idempotency-Key``: a repeated request is executed once, whatever fails in between."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.running import Cinelog, eventually, persistently, problem

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


def keyed(key=None):
    return {"Idempotency-Key": key or str(uuid.uuid4())}


def count(client):
    params = {"creator__username": client.account["username"]}
    return client.get("/movies/", params=params).json()["count"]


def test_a_retry_gets_the_first_answer(someone):
    headers = keyed()
    first = someone.post("/movies/", json=ALIEN, headers=headers)
    url = f"/movies/{first.json()['id']}/"
    someone.patch(url, json={"title": "Aliens"})
    again = someone.post("/movies/", json=dict(reversed(ALIEN.items())), headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert count(someone) == 1
    someone.delete(url)
    assert someone.post("/movies/", json=ALIEN, headers=headers).json() == first.json()


def test_another_body_with_the_same_key_is_refused(someone):
    headers = keyed()
    someone.post("/movies/", json=ALIEN, headers=headers)
    problem(
        someone.post("/movies/", json=ALIEN | {"year": 1980}, headers=headers),
        422,
        "idempotency_key_reused",
    )


def test_a_refused_request_uses_no_key(someone):
    headers = keyed()
    assert someone.post("/movies/", json={}, headers=headers).status_code == 400
    assert someone.post("/movies/", json=ALIEN, headers=headers).status_code == 201


def test_keys_belong_to_accounts(someone, ann):
    headers = keyed("a key that two think of")
    first, other = (who.post("/movies/", json=ALIEN, headers=headers) for who in (someone, ann))
    assert first.json()["id"] != other.json()["id"]


def test_reverting_happens_once(someone):
    movie = someone.post("/movies/", json=ALIEN).json()
    url = f"/movies/{movie['id']}/"
    someone.patch(url, json={"title": "Aliens"})
    headers = keyed()
    first = someone.post(f"{url}revert/", json={"version": 1}, headers=headers)
    someone.patch(url, json={"title": "Aliens"})
    again = someone.post(f"{url}revert/", json={"version": 1}, headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert someone.get(url).json()["title"] == "Aliens"
    other = someone.post(f"{url}revert/", json={"version": 2}, headers=headers)
    problem(other, 422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", "x" * 256, "ü".encode()])
def test_invalid_keys_are_refused(someone, key):
    response = someone.post("/movies/", json=ALIEN, headers={"Idempotency-Key": key})
    assert "Idempotency-Key" in problem(response, 400, "invalid")["errors"]


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    with Cinelog(tmp_path_factory.mktemp("two") / "var", workers=2, write_wait_ms=5000) as cinelog:
        yield cinelog


def test_parallel_retries_on_two_workers_create_one_movie(two_workers):
    """Every answer is the same movie or reports the first request as running."""
    eve = two_workers.account("eve")
    for _ in range(5):
        headers = keyed()
        start = threading.Barrier(12)

        def send(_, headers=headers, start=start):
            with two_workers.client(eve.pair["access"]) as client:
                start.wait()
                return client.post("/movies/", json=ALIEN, headers=headers)

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(send, range(12)))
        assert {answer.status_code for answer in answers} <= {201, 409}
        made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
        assert len(made) == 1
        for answer in answers:
            if answer.status_code == 409:
                problem(answer, 409, "idempotency_key_in_flight")
    assert count(eve) == 5


def test_keys_survive_a_crash_and_a_wiped_redis(tmp_path):
    """The claim is in the log: it survives killed workers and an empty Redis."""
    with Cinelog(tmp_path / "var", write_wait_ms=5000) as cinelog:
        eve = cinelog.account("eve")
        headers = keyed()
        first = eve.post("/movies/", json=ALIEN, headers=headers).json()
        cinelog.kill("api_worker")
        cinelog.redis().flushall()
        again = persistently(lambda: eve.post("/movies/", json=ALIEN, headers=headers))
        assert again.json() == first
        assert again.headers["idempotent-replayed"] == "true"
        assert eventually(lambda: eve.get("/movies/").is_success)
        assert count(eve) == 1
