"""A full disk costs writes only: reads go on, no process dies, and room ends the fault."""

import os
import stat
import subprocess
from pathlib import Path

import httpx
import pytest

from commands.database.disk_space import check_disk_space, is_disk_full
from service.observability.metrics import Metrics
from tests.controls import ALIEN
from tests.running import PASSWORD, Cinelog, eventually, problem, run

SIZE_MIB = 40


@pytest.fixture
def disk(tmp_path):
    """A small file system of our own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", place],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only the superuser may mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk):
    """Leave no room at all."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for piece in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * piece)
            except OSError:
                pass


def make_room(disk):
    (disk / "filler").unlink()


def only_writes_are_refused(service, ann, movie_id, disk):
    """Each at once, and in words that say why; a little may still fit into a file that is there."""
    eventually(lambda: ann.post("/movies/", json=ALIEN).status_code == 503, pause_s=0)
    for method, path, body in (
        ("POST", "/movies/", ALIEN),
        ("PATCH", f"/movies/{movie_id}/", {"year": 1980}),
        ("DELETE", f"/movies/{movie_id}/", None),
        ("POST", "/auth/token/", {"username": "ann", "password": PASSWORD}),
    ):
        fill(disk)  # a process that could not finish a file has removed it
        refused = ann.request(method, path, json=body)
        assert problem(refused, 503, "unavailable")["detail"]
        assert refused.headers["retry-after"]
        assert refused.elapsed.total_seconds() < 2
    fill(disk)
    told = problem(ann.post("/movies/", json=ALIEN), 503, "unavailable")
    assert told["detail"] == "The event store has no room on disk."
    for path in (
        "/movies/", "/movies/?title=ali", "/movies/?genre=o&ordering=-title", "/movies/?page=last",
        f"/movies/{movie_id}/", f"/movies/{movie_id}/history/", "/events/", "/auth/me/",
    ):  # fmt: skip
        assert ann.get(path).status_code == 200, path
    ready = httpx.get(f"{service.url}/readyz")
    assert ready.status_code == 503
    assert ready.json()["event_store"]["state"] == "no room"
    assert httpx.get(f"{service.url}/metrics").status_code == 200


def test_a_full_disk_costs_writes_only(disk):
    """While the service runs, over the death of a worker, and from one start to the next."""
    public_url = "http://127.0.0.1"  # the issuer stays the same on another port
    settings = {"access_ttl_s": 3600, "write_wait_ms": 5000, "public_url": public_url}
    with Cinelog(disk / "var", workers=2, **settings) as service:
        ann = service.account("ann")
        movie_id = ann.post("/movies/", json=ALIEN).json()["id"]
        workers = service.processes("api_worker")
        fill(disk)
        for _ in range(3):
            only_writes_are_refused(service, ann, movie_id, disk)
        assert service.processes("api_worker") == workers

        service.kill("api_worker")
        eventually(lambda: len(service.processes("api_worker")) == 2)
        eventually(lambda: ann.get("/movies/").status_code == 200)
        only_writes_are_refused(service, ann, movie_id, disk)

        make_room(disk)
        eventually(lambda: ann.post("/movies/", json=ALIEN).status_code == 201, timeout_s=3)
        eventually(lambda: httpx.get(f"{service.url}/readyz").status_code == 200)
        token = ann.pair["access"]
        fill(disk)
    with Cinelog(disk / "var", **settings) as service:
        ann = service.client(token)
        eventually(lambda: ann.get("/movies/").status_code == 200)
        fill(disk)  # what the start made room for is taken, too
        eventually(lambda: httpx.get(f"{service.url}/readyz").status_code == 503)
        only_writes_are_refused(service, ann, movie_id, disk)
        assert run(disk / "var", "status").returncode == 0
        assert run(disk / "var", "history", movie_id).returncode == 0
        make_room(disk)
        eventually(lambda: ann.post("/movies/", json=ALIEN).status_code == 201, timeout_s=3)
        assert run(disk / "var", "verify").returncode == 0


def test_metrics_on_a_full_disk(disk):
    """Numbers are counted in memory until there is room for their file."""
    fill(disk)
    metrics = Metrics(disk / "metrics")
    metrics.log_lines_lost(3)
    metrics.observe("/", "GET", 200, [0.1])
    assert metrics.text() == b""
    make_room(disk)
    metrics.sample()
    told = metrics.text().decode()
    assert "cinelog_log_lines_lost_total 3.0" in told
    assert 'duration_seconds_count{method="GET",route="/",status="200"} 1.0' in told
    metrics.close()


def test_metrics_go_on_when_the_disk_is_full(disk):
    """Their files are allocated: no new label needs a block, which would end the process."""
    metrics = Metrics(disk / "metrics")
    fill(disk)
    for number in range(6_000):
        metrics.observe(f"/{number:040}", "GET", 200, [0.1])
    assert 'route="other",status="0"} 5500.0' in metrics.text().decode()
    metrics.close()


def test_room_is_looked_for(disk):
    check_disk_space(disk)
    fill(disk)
    with pytest.raises(OSError, match="space") as caught:
        check_disk_space(disk)
    assert is_disk_full(caught.value)
    assert [file.name for file in disk.iterdir()] == ["filler"]


def test_files_are_for_their_owner_alone(tmp_path):
    """Also those of a data directory that was made for everyone, and what is exported."""
    data_dir = tmp_path / "var"
    data_dir.mkdir(mode=0o755)
    (data_dir / "events.db").touch(mode=0o644)
    with Cinelog(data_dir) as service:
        service.account("ann").post("/movies/", json=ALIEN)
        assert run(data_dir, "export", tmp_path / "movies.csv").returncode == 0
        places = [data_dir, tmp_path / "movies.csv", *data_dir.rglob("*")]
        assert {place.name for place in places} >= {"events.db", "events.db-wal", "metrics"}
        wide = {str(place): oct(mode_of(place)) for place in places if mode_of(place) & 0o077}
        assert wide == {}
        eventually(lambda: "file modes were restricted" in service.output())


def mode_of(place: Path):
    return stat.S_IMODE(os.lstat(place).st_mode)
