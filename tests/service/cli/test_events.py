"""``cinelog events`` prints the log as text or JSON."""

import json
import signal
import subprocess

import pytest

from commands.event_store.store import Store
from tests.controls import create, delete, new_id, register, update
from tests.library import write
from tests.running import COMMAND, environment, run


@pytest.fixture
def store(tmp_path):
    (tmp_path / "var").mkdir(mode=0o700)
    store = Store.open(f"sqlite:///{tmp_path}/var/events.db")
    yield store
    store.close()


def apply(store, *commands):
    """Apply commands one by one."""
    for command in commands:
        write(store, command)


def add_movie_history(store):
    """Register an account, and create, change and delete a movie of it."""
    ann, movie = new_id(), new_id()
    apply(
        store,
        register(ann),
        create(movie, by=ann),
        update(movie, by=ann, title="Aliens"),
        delete(movie, by=ann),
    )
    return str(movie)


def printed_events(tmp_path, *args):
    done = run(tmp_path / "var", "events", "--json", *args)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_events_are_printed_in_log_order(tmp_path, store):
    movie = add_movie_history(store)
    rows = printed_events(tmp_path)
    assert [row["type"] for row in rows] == ["MovieCreated", "MovieUpdated", "MovieDeleted"]
    assert {row["movie_id"] for row in rows} == {movie}
    assert rows[0]["changes"]["title"]["from"] is None
    positions = [row["position"] for row in rows]
    assert positions == sorted(positions)
    assert printed_events(tmp_path, "--after", positions[0]) == rows[1:]
    assert printed_events(tmp_path, "--after", positions[-1]) == []

    text = run(tmp_path / "var", "events").stdout.splitlines()
    assert len(text) == 3
    assert text[0].split()[:3] == [str(positions[0]), rows[0]["at"], "MovieCreated"]
    assert movie in text[0]
    assert rows[0]["actor"]["username"] in text[0]
    assert repr(rows[0]["changes"]["title"]["to"]) in text[0]


def test_events_are_filtered(tmp_path, store):
    movie = add_movie_history(store)
    rows = printed_events(tmp_path)
    assert printed_events(tmp_path, "--type", "MovieUpdated") == rows[1:2]
    assert printed_events(tmp_path, "--movie", movie, "--by", "ANN") == rows
    assert printed_events(tmp_path, "--by", "nobody") == []
    times = ("--since", rows[1]["at"], "--before", rows[2]["at"])
    assert printed_events(tmp_path, *times) == rows[1:2]
    for option, message in (
        ("--type", "Select a valid choice"),
        ("--movie", "Enter a valid UUID"),
        ("--since", "Enter a valid date/time"),
    ):
        done = run(tmp_path / "var", "events", option, "nonsense")
        assert done.returncode == 2
        assert f"{option}: {message}" in done.stderr


def test_position_beyond_the_log_is_refused(tmp_path, store):
    add_movie_history(store)
    done = run(tmp_path / "var", "events", "--after", 999)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the log ends at position" in done.stderr
    assert run(tmp_path / "var", "events", "--after", "-1").returncode == 2


def test_follow_shows_new_events_until_ctrl_c(tmp_path, store):
    first = add_movie_history(store)
    with subprocess.Popen(
        [COMMAND, "events", "--follow", "--json"],
        env=environment(tmp_path / "var"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert {line["movie_id"] for line in lines} == {first}
        second = new_id()
        apply(store, create(second, by=lines[0]["actor"]["id"]))
        added = json.loads(process.stdout.readline())
        assert (added["movie_id"], added["type"]) == (str(second), "MovieCreated")
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=10)
        assert (process.returncode, rest, errors) == (0, "", "")
