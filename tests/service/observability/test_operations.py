"""Operations: liveness, readiness, and the metrics of all processes."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from commands.event_store.store import Store
from commands.execution.executor import CommittedBatch
from projections.keys import Keys
from service.app import create_app
from service.data_dir import METRICS
from service.observability.metrics import DISK_FULL, MAX_LABEL_SETS, Metrics
from service.observability.status import status_of
from service.settings import Settings
from tests.running import PASSWORD, Cinelog, eventually, problem

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}
REQUESTS = "cinelog_request_duration_seconds"


class Samples(dict):
    """Metric samples: (name, labels) → value."""

    @classmethod
    def parse(cls, text):
        return cls(
            ((sample.name, frozenset(sample.labels.items())), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )

    def total(self, name, **labels):
        """Return the sum of all samples with these labels."""
        return sum(
            value
            for (found, pairs), value in self.items()
            if found == name and labels.items() <= dict(pairs).items()
        )


def scrape(service):
    answer = httpx.get(f"{service.url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Samples.parse(answer.text)


def wait_for_two_workers(service):
    eventually(lambda: scrape(service).total("cinelog_workers") == 2, timeout_s=20)


def ready(service):
    return httpx.get(f"{service.url}/readyz", timeout=10)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """A service with two workers."""
    with Cinelog(tmp_path_factory.mktemp("pair") / "var", workers=2) as two_workers:
        wait_for_two_workers(two_workers)
        yield two_workers


def test_a_process_that_serves_is_alive(service):
    answer = httpx.get(f"{service.url}/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"


def test_a_service_that_answers_every_call_is_ready(service, someone):
    position = int(someone.post("/movies/", json=ALIEN).headers["event-position"])

    def caught_up():
        state = ready(service).json()
        return state if state["event_store"]["position"] >= position else None

    state = eventually(caught_up)
    assert state["status"] == "ready"
    assert state["event_store"]["state"] == "ok"
    assert state["read_model"]["state"] == "live"
    assert state["read_model"]["parked"] == 0
    assert state["projection"]["state"] == "active"
    assert state["projection"].keys() == {"state", "lag_events", "lag_seconds"}


def test_a_service_whose_read_model_is_unavailable_is_not_ready(tmp_path):
    """It is alive meanwhile, and ready again once the read model answers."""
    with Cinelog(tmp_path / "var") as service:
        redis_pid = service.redis().info("server")["process_id"]
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            answer = eventually(lambda: (a := ready(service)).status_code == 503 and a)
            assert answer.json()["read_model"] == {"state": "unavailable"}
            assert answer.json()["event_store"]["state"] == "ok"
            assert httpx.get(f"{service.url}/livez").status_code == 200
            shown = scrape(service)
            assert shown.total("cinelog_up", part="read_model") == 0
            assert shown.total("cinelog_up", part="event_store") == 1
        finally:
            os.kill(redis_pid, signal.SIGCONT)
        eventually(lambda: ready(service).status_code == 200)


def test_the_lag_is_the_age_of_the_first_unapplied_event(tmp_path):
    with Cinelog(tmp_path / "var", write_wait_ms=0) as service:
        ann = service.account("ann")
        (projection,) = service.processes("projection_worker")
        os.kill(projection, signal.SIGSTOP)
        try:
            for _ in range(3):
                assert ann.post("/movies/", json=ALIEN).status_code == 201
            time.sleep(1.2)
            state = eventually(
                lambda: (a := ready(service).json())["projection"]["lag_events"] and a
            )
            assert state["status"] == "ready"
            assert state["projection"]["lag_events"] == 3
            assert 1 < state["projection"]["lag_seconds"] < 20
            shown = scrape(service)
            assert shown.total("cinelog_projection_lag_events") == 3
            assert shown.total("cinelog_projection_lag_seconds") > 1
            assert 0 < shown.total("cinelog_read_model_completeness") < 1
        finally:
            os.kill(projection, signal.SIGCONT)
        eventually(lambda: ready(service).json()["projection"]["lag_events"] == 0)
        assert eventually(lambda: scrape(service).total("cinelog_read_model_completeness")) == 1


def test_the_memory_of_lists_is_told(tmp_path):
    with Cinelog(tmp_path / "var", workers=2) as service:
        service.account("ann").post("/movies/", json=ALIEN)
        told = eventually(lambda: service.status()["read_model"].get("mirror_bytes"))
        assert scrape(service).total("cinelog_mirror_bytes") > 0
        assert told < 10**7


def test_a_read_model_of_another_row_format_is_reported_and_rebuilt(tmp_path):
    """Lists show it until then, so the service is ready."""
    with Cinelog(tmp_path / "var") as service:
        ann = service.account("ann")
        movie = ann.post("/movies/", json=ALIEN).json()
        generation = service.status()["read_model"]["generation"]
        (projection,) = service.processes("projection_worker")
        os.kill(projection, signal.SIGSTOP)
        try:
            service.redis().hdel(Keys(generation).state, "format")
            response = eventually(
                lambda: (a := ready(service)).json()["read_model"]["format"] == 1 and a
            )
            assert response.status_code == 200
            assert response.json()["read_model"]["state"] == "other format"
            assert service.status()["read_model"]["state"] == "other format"
            assert ann.get("/movies/").json()["results"] == [movie]
        finally:
            os.kill(projection, signal.SIGCONT)
        eventually(lambda: service.status()["read_model"]["state"] == "live")
        assert service.status()["read_model"]["generation"] > generation
        assert ann.get("/movies/").json()["results"] == [movie]


def test_parked_movies_are_reported(tmp_path):
    with Cinelog(tmp_path / "var") as service:
        with service.redis().pipeline(transaction=True) as parking:
            mark = {"position": 1, "type": "MovieUpdated", "error": "KeyError"}
            parking.hset(Keys(1).parked, str(uuid4()), json.dumps(mark))
            parking.hincrby(Keys(1).state, "parked", 1)
            parking.execute()
        eventually(lambda: scrape(service).total("cinelog_parked_movies") == 1)
        assert ready(service).json()["read_model"]["parked"] == 1


def test_the_metrics_of_all_workers_are_added_up(two_workers):
    """Every worker reports the requests of all workers."""
    ann = two_workers.account("ann")
    movie = ann.post("/movies/", json=ALIEN).json()["id"]
    url, headers = f"{two_workers.url}/api/v1/movies/{movie}/", dict(ann.headers)

    def requests_of_movie(shown):
        return shown.total(f"{REQUESTS}_count", route="/api/v1/movies/{movie_id}", status="200")

    before = requests_of_movie(scrape(two_workers))

    def ask(_):
        return httpx.get(url, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(60))) == {200}
    for _ in range(5):
        eventually(lambda: requests_of_movie(scrape(two_workers)) == before + 60)
    shown = scrape(two_workers)
    assert shown.total("cinelog_workers") == 2
    assert shown.total("cinelog_events_appended_total") > 1
    assert shown.total("cinelog_commit_commands_count") >= 2
    assert shown.total("cinelog_event_store_events") >= shown.total("cinelog_events_appended_total")
    for name in ("requests_in_flight", "connections_open", "redis_connections_used"):
        assert shown.total(f"cinelog_{name}") >= 0
    assert shown.total("cinelog_password_hashes_pending") == 0


def test_no_counter_decreases_when_a_worker_dies(tmp_path):
    """Its replacement continues the counters; the gauges of the dead worker disappear."""
    with Cinelog(tmp_path / "var", workers=2) as service:

        def request_count():
            return scrape(service).total(f"{REQUESTS}_count")

        with httpx.Client(base_url=service.url) as client:
            for _ in range(40):
                client.get("/.well-known/jwks.json")
        before = eventually(lambda: (n := request_count()) >= 40 and n)
        for _ in range(2):
            wait_for_two_workers(service)
            service.kill("api_worker")
            eventually(lambda: scrape(service).total("cinelog_workers") == 1)
            assert request_count() >= before
        wait_for_two_workers(service)
        assert request_count() >= before
        files = list((tmp_path / "var" / "metrics").glob("*.db"))
        assert len(files) <= 6


def test_labels_come_from_a_small_set(service, someone):
    def labels():
        return {pairs for name, pairs in scrape(service) if name == f"{REQUESTS}_sum"}

    someone.get(f"/movies/{uuid4()}/")
    someone.get("/nowhere/")
    someone.request("FROB", "/movies/")
    eventually(lambda: any(("method", "other") in pairs for pairs in labels()))
    before = labels()
    for _ in range(20):
        someone.get(f"/movies/{uuid4()}/?title={uuid4()}")
        someone.get(f"/nowhere/{uuid4()}/")
        someone.request(f"X{uuid4().hex}", "/movies/")
    time.sleep(0.2)
    assert labels() == before


def test_refusals_are_counted(tmp_path):
    with Cinelog(tmp_path / "var", login_rate="2/minute", api_rate="3/minute") as service:
        anonymous = service.client()
        for _ in range(5):
            anonymous.post("/auth/token/", json={"username": "ann", "password": PASSWORD})
            anonymous.get("/movies/")
        shown = scrape(service)
    assert shown.total("cinelog_throttled_total", limit="login") == 3
    assert shown.total("cinelog_throttled_total", limit="api") >= 2


def test_operations_paths_need_no_account_and_are_outside_the_api(service):
    for path in ("livez", "readyz", "metrics"):
        assert httpx.get(f"{service.url}/{path}").status_code == 200
        problem(httpx.get(f"{service.url}/api/v1/{path}"), 404, "not_found")


def test_a_process_continues_the_counts_of_a_dead_one(tmp_path):
    first, second = Metrics(tmp_path), Metrics(tmp_path)
    first.log_lines_lost(3)
    second.log_lines_lost(4)
    second.watch("workers", "Workers.", lambda: 1)
    second.sample()
    first.close()
    assert lost(second) == 7
    third = Metrics(tmp_path)
    third.watch("workers", "Workers.", lambda: 1)
    third.sample()
    third.log_lines_lost(1)
    assert lost(second) == 8
    assert Samples.parse(second.text().decode()).total("cinelog_workers") == 2
    third.close()
    assert Samples.parse(second.text().decode()).total("cinelog_workers") == 1
    assert lost(second) == 8
    second.close()


def test_all_processes_know_of_a_full_disk_that_one_found(tmp_path):
    """PostgreSQL's disk is not on this machine: only an append finds out that it is full."""
    (tmp_path / METRICS).mkdir()
    settings = Settings(data_dir=tmp_path, redis_url=f"unix://{tmp_path}/none.sock")
    store = Store.open(f"sqlite:///{tmp_path}/events.db")
    other, full = Metrics(tmp_path / METRICS), True
    other.watch(DISK_FULL, "Full.", lambda: full)
    other.sample()
    assert status_of(settings, store).event_store.state == "no room"
    full = False
    other.sample()
    assert status_of(settings, store).event_store.state == "ok"
    full = True
    other.sample()
    other.close()  # what a process that ended knew does not count
    assert status_of(settings, store).event_store.state == "ok"
    store.close()


