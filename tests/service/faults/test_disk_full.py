"""A full disk affects writes only: reads succeed, processes survive, free space ends the fault."""

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
    """A small file system for one test."""
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
    """Use up all space."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for piece in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * piece)
            except OSError:
                pass


def free_space(disk):
    (disk / "filler").unlink()


def assert_only_writes_are_refused(service, ann, movie_id, disk):
    """Check that writes fail fast with a reason and reads succeed.

    A small write may still fit into an existing file.
    """
    eventually(lambda: ann.post("/movies/", json=ALIEN).status_code == 503, pause_s=0)
    for method, path, body in (
        ("POST", "/movies/", ALIEN),
        ("PATCH", f"/movies/{movie_id}/", {"year": 1980}),
        ("DELETE", f"/movies/{movie_id}/", None),
        ("POST", "/auth/token/", {"username": "ann", "password": PASSWORD}),
    ):
        fill(disk)  # a process may have removed an incomplete file
        refused = ann.request(method, path, json=body)
        assert problem(refused, 503, "unavailable")["detail"]
        assert refused.headers["retry-after"]
        assert refused.elapsed.total_seconds() < 2
    fill(disk)
    refusal = problem(ann.post("/movies/", json=ALIEN), 503, "unavailable")
    assert refusal["detail"] == "The event store has no room on disk."
    for path in (
        "/movies/", "/movies/?title=ali", "/movies/?genre=o&ordering=-title", "/movies/?page=last",
        f"/movies/{movie_id}/", f"/movies/{movie_id}/history/", "/events/", "/auth/me/",
    ):  # fmt: skip
        assert ann.get(path).status_code == 200, path
    ready = httpx.get(f"{service.url}/readyz")
    assert ready.status_code == 503
    assert ready.json()["event_store"]["state"] == "no room"
    assert httpx.get(f"{service.url}/metrics").status_code == 200


def test_a_full_disk_affects_writes_only(disk):
    """This holds in a running service, after a worker died and after a restart."""
    public_url = "http://127.0.0.1"  # the issuer stays the same on another port
    settings = {"access_ttl_s": 3600, "write_wait_ms": 5000, "public_url": public_url}
    with Cinelog(disk / "var", workers=2, **settings) as service:
        ann = service.account("ann")
        movie_id = ann.post("/movies/", json=ALIEN).json()["id"]
        workers = service.processes("api_worker")
        fill(disk)
        for _ in range(3):
            assert_only_writes_are_refused(service, ann, movie_id, disk)
        assert service.processes("api_worker") == workers

        service.kill("api_worker")
        eventually(lambda: len(service.processes("api_worker")) == 2)
        eventually(lambda: ann.get("/movies/").status_code == 200)
        assert_only_writes_are_refused(service, ann, movie_id, disk)

        free_space(disk)
        eventually(lambda: ann.post("/movies/", json=ALIEN).status_code == 201, timeout_s=3)
        eventually(lambda: httpx.get(f"{service.url}/readyz").status_code == 200)
        token = ann.pair["access"]
        fill(disk)
    with Cinelog(disk / "var", **settings) as service:
        ann = service.client(token)
        eventually(lambda: ann.get("/movies/").status_code == 200)
        fill(disk)  # the start freed some space
        eventually(lambda: httpx.get(f"{service.url}/readyz").status_code == 503)
        assert_only_writes_are_refused(service, ann, movie_id, disk)
        assert run(disk / "var", "status").returncode == 0
        assert run(disk / "var", "history", movie_id).returncode == 0
        free_space(disk)
        eventually(lambda: ann.post("/movies/", json=ALIEN).status_code == 201, timeout_s=3)
        assert run(disk / "var", "verify").returncode == 0


def test_metrics_are_kept_in_memory_on_a_full_disk(disk):
    """Metrics are counted in memory until the disk has space for their file."""
    fill(disk)
    metrics = Metrics(disk / "metrics")
    metrics.log_lines_lost(3)
    metrics.observe("/", "GET", 200, [0.1])
    assert metrics.text() == b""
    free_space(disk)
    metrics.sample()
    text = metrics.text().decode()
    assert "cinelog_log_lines_lost_total 3.0" in text
    assert 'duration_seconds_count{method="GET",route="/",status="200"} 1.0' in text
    metrics.close()


def test_metrics_survive_a_disk_that_fills_up(disk):
    """The files are preallocated: a write to an unallocated block would kill the process."""
    metrics = Metrics(disk / "metrics")
    fill(disk)
    for number in range(6_000):
        metrics.observe(f"/{number:040}", "GET", 200, [0.1])
    assert 'route="other",status="0"} 5500.0' in metrics.text().decode()
    metrics.close()


def test_check_disk_space_raises_on_a_full_disk(disk):
    check_disk_space(disk)
    fill(disk)
    with pytest.raises(OSError, match="space") as caught:
        check_disk_space(disk)
    assert is_disk_full(caught.value)
    assert [file.name for file in disk.iterdir()] == ["filler"]


def test_files_are_readable_by_their_owner_only(tmp_path):
    """This includes files of a world-readable data directory and exports."""
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
