"""The service backs up its log by itself, on one machine at a time."""

import os
import signal
import subprocess
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from commands.errors import ConfigurationError
from projections.follow.lease import Lease
from projections.redis_client import open_redis
from service.backup.place import Directory
from service.last_backup import read_last_backup, write_last_backup
from service.processes.backup_schedule import LEASE_KEY, BackupSchedule
from service.settings import Settings
from tests.running import Cinelog, eventually, run
from tests.service.backup.places import backups_in, grow, restored

HOUR = timedelta(hours=1)


def settings_of(tmp_path, redis_url=None, every="1 hour", **more):
    return Settings(
        data_dir=tmp_path / "var",
        event_store_url=f"sqlite:///{tmp_path}/events.db",
        redis_url=redis_url,
        backup_url=str(tmp_path / "backups"),
        backup_every=every,
        **more,
    )


@pytest.fixture
def log(sqlite_store):
    grow(sqlite_store)
    return sqlite_store


@pytest.fixture
def place(tmp_path):
    (tmp_path / "var").mkdir()
    return Directory(tmp_path / "backups")


def children():
    """Return the ids of the processes of backups that this one has started."""
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(one.split()[0]) for one in found.stdout.splitlines() if "backup_process" in one]


def metrics_of(service):
    text = httpx.get(f"{service.url}/metrics").text
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return {one.name: one.value for one in samples if one.name.startswith("cinelog_backup")}


def test_service_backs_up_by_itself(tmp_path):
    """And tells how old the last good backup is; a place that fails is told, and tried again."""
    folder = tmp_path / "later"
    settings = {"backup_url": folder / "backups", "backup_every": "2 seconds"}
    with Cinelog(tmp_path / "var", **settings) as service:
        ann = service.account("ann")
        eventually(
            lambda: metrics_of(service).get("cinelog_backup_failed") == 1, timeout_s=30, pause_s=0.2
        )
        assert httpx.get(f"{service.url}/readyz").json()["backup"]["state"] == "failed"
        assert "later/backups: No such file" in service.output()
        folder.mkdir()
        eventually(
            lambda: metrics_of(service).get("cinelog_backup_failed") == 0, timeout_s=30, pause_s=0.2
        )
        ann.post("/movies/", json={"title": "A", "genre": "B", "year": 1999})
        head = service.status()["event_store"]["position"]
        eventually(
            lambda: metrics_of(service)["cinelog_backup_position"] == head,
            timeout_s=30,
            pause_s=0.2,
        )
        assert 0 <= metrics_of(service)["cinelog_backup_age_seconds"] < 30
        shown = httpx.get(f"{service.url}/readyz").json()["backup"]
        assert (shown["state"], shown["position"]) == ("ok", head)
    again = restored(tmp_path, Directory(folder / "backups"))
    assert again.head() == head
    again.close()
    assert "Traceback" not in service.output()


def test_one_machine_makes_each_backup(log, place, valkey, redis, tmp_path):
    settings = settings_of(tmp_path, valkey.url)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(BackupSchedule(settings, redis, tick_s=0.05))
        eventually(
            lambda: read_last_backup(redis).position == log.head(), timeout_s=30, pause_s=0.2
        )
        eventually(lambda: not children())
    assert backups_in(place) == [[(0, log.head())]]


def test_backup_waits_for_the_lease_and_for_its_time(log, place, valkey, redis, tmp_path):
    other = Lease(redis, 60_000, key=LEASE_KEY)
    assert other.acquire_or_renew()
    ticked = threading.Event()
    with BackupSchedule(settings_of(tmp_path, valkey.url), redis, tick_s=0.05) as schedule:
        is_due = schedule._is_due
        schedule._is_due = lambda: ticked.set() or is_due()
        assert ticked.wait(10)
        assert (children(), place.names()) == ([], [])
        recent = datetime.now(UTC) - HOUR / 2
        write_last_backup(redis, recent.isoformat(), 1)
        other.release()
        ticked.clear()
        assert ticked.wait(10)
        assert (children(), place.names()) == ([], [])
        write_last_backup(redis, (recent - HOUR).isoformat(), 1)
        eventually(lambda: backups_in(place) == [[(0, log.head())]], timeout_s=30, pause_s=0.2)


def test_backup_is_made_while_redis_is_unreachable(log, place, tmp_path):
    """Once per interval, as far as this process remembers."""
    url = f"unix://{tmp_path}/none"
    client = open_redis(url, retries=0)
    with BackupSchedule(settings_of(tmp_path, url), client, tick_s=0.05) as schedule:
        eventually(lambda: schedule._last_at, timeout_s=30, pause_s=0.2)
        names = place.names()
        ticked = threading.Event()
        is_due = schedule._is_due
        schedule._is_due = lambda: ticked.set() or is_due()
        assert ticked.wait(10)
    assert place.names() == names
    assert backups_in(place) == [[(0, log.head())]]
    client.close()


def test_process_that_hangs_is_killed(log, place, valkey, redis, tmp_path):
    """A storage may never answer."""
    settings = settings_of(tmp_path, valkey.url)
    with BackupSchedule(settings, redis, tick_s=0.05, silent_s=0.5):
        (pid,) = eventually(children)
        os.kill(pid, signal.SIGSTOP)
        error = eventually(lambda: read_last_backup(redis).error, timeout_s=30, pause_s=0.2)
        assert "no progress" in error
        assert not children()


def test_process_dies_with_the_schedule(log, place, valkey, redis, tmp_path):
    """At once: the service has 4 s to end."""
    with BackupSchedule(settings_of(tmp_path, valkey.url), redis, tick_s=0.05):
        (pid,) = eventually(children)
        os.kill(pid, signal.SIGSTOP)
    assert not children()
    assert read_last_backup(redis).error is None


def test_schedule_that_cannot_work_refuses_the_start(tmp_path):
    with pytest.raises(ConfigurationError, match="CINELOG_BACKUP_URL"):
        Settings.load(backup_every="1 hour")
    settings = {"backup_every": "1 hour", "backup_url": "nonsense://x"}
    done = run(tmp_path / "var", "serve", "--port", "0", **settings)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "CINELOG_BACKUP_URL: nonsense://" in done.stderr
