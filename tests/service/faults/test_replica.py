"""A service that reads at a replica: nothing that was answered is missing, and rebuilds go there."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from commands.event_store.store import Store
from projections.rebuild.rebuild import rebuild
from projections.rebuild.verify import verify
from tests.library import library
from tests.running import Cinelog, eventually, run

pytestmark = pytest.mark.xdist_group("replica")
ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


def reads(cinelog):
    text = cinelog.client().get(f"{cinelog.url}/metrics").text
    families = {one.name: one for one in text_string_to_metric_families(text)}
    return {one.labels["server"]: one.value for one in families["cinelog_log_reads"].samples}


def titles_at(client, position):
    """Return the titles in a past list; a client waits while it is being built."""

    def attempt():
        answer = client.get("/movies/", params={"at_position": position})
        return answer if answer.status_code != 503 else None

    answer = eventually(attempt, timeout_s=60)
    return [one["title"] for one in answer.json()["results"]]


def test_answers_are_complete_while_the_replica_is_behind(tmp_path, replicated):
    primary, replica = replicated.new_database()
    settings = {"event_store_url": primary, "event_store_read_url": replica}
    with Cinelog(tmp_path / "var", **settings) as cinelog:
        ann = cinelog.account("ann")
        path = ann.post("/movies/", json=ALIEN).headers["location"]
        replicated.wait_until_replayed()
        eventually(lambda: ann.get(f"{path}history/").json()["count"] == 1)
        eventually(lambda: reads(cinelog)["replica"] > 0)
        with replicated.paused():
            changed = ann.patch(path, json={"title": "Aliens"})
            position = int(changed.headers["event-position"])
            promised = {"Min-Event-Position": str(position)}
            for least in ({}, promised):
                history = ann.get(f"{path}history/", headers=least)
                assert int(history.headers["event-position"]) >= position
                assert history.json()["count"] == 2
                feed = ann.get("/events/", headers=least).json()["results"]
                assert [one["type"] for one in feed] == ["MovieCreated", "MovieUpdated"]
            assert ann.get(path, params={"version": 2}).json()["title"] == "Aliens"
            ann.patch(path, json={"title": "Alien 3"})
            assert titles_at(ann, position) == ["Aliens"]
            assert reads(cinelog)["primary"] > 3
        replicated.wait_until_replayed()
        before = reads(cinelog)["replica"]
        assert titles_at(ann, position - 1) == ["Alien"]
        eventually(lambda: reads(cinelog)["replica"] > before)
        for command in ("rebuild", "verify"):
            done = run(tmp_path / "var", command, "--json", **settings)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["position"] == position + 1
        for words in (("history", path.rstrip("/").rpartition("/")[2]), ("events",)):
            done = run(tmp_path / "var", *words, "--json", **settings)
            assert len(done.stdout.splitlines()) == 3, done.stderr


def test_a_start_names_a_replica_that_cannot_be_used(tmp_path, replicated):
    primary, _ = replicated.new_database()
    other, replica_of_other = replicated.new_database()
    store = Store.open(other)
    store.identity()
    store.close()
    replicated.wait_until_replayed()
    refused = run(
        tmp_path / "new", "serve", event_store_url=primary, event_store_read_url=replica_of_other
    )
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    event = json.loads(line)["event"]
    assert event.startswith("CINELOG_EVENT_STORE_READ_URL: it is a replica of another log")
    refused = run(tmp_path / "new", "serve", event_store_read_url=replica_of_other)
    assert refused.returncode == 2
    assert "CINELOG_EVENT_STORE_READ_URL: a replica needs an event store in" in refused.stderr


def test_a_rebuild_and_a_verification_read_at_the_replica(replicated, redis):
    primary, replica = replicated.new_database()
    store, servers = Store.open(primary), []
    library(store)
    replicated.wait_until_replayed()
    source = store.reader(replica, on_read=servers.append)
    assert rebuild(store, redis, source=source).movies == 5
    assert not verify(store, redis, source=source).diff.counts
    assert servers == ["replica", "replica"]
    store.close()