def test_the_first_process_starts_from_zero(tmp_path):
    metrics = Metrics(tmp_path)
    metrics.log_lines_lost(3)
    metrics.close()
    (tmp_path / "counter_1.db").write_bytes(b"torn")
    metrics = Metrics(tmp_path)
    metrics.log_lines_lost(1)
    assert lost(metrics) == 1
    metrics.close()


def test_a_histogram_counts_each_value_in_its_bucket(tmp_path):
    metrics = Metrics(tmp_path / "metrics")
    for commands in (1, 2, 3, 256, 300):
        metrics.committed(CommittedBatch([None] * commands, [], 0, 0))
    shown = Samples.parse(metrics.text().decode())
    metrics.close()
    buckets = {
        le: shown.total("cinelog_commit_commands_bucket", le=le)
        for le in ("1.0", "2.0", "4.0", "256.0", "+Inf")
    }
    assert buckets == {"1.0": 1, "2.0": 2, "4.0": 3, "256.0": 4, "+Inf": 5}
    assert shown.total("cinelog_commit_commands_sum") == 562


def test_the_metrics_files_never_grow(tmp_path):
    """Labels beyond the limit are counted as other."""
    metrics = Metrics(tmp_path)
    sizes = {file.name: file.stat().st_size for file in tmp_path.glob("*.db")}
    blocks = {file.name: file.stat().st_blocks for file in tmp_path.glob("*.db")}
    for name, size in sizes.items():
        assert blocks[name] * 512 >= size
    routes = {route.path for route in create_app(Settings()).router.routes}
    longest = "x" * (max(map(len, routes)) + 20)
    for number in range(2 * MAX_LABEL_SETS):
        metrics.observe(f"{longest}{number}", "OPTIONS", 200, [0.1, 7])
    assert {file.name: file.stat().st_size for file in tmp_path.glob("*.db")} == sizes
    shown = Samples.parse(metrics.text().decode())
    assert shown.total(f"{REQUESTS}_count") == 4 * MAX_LABEL_SETS
    assert shown.total(f"{REQUESTS}_count", route="other") == 2 * MAX_LABEL_SETS
    metrics.close()


def lost(metrics):
    return Samples.parse(metrics.text().decode()).total("cinelog_log_lines_lost_total")
