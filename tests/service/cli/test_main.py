"""The command line: problems are reported in one line, with exit 2."""

import json
import socket
import subprocess
import uuid

import pytest
import typer

from commands.event_store.store import Store
from commands.execution.group_commit import commit
from service.cli.main import app
from tests.controls import MOVIE, create, delete, register, update
from tests.running import COMMAND, environment, run


def assert_one_line_error(done, *expected):
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for words in expected:
        assert words in done.stderr


def test_occupied_port_is_reported(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_one_line_error(
            run(tmp_path / "var", "serve", "--port", port), "CINELOG_PORT", str(port), "taken"
        )


def test_data_directory_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "var").write_text("")
    assert_one_line_error(run(tmp_path / "var", "status"), "CINELOG_DATA_DIR", "not a directory")


def test_data_directory_of_newer_version_is_refused(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "format").write_text('{"format": 99, "cinelog": "9.9"}')
    assert_one_line_error(
        run(tmp_path / "var", "serve", "--port", 0), "CINELOG_DATA_DIR", "newer version"
    )


@pytest.fixture
def empty_store(tmp_path):
    """A data directory with an empty event store."""
    folder = tmp_path / "var"
    folder.mkdir(mode=0o700)
    Store.open(f"sqlite:///{folder}/events.db").close()
    return folder


def test_status_shows_unreachable_redis(tmp_path, empty_store):
    done = run(tmp_path / "var", "status", redis_url="redis://127.0.0.1:1/0")
    assert (done.returncode, "unavailable" in done.stdout) == (1, True)


def test_status_shows_inactive_projection(tmp_path, empty_store):
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
def test_unreachable_store_is_reported(tmp_path, command, variable, value):
    args = [command, "--port", 0] if command == "serve" else [command]
    done = run(tmp_path / "var", *args, **{variable: value})
    assert_one_line_error(done, f"CINELOG_{variable.upper()}")
    assert "hush" not in done.stderr


def test_invalid_key_file_is_reported(tmp_path):
    (tmp_path / "var").mkdir(mode=0o700)
    (tmp_path / "var" / "signing-keys.json").write_text("{")
    done = run(tmp_path / "var", "serve", "--port", 0, "--workers", 1)
    assert_one_line_error(done, "CINELOG_SIGNING_KEYS", "signing-keys.json")


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
def test_invalid_setting_is_reported(tmp_path, variable, value):
    assert_one_line_error(
        run(tmp_path / "var", "status", **{variable: value}), f"CINELOG_{variable.upper()}"
    )


def test_unknown_command_is_refused(tmp_path):
    done = run(tmp_path / "var", "dance")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_history_of_unknown_movie_is_reported(tmp_path, empty_store):
    """A missing movie is exit 1; a malformed id is exit 2."""
    done = run(tmp_path / "var", "history", MOVIE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cinelog: No Movie matches the given query.\n"
    assert_one_line_error(run(tmp_path / "var", "history", "nonsense"), "a movie id looks like")


def test_history_is_printed_as_table_or_json(tmp_path):
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


def test_status_shows_an_empty_store(tmp_path, empty_store):
    done = run(tmp_path / "var", "status", "--json")
    assert done.returncode == 0
    status = json.loads(done.stdout)
    expected = {"kind": "sqlite", "position": 0, "events": 0}
    assert status["event_store"] | expected == status["event_store"]
    assert status["read_model"] == {"state": "not built"}


READERS = [
    ["history", str(MOVIE)],
    ["status"],
    ["verify"],
    ["rebuild"],
    ["export", "out.csv"],
    ["export", "--events", "out.jsonl"],
    ["parked", "list"],
    ["parked", "retry"],
    ["keys", "list"],
    ["import", "in.csv", "--as", "ann"],
]


@pytest.mark.parametrize("args", READERS, ids=str)
def test_reading_commands_create_nothing(tmp_path, args):
    (tmp_path / "in.csv").write_text("title,genre,year\n")
    before = sorted(tmp_path.rglob("*"))
    args = [tmp_path / word if "." in word else word for word in args]
    assert_one_line_error(
        run(tmp_path / "var", *args), "CINELOG_", "there is no" if args[0] != "keys" else ""
    )
    (tmp_path / "var").mkdir()
    assert_one_line_error(run(tmp_path / "var", *args), "CINELOG_")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "var"])


