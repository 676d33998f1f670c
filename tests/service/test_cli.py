"""The command line: what goes wrong reads well, in one line, exit 2."""

import json
import socket
import uuid

import pytest
from controls import MOVIE, create, delete, register, update
from running import run

from commands.group_commit import commit
from commands.store import Store


def one_line(done, *said):
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for words in said:
        assert words in done.stderr


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one_line(run(tmp_path / "var", "serve", "--port", port), "CINELOG_PORT", str(port), "taken")


def test_a_data_directory_that_is_a_file(tmp_path):
    (tmp_path / "var").write_text("")
    one_line(run(tmp_path / "var", "status"), "CINELOG_DATA_DIR", "not a directory")


def test_a_data_directory_of_a_newer_version(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "format").write_text('{"format": 99, "cinelog": "9.9"}')
    one_line(run(tmp_path / "var", "serve", "--port", 0), "CINELOG_DATA_DIR", "newer version")


def test_status_says_that_redis_is_away(tmp_path):
    done = run(tmp_path / "var", "status", redis_url="redis://127.0.0.1:1/0")
    assert (done.returncode, "unavailable" in done.stdout) == (1, True)


def test_status_says_that_no_projection_is_at_work(tmp_path):
    done = run(tmp_path / "var", "status")
    assert done.stdout.split()[-2:] == ["active", "no"]


@pytest.mark.parametrize("command", ["serve", "project"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("redis_url", "redis://127.0.0.1:1/0"),
        ("redis_url", "http://x"),
        ("event_store_url", "postgresql://u:hush@127.0.0.1:1/x"),
        ("event_store_url", "oracle://x"),
    ],
)
def test_a_store_that_does_not_answer(tmp_path, command, variable, value):
    args = [command, "--port", 0] if command == "serve" else [command]
    done = run(tmp_path / "var", *args, **{variable: value})
    one_line(done, f"CINELOG_{variable.upper()}")
    assert "hush" not in done.stderr


def test_a_broken_key_file(tmp_path):
    (tmp_path / "var").mkdir(mode=0o700)
    (tmp_path / "var" / "signing-keys.json").write_text("{")
    done = run(tmp_path / "var", "serve", "--port", 0, "--workers", 1)
    one_line(done, "CINELOG_SIGNING_KEYS", "signing-keys.json")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("port", "http"),
        ("port", "99999"),
        ("workers", "0"),
        ("write_wait_ms", "-1"),
        ("proxies", "x"),
    ],
)
def test_a_setting_that_cannot_be(tmp_path, variable, value):
    one_line(run(tmp_path / "var", "status", **{variable: value}), f"CINELOG_{variable.upper()}")


def test_an_unknown_command(tmp_path):
    done = run(tmp_path / "var", "dance")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_history_of_no_movie(tmp_path):
    """The answer is no: that is not wrong use, as a malformed id is."""
    done = run(tmp_path / "var", "history", MOVIE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cinelog: No Movie matches the given query.\n"
    one_line(run(tmp_path / "var", "history", "nonsense"), "a movie id looks like")


def test_history_as_a_table_and_as_json(tmp_path):
    (tmp_path / "var").mkdir(mode=0o700)
    store = Store.open(f"sqlite:///{tmp_path}/var/events.db")
    me = uuid.uuid4()
    commit(store, [register(me, username="ann"), create(MOVIE, by=me)])
    commit(store, [update(by=me, title="[bold]Aliens"), delete(by=me)])
    store.close()
    table = run(tmp_path / "var", "history", MOVIE).stdout
    assert "ann" in table
    assert "MovieDeleted" in table
    lines = run(tmp_path / "var", "history", MOVIE, "--json").stdout.splitlines()
    assert [json.loads(line)["version"] for line in lines] == [1, 2, 3]
    changes = json.loads(lines[1])["changes"]
    assert changes == {"title": {"from": "Alien", "to": "[bold]Aliens"}}


def test_status_of_a_new_directory(tmp_path):
    done = run(tmp_path / "var", "status", "--json")
    assert done.returncode == 0
    status = json.loads(done.stdout)
    expected = {"kind": "sqlite", "position": 0, "events": 0}
    assert status["event_store"] | expected == status["event_store"]
    assert status["read_model"] == {"state": "not built"}
