"""``cinelog backup`` and ``restore`` as commands."""

import json

import pytest

from commands.event_store.store import Store
from tests.running import run
from tests.service.backup.places import events_of, grow


@pytest.fixture
def data(tmp_path):
    """A data directory with a log."""
    path = tmp_path / "var"
    path.mkdir(mode=0o700)
    store = Store.open(f"sqlite:///{path}/events.db")
    grow(store, 1)
    for file in path.iterdir():
        file.chmod(0o600)
    yield path
    store.close()


def test_backup_list_verify_and_restore(data, tmp_path):
    place = tmp_path / "backups"
    done = run(data, "backup", place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("full backup of 4 events up to position 4")
    done = run(data, "backup", "--json", backup_url=place)
    assert json.loads(done.stdout)["kind"] == "none"
    listed = run(data, "backup", "list", place, "--json")
    (row,) = json.loads(listed.stdout)
    assert (row["kind"], row["after"], row["position"], row["events"]) == ("full", 0, 4, 4)

    new = tmp_path / "new"
    done = run(new, "restore", place, "--to-position", "3", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] == 3
    restored = Store.open(f"sqlite:///{new}/events.db")
    assert len(events_of(restored)) == 3
    restored.close()

    assert run(data, "backup", "verify", tmp_path / "typo").returncode == 1
    (file,) = place.glob("*.gz")
    file.write_bytes(file.read_bytes()[:-1])
    done = run(data, "backup", "verify", place)
    assert (done.returncode, "SHA-256" in done.stderr) == (1, True)
    done = run(new, "restore", place)
    assert (done.returncode, "not empty" in done.stderr) == (2, True)


def test_wrong_use_is_one_line(data):
    done = run(data, "restore", "/tmp/x", "--to-time", "yesterday")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--to-time" in done.stderr
