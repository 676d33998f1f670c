"""``cinelog operator`` and ``cinelog account``, beside a running service."""

import itertools
import json
import os
import pty
import subprocess
import time

import pytest

from tests.running import COMMAND, PASSWORD, Cinelog, environment, eventually, problem, run

NEW = "better-horse-8"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def cinelog(tmp_path_factory):
    with Cinelog(tmp_path_factory.mktemp("accounts") / "var", workers=2) as cinelog:
        yield cinelog
    assert "Traceback" not in cinelog.output()


@pytest.fixture
def user(cinelog):
    client = cinelog.account(f"otto{next(_numbers)}")
    client.name = client.account["username"]
    return client


def cli(cinelog, *args, **settings):
    done = run(cinelog.data_dir, *args, **settings)
    assert "Traceback" not in done.stderr
    return done


def answered(cinelog, *args, stdin=""):
    """Run a command that reads its standard input."""
    return subprocess.run(
        [COMMAND, *args],
        env=environment(cinelog.data_dir),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def on_a_terminal(cinelog, *args, answers):
    """Run a command on a terminal; answer each prompt. Returns exit code and output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(COMMAND, [str(COMMAND), *args], environment(cinelog.data_dir))
    output, answers = [b""], list(answers)
    while True:
        try:
            output[-1] += os.read(terminal, 4096)
        except OSError:  # the command has closed it
            break
        if answers and output[-1].endswith(b": "):
            os.write(terminal, answers.pop(0).encode() + b"\n")
            output.append(b"")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), b"".join(output).decode()


def signs_in(cinelog, name, password):
    with cinelog.client() as anyone:
        body = {"username": name, "password": password}
        return anyone.post("/auth/token/", json=body).status_code == 200


def history(client):
    return client.get("/auth/me/history/", params={"page_size": 100}).json()["results"]


def test_the_role_is_granted_shown_and_revoked(cinelog, user):
    """Each command may be repeated; the running service knows at once."""
    assert user.get("/auth/me/").json()["operator"] is False
    first = cli(cinelog, "operator", "add", user.name.upper())
    assert (first.returncode, first.stdout) == (0, f"{user.name} is now an operator\n")
    again = cli(cinelog, "operator", "add", user.name)
    assert (again.returncode, again.stdout) == (0, f"{user.name} is already an operator\n")
    assert user.get("/auth/me/").json() == user.account | {"operator": True}
    listed = json.loads(cli(cinelog, "operator", "list", "--json").stdout)
    (found,) = (one for one in listed if one["username"] == user.name)
    assert (found["id"], found["operator"], found["closed"]) == (user.account["id"], True, False)
    assert user.name in cli(cinelog, "operator", "list").stdout
    gone = cli(cinelog, "operator", "remove", user.name)
    assert (gone.returncode, gone.stdout) == (0, f"{user.name} is no longer an operator\n")
    again = cli(cinelog, "operator", "remove", user.name)
    assert (again.returncode, again.stdout) == (0, f"{user.name} is not an operator\n")
    assert user.get("/auth/me/").json()["operator"] is False
    types = [entry["type"] for entry in history(user)]
    assert types == ["UserRegistered", "SessionOpened", "OperatorGranted", "OperatorRevoked"]
    assert history(user)[2]["request_id"].startswith("cli-")
    assert history(user)[2]["actor"] is None


@pytest.mark.parametrize(
    "args",
    [
        ("operator", "add"),
        ("operator", "remove"),
        ("account", "password"),
        ("account", "password", "--link"),
        ("account", "close", "--yes"),
    ],
)
def test_an_unknown_account_is_exit_1(cinelog, args):
    done = cli(cinelog, *args, "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cinelog: there is no account 'nobody'\n"


def test_accounts_are_listed(cinelog, user):
    listed = json.loads(cli(cinelog, "account", "list", "--json").stdout)
    found = listed[-1]
    assert found.keys() == {"id", "username", "created_at", "operator", "closed"}
    assert (found["username"], found["id"]) == (user.name, user.account["id"])
    assert found["created_at"] == history(user)[0]["at"]
    line = cli(cinelog, "account", "list").stdout.splitlines()[-1]
    assert line.split() == [found["created_at"], found["id"], "-", user.name]


def test_an_empty_list_is_json_too(tmp_path):
    with Cinelog(tmp_path / "var") as empty:
        assert json.loads(cli(empty, "account", "list", "--json").stdout) == []
        assert cli(empty, "operator", "list").stdout == ""


def test_a_password_is_read_from_standard_input(cinelog, user):
    """All sessions end."""
    done = answered(cinelog, "account", "password", user.name, stdin=f"{NEW}\n")
    assert done.returncode == 0, done.stderr
    assert signs_in(cinelog, user.name, NEW)
    assert not signs_in(cinelog, user.name, PASSWORD)
    problem(user.get("/auth/sessions/"), 401, "token_not_valid")
    refreshed = user.post("/auth/token/refresh/", json={"refresh": user.pair["refresh"]})
    problem(refreshed, 401, "token_not_valid")
    assert NEW not in done.stdout + done.stderr


def test_a_password_is_asked_for_twice_on_a_terminal(cinelog, user):
    args = ("account", "password", user.name)
    code, output = on_a_terminal(cinelog, *args, answers=[NEW, "typo", NEW, NEW])
    assert code == 0, output
    assert NEW not in output
    assert signs_in(cinelog, user.name, NEW)


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ("", ["This field may not be blank."]),
        ("short", ["This password is too short. It must contain at least 8 characters."]),
    ],
)
def test_a_refused_password_is_exit_1(cinelog, user, given, problems):
    done = answered(cinelog, "account", "password", user.name, stdin=f"{given}\n")
    assert done.returncode == 1
    assert done.stderr == "".join(f"cinelog: {one}\n" for one in problems)
    assert signs_in(cinelog, user.name, PASSWORD)


def test_a_link_sets_one_password(cinelog, user):
    """Nothing changes until it is used."""
    done = cli(cinelog, "account", "password", user.name, "--link", port=cinelog.port)
    url = done.stdout.strip()
    begin = f"{cinelog.url}/#/reset?token="
    assert done.returncode == 0
    assert url.startswith(begin)
    assert f"good for one new password of {user.name}, until 2" in done.stderr
    assert signs_in(cinelog, user.name, PASSWORD)
    body = {"token": url.removeprefix(begin), "password": NEW, "password2": NEW}
    with cinelog.client() as anyone:
        assert anyone.post("/auth/password/reset/", json=body).status_code == 204
        problem(anyone.post("/auth/password/reset/", json=body), 400, "invalid")
    assert signs_in(cinelog, user.name, NEW)


def test_links_are_built_from_the_public_url(cinelog, user):
    public = "https://movies.example.org/x"
    args = ("account", "password", user.name, "--link", "--json")
    link = json.loads(cli(cinelog, *args, public_url=public).stdout)
    assert link["url"].startswith(f"{public}/#/reset?token=")
    assert link.keys() == {"url", "expires_at"}


def test_a_closed_account_is_shut_out_of_all_workers_within_two_seconds(cinelog, user):
    """Its movies stay. A stream of its ends before the next event is sent."""
    movie = user.post("/movies/", json={"title": "Alien", "genre": "Horror", "year": 1979}).json()
    assert cli(cinelog, "operator", "add", user.name).returncode == 0
    with cinelog.client() as anyone, user.stream("GET", "/events/stream") as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": Cinelog"
        done = cli(cinelog, "account", "close", user.name, "--yes")
        closed_at = time.monotonic()
        assert (done.returncode, done.stdout) == (0, f"{user.name} is closed\n")
        problem(user.get("/auth/me/"), 401, "token_not_valid")
        pair = user.post("/auth/token/refresh/", json={"refresh": user.pair["refresh"]})
        problem(pair, 401, "token_not_valid")
        assert not signs_in(cinelog, user.name, PASSWORD)
        body = {"token": user.pair["access"]}
        # Each worker polls the log once a second.
        refused = 0
        while refused < 40 and time.monotonic() - closed_at < 5:
            with cinelog.client(user.pair["access"]) as client:
                status = client.get("/movies/").status_code
            refused = refused + 1 if status == 401 else 0
            last_success = time.monotonic() if status == 200 else closed_at
        assert refused == 40
        assert last_success - closed_at < 2.5
        assert anyone.post("/auth/token/verify/", json=body).status_code in (200, 401)
        other = cinelog.account(f"{user.name}-witness")
        assert other.get(f"/movies/{movie['id']}/").json()["creator"] == user.name
        other.post("/movies/", json={"title": "Heat", "genre": "Crime", "year": 1995})
        assert "Heat" not in "".join(lines)
    assert "closed" in cli(cinelog, "account", "list").stdout
    listed = json.loads(cli(cinelog, "operator", "list", "--json").stdout)
    assert user.name not in [one["username"] for one in listed]
    again = cli(cinelog, "account", "close", user.name)
    assert (again.returncode, again.stdout) == (0, f"{user.name} is already closed\n")
    for args in (("operator", "add"), ("account", "password"), ("account", "password", "--link")):
        refused = cli(cinelog, *args, user.name)
        assert (refused.returncode, refused.stderr) == (1, "cinelog: The account is closed.\n")


def test_a_closed_account_imports_nothing(cinelog, user, tmp_path):
    movies = tmp_path / "movies.csv"
    movies.write_text("title,genre,year\nAlien,Horror,1979\n")
    assert cli(cinelog, "account", "close", user.name, "--yes").returncode == 0
    done = cli(cinelog, "import", movies, "--as", user.name)
    assert (done.returncode, done.stderr) == (1, "cinelog: The account is closed.\n")


def test_closing_asks_on_a_terminal(cinelog, user):
    done = answered(cinelog, "account", "close", user.name)
    assert done.returncode == 2
    assert done.stderr == "cinelog: standard input is no terminal to ask on; give --yes\n"
    args = ("account", "close", user.name)
    assert on_a_terminal(cinelog, *args, answers=["n"])[0] == 1
    assert signs_in(cinelog, user.name, PASSWORD)
    code, output = on_a_terminal(cinelog, *args, answers=["y"])
    assert code == 0, output
    assert eventually(lambda: not signs_in(cinelog, user.name, PASSWORD))
