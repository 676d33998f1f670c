"""Two releases side by side on one log and one Redis: ``make test-upgrade``.

No request fails, no write is missing on the other release, and the lists of neither stand still.
"""

import threading
import time

import pytest

from tests.running import Cinelog, eventually, run
from tests.upgrade.releases import release_before, release_with_next_row_format, row_format

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


@pytest.fixture
def shared(tmp_path, postgres, own_valkey):
    """The settings that nodes of one installation share."""
    return {
        "event_store_url": postgres(),
        "redis_url": own_valkey.url,
        "signing_keys": tmp_path / "keys.json",
        "issuer": "https://cinelog.example.org",
        "write_wait_ms": 5_000,
    }


class Conversation:
    """An account that uses several nodes in turn."""

    def __init__(self, node):
        self.account = node.account("ann")
        self.token = self.account.pair["access"]
        self.refresh = self.account.pair["refresh"]
        self.movies = 0

    def on(self, *nodes):
        """Write on each node and read on the next one."""
        for number, node in enumerate(nodes):
            self._write_and_read(node.client(self.token), nodes[number - 1].client(self.token))

    def _write_and_read(self, here, there):
        key = {"Idempotency-Key": f"movie-{self.movies}"}
        created = here.post("/movies/", json=ALIEN, headers=key)
        assert created.status_code == 201, created.text
        assert "read-model" not in created.headers
        self.movies += 1
        again = there.post("/movies/", json=ALIEN, headers=key)
        assert again.headers["idempotent-replayed"] == "true"
        path = created.headers["location"]
        seen = there.get(path, headers=_promised(created))
        assert seen.json() == created.json()
        changed = there.patch(path, json={"year": 1980}, headers={"If-Match": seen.headers["etag"]})
        assert changed.status_code == 200, changed.text
        listed = here.get("/movies/", headers=_promised(changed))
        assert listed.json()["results"][0] == changed.json()
        assert listed.json()["count"] == self.movies
        assert here.get(f"{path}history/").json()["count"] == 2
        after = {"after": int(created.headers["event-position"]) - 1}
        feeds = [one.get("/events/", params=after).json()["results"] for one in (here, there)]
        assert feeds[0] == feeds[1]
        refreshed = there.post("/auth/token/refresh/", json={"refresh": self.refresh})
        assert refreshed.status_code == 200, refreshed.text
        self.refresh = refreshed.json()["refresh"]


def _promised(response):
    return {"Min-Event-Position": response.headers["event-position"]}


@pytest.mark.timeout(900)  # it builds the release first
def test_the_release_before_and_this_one_serve_together(tmp_path, shared):
    """Forwards node by node, and back."""
    before_release = release_before(tmp_path)
    with Cinelog(tmp_path / "new", **shared) as new:
        with before_release(tmp_path / "old", **shared) as old:
            talk = Conversation(old)
            for _ in range(5):
                talk.on(old, new)
        talk.on(new)
        old = before_release(tmp_path / "old", **shared)
        talk.on(old, new)
    with old:
        talk.on(old)
    verified = run(tmp_path / "new", "verify", **shared)
    assert verified.returncode == 0, verified.stdout


@pytest.mark.timeout(900)
def test_lists_stay_current_while_the_next_row_format_is_built(tmp_path, shared):
    """Lists of this release are answered, with each write in them, before and after the switch."""
    next_release = release_with_next_row_format(tmp_path)
    with Cinelog(tmp_path / "this", **shared) as this:
        talk = Conversation(this)
        stop, failures = threading.Event(), []

        def keep_talking():
            while not stop.is_set():
                try:
                    talk.on(this)
                except AssertionError as error:
                    failures.append(error)
                    return

        client = threading.Thread(target=keep_talking)
        client.start()
        following = next_release(tmp_path / "next", **shared)
        eventually(lambda: shown_format(following) == row_format() + 1, timeout_s=30)
        written = talk.movies
        eventually(lambda: failures or talk.movies > written + 5, timeout_s=30)
        stop.set()
        client.join()
        assert not failures
        talk.on(this, following)
    talk.on(following)
    with Cinelog(tmp_path / "this", **shared) as this:  # back again
        talk.on(this, following)
        following.stop()
        eventually(lambda: shown_format(this) == row_format(), timeout_s=60)
        talk.on(this)


def shown_format(node):
    time.sleep(0.2)
    return node.client().get(f"{node.url}/readyz").json()["read_model"].get("format")
