"""A full disk of PostgreSQL, or of a Redis outside, affects what needs to be written there."""

import httpx
import pytest

from tests.consistency.disk import may_mount
from tests.consistency.faults import FULL, Kind
from tests.consistency.system import POSTGRES, POSTGRESQL, REDIS, System
from tests.controls import ALIEN
from tests.running import eventually, problem

FAULTS = {part: Kind(FULL, part) for part in (POSTGRES, REDIS)}


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    pytest.importorskip("pgserver", reason="no PostgreSQL wheel for this Python")
    if not may_mount():
        pytest.skip("only the superuser may mount a file system")
    system = System(tmp_path_factory.mktemp("full"), 1, [*FAULTS.values()], POSTGRESQL, workers=2)
    yield system
    system.stop()


@pytest.fixture(scope="module")
def ann(system):
    return system.service.account("ann")


@pytest.fixture(scope="module")
def path(ann):
    """The path of a movie."""
    return f"/movies/{ann.post('/movies/', json=ALIEN).json()['id']}/"


def assert_all_is_read(ann, path):
    for one in ("/movies/", "/movies/?title=ali", path, f"{path}history/", "/events/"):
        assert ann.get(one).status_code == 200, one


def readiness(system):
    return httpx.get(f"{system.service.url}/readyz").json()


def state_of_store(system):
    return readiness(system)["event_store"]["state"]


def test_a_full_disk_of_postgresql_stops_writes_only(system, ann, path):
    system.begin(FAULTS[POSTGRES])
    # Pages that are allocated take some more events.
    write = {"headers": {"Change-Reason": "x" * 200}, "json": ALIEN | {"title": "x" * 100}}
    refused = eventually(
        lambda: (answer := ann.post("/movies/", **write)).status_code == 503 and answer, pause_s=0
    )
    assert problem(refused, 503, "unavailable")["detail"] == "The event store has no room on disk."
    # Of both workers, of which one may not have appended anything.
    eventually(lambda: {state_of_store(system) for _ in range(20)} == {"no room"})
    assert_all_is_read(ann, path)
    system.end(FAULTS[POSTGRES])
    eventually(lambda: ann.post("/movies/", json=ALIEN).status_code == 201)
    eventually(lambda: readiness(system)["status"] == "ready")


def test_a_full_disk_of_redis_stops_the_lists_from_following(system, ann, path):
    """Writes are durable and answered ``behind``; reads are answered."""
    system.begin(FAULTS[REDIS])
    eventually(lambda: ann.post("/movies/", json=ALIEN).headers.get("Read-Model") == "behind")
    eventually(lambda: readiness(system)["read_model"]["state"] == "no room")
    assert_all_is_read(ann, path)
    created = ann.post("/movies/", json=ALIEN)
    assert created.status_code == 201
    system.end(FAULTS[REDIS])
    least = {"Min-Event-Position": created.headers["Event-Position"]}
    shown = eventually(
        lambda: (answer := ann.get("/movies/", headers=least)).status_code == 200 and answer
    )
    assert shown.json()["results"][0]["id"] == created.json()["id"]
    assert system.run("verify").returncode == 0
