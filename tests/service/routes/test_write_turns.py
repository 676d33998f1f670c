"""Every commit and checkpoint of every command happens in a write turn.

SQLite before 3.51.3 can lose a commit that runs beside a checkpoint; the write turn prevents it.
The test holds the turn: the store must not change meanwhile.
"""

import fcntl
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.running import COMMAND, Cinelog, environment, eventually

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A data directory of a killed service: its write-ahead log is not checkpointed."""
    folder = tmp_path_factory.mktemp("killed") / "var"
    service = Cinelog(folder, write_wait_ms=5000)
    try:
        ann = service.account("ann")
        created = [ann.post("/movies/", json=ALIEN).json()["id"] for _ in range(20)]
        for process in (*service.processes("api_worker"), *service.processes("projection_worker")):
            subprocess.run(["kill", "-9", str(process)], check=True)
        service.process.send_signal(signal.SIGKILL)
    finally:
        service.stop()
    eventually(lambda: not is_listening(folder / "redis.sock"), timeout_s=15)
    assert (folder / "events.db-wal").stat().st_size
    (folder / "movies.csv").write_text("title,genre,year\nAliens,Horror,1986\n")
    return folder, created[0]


def is_listening(path):
    """Return whether a server listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


@pytest.fixture
def var(killed, tmp_path):
    ignored = shutil.ignore_patterns("*.sock", "*.lock")
    return Path(shutil.copytree(killed[0], tmp_path / "var", ignore=ignored))


def state_of(var):
    """Return the files that a commit, a checkpoint or the last close changes."""
    found = {}
    for name in ("events.db", "events.db-wal"):
        file = var / name
        found[name] = file.read_bytes() if file.exists() else None
    return found


@contextmanager
def held_turn(var):
    with (var / "events.db-turn").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


READING = (["status"], ["history", "MOVIE"], ["check"], ["export", "OUT"])
WRITING = (["import", "ROWS", "--as", "ann"],)


@pytest.mark.parametrize("commands", [READING, WRITING])
def test_commands_wait_for_the_turn(killed, var, commands):
    """Writers wait to commit; readers wait to close, as the last one checkpoints."""
    names = {"MOVIE": killed[1], "ROWS": str(var / "movies.csv"), "OUT": str(var / "out")}
    before = state_of(var)
    with held_turn(var):
        running = [
            subprocess.Popen(
                [COMMAND, *(names.get(word, word) for word in words)],
                env=environment(var),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            for words in commands
        ]
        until = time.monotonic() + 2.0  # less than a reader's timeout
        while time.monotonic() < until:
            assert state_of(var) == before
            time.sleep(0.05)
    for process in running:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode in (0, 1), stderr
        assert b"Traceback" not in stderr
    assert state_of(var) != before


def test_a_service_waits_for_the_turn(killed, var):
    """This holds for its start, writes, automatic checkpoints and stop."""
    with Cinelog(var, write_wait_ms=0) as service:
        ann = service.account("bob")
        with held_turn(var):
            before = state_of(var)
            with pytest.raises(httpx.TimeoutException):
                ann.post("/movies/", json=ALIEN, timeout=0.7)
            assert ann.get("/movies/").status_code == 200
            assert state_of(var) == before
        assert ann.post("/movies/", json=ALIEN).status_code == 201