def test_database_without_tables_is_reported(tmp_path, postgres):
    url = postgres()
    for args in (["history", str(MOVIE)], ["export", tmp_path / "out.csv"], ["status"]):
        done = run(tmp_path / "var", *args, event_store_url=url)
        assert_one_line_error(done, "there is no event store in this database")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["dance"], "No such command 'dance'"),
        (["serve", "--prot", "1"], "--prot"),
        (["serve", "--port", "http"], "'--port'"),
        (["import"], "Missing argument"),
        (["rebuild", "--parallel", "99"], "--parallel"),
    ],
)
def test_invalid_command_line_is_one_line(tmp_path, args, expected):
    """``serve`` reports it as JSON."""
    done = run(tmp_path / "var", *args)
    assert done.stderr.startswith("{" if args[0] == "serve" else "cinelog: ")
    assert_one_line_error(run(tmp_path / "var", *args), expected, "--help")


def test_version_and_help_are_printed(tmp_path):
    assert run(tmp_path / "var", "--version").stdout.startswith("cinelog 0.")
    assert "import" in run(tmp_path / "var", "--help").stdout
    assert "8000" in run(tmp_path / "var", "serve", "--help").stdout


def test_closed_output_is_not_an_error(tmp_path, empty_store):
    """A pipe closed by its reader, as with ``| head``, is not an error."""
    line = f"{COMMAND} history --help | head -c 1; echo ${{PIPESTATUS[0]}}"
    env = environment(empty_store) | {"PYTHONUNBUFFERED": "1"}
    done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for args in (["status"], ["--help"], ["status", "--json"]):
        with subprocess.Popen(
            [COMMAND, *args], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode in (0, 1)


def test_output_is_escaped_for_a_limited_encoding(tmp_path, empty_store):
    """Characters that the encoding lacks become JSON escapes."""
    store = Store.open(f"sqlite:///{empty_store}/events.db")
    me = uuid.uuid4()
    commit(store, [register(me, username="ann"), create(MOVIE, by=me, title="Amélie 😀")])
    commit(store, [update(by=me, title="B")])
    store.close()
    env = environment(empty_store) | {"PYTHONIOENCODING": "ascii"}
    for args in (
        ["history", str(MOVIE)],
        ["history", str(MOVIE), "--json"],
        ["import", "é", "--as", "x"],
    ):
        done = subprocess.run([COMMAND, *args], env=env, capture_output=True, check=False)
        assert b"Traceback" not in done.stderr
        assert done.stdout.isascii()
        assert done.stderr.isascii()
        if "--json" in args:
            changes = json.loads(done.stdout.splitlines()[0])["changes"]
            assert changes["title"]["to"] == "Amélie 😀"


def test_misspelled_variable_is_reported(tmp_path, empty_store):
    done = run(empty_store, "status", event_store="x", loglevel="info", zzz="1")
    assert done.returncode == 0
    ignored = "is not a setting and is ignored"
    assert done.stderr.splitlines() == [
        f"cinelog: CINELOG_EVENT_STORE {ignored}; did you mean CINELOG_EVENT_STORE_URL?",
        f"cinelog: CINELOG_LOGLEVEL {ignored}; did you mean CINELOG_LOG_LEVEL?",
        f"cinelog: CINELOG_ZZZ {ignored}; see docs/settings.md",
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_script_is_printed(tmp_path, shell):
    """A shell evaluates this script."""
    done = subprocess.run(
        [COMMAND, "--show-completion", shell],
        env=environment(tmp_path) | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "_CINELOG_COMPLETE" in done.stdout


def test_commands_are_completed(tmp_path):
    variables = {
        "_CINELOG_COMPLETE": "complete_bash",
        "COMP_WORDS": "cinelog reb",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [COMMAND],
        env=environment(tmp_path) | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["rebuild"], "")


def test_help_shows_defaults_of_options():
    """Every option with a value shows its default, except --as."""
    command = typer.main.get_command(app)
    without_default = [
        f"{path} {option.opts[0]}"
        for path, subcommand in _commands(command, "cinelog")
        for option in subcommand.params
        if option.param_type_name == "option"
        and not option.is_flag
        and not option.is_eager
        and option.opts != ["--as"]
        and not (option.show_default and (option.default or isinstance(option.show_default, str)))
        and not (option.show_default and option.default == 0)
    ]
    assert without_default == []


def _commands(command, path):
    children = getattr(command, "commands", {})
    yield path, command
    for name, child in children.items():
        yield from _commands(child, f"{path} {name}")
