"""Personal tokens over HTTP, beside the real command line and a service of two workers."""

import itertools
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.app import create_app
from service.settings import Settings
from tests.controls import ALIEN, new_id
from tests.running import PASSWORD, Cinelog, eventually, problem, run

INSUFFICIENT = 'Bearer realm="api", error="insufficient_scope"'
INVALID = 'Bearer realm="api", error="invalid_token"'
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def cinelog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    with Cinelog(folder / "var", workers=2, write_wait_ms=5000) as cinelog:
        yield cinelog
    assert "Traceback" not in cinelog.output()


@pytest.fixture
def owner(cinelog):
    return cinelog.account(f"tess{next(_numbers)}")


def created(owner, scope="read", name="backup", **fields):
    answer = owner.post("/auth/tokens/", json={"name": name, "scope": scope} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def script(cinelog, owner, scope="read"):
    """Return a client that sends a new personal token."""
    token = created(owner, scope)
    client = cinelog.client(token["token"])
    client.id = token["id"]
    return client


def seconds_until(time_text):
    return datetime.fromisoformat(time_text).timestamp() - datetime.now(UTC).timestamp()


# Creating and listing


def test_a_token_is_shown_once(owner):
    answer = owner.post("/auth/tokens/", json={"name": " ci ", "scope": "read"})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    token = answer.json()
    assert token.keys() == {"id", "name", "scope", "created_at", "expires_at", "token"}
    assert re.fullmatch(r"cinelog_[A-Za-z0-9_-]{88}", token["token"])
    assert (token["name"], token["scope"]) == ("ci", "read")
    assert abs(seconds_until(token["expires_at"]) - 90 * 86_400) < 60
    listed = owner.get("/auth/tokens/")
    token.pop("token")
    assert listed.json() == {"count": 1, "next": None, "previous": None, "results": [token]}


def test_the_end_can_be_chosen(owner):
    token = created(owner, expires_in_days="365")
    assert abs(seconds_until(token["expires_at"]) - 365 * 86_400) < 60


def test_all_errors_are_reported_at_once(owner):
    body = {"name": " ", "scope": "admin", "expires_in_days": 366}
    refused = problem(owner.post("/auth/tokens/", json=body), 400, "invalid")
    assert refused["errors"] == {
        "name": ["This field may not be blank."],
        "scope": ['Enter "read" or "write".'],
        "expires_in_days": ["Ensure this value is less than or equal to 365."],
    }
    refused = problem(owner.post("/auth/tokens/", json={"expires_in_days": 0}), 400, "invalid")
    assert refused["errors"] == {
        "name": ["This field is required."],
        "scope": ["This field is required."],
        "expires_in_days": ["Ensure this value is greater than or equal to 1."],
    }
    too_long = owner.post("/auth/tokens/", json={"name": "x" * 101, "scope": "read"})
    assert problem(too_long, 400, "invalid")["errors"].keys() == {"name"}


def test_an_account_has_at_most_fifty(owner):
    """The list has pages, the newest first."""
    ids = [created(owner, name=f"token {number}")["id"] for number in range(50)]
    refused = owner.post("/auth/tokens/", json={"name": "x", "scope": "read"})
    assert "at most 50" in str(problem(refused, 400, "invalid")["errors"])
    page = owner.get("/auth/tokens/", params={"page_size": 20}).json()
    assert (page["count"], [one["id"] for one in page["results"]]) == (50, ids[:-21:-1])
    last = owner.get(owner.get(page["next"]).json()["next"]).json()
    assert ([one["id"] for one in last["results"]], last["next"]) == (ids[9::-1], None)
    problem(owner.get("/auth/tokens/?page=4&page_size=20"), 404, "not_found")
    assert owner.delete(f"/auth/tokens/{ids[0]}/").status_code == 204
    created(owner)


# Scopes


def test_a_token_reads(cinelog, owner):
    reader = script(cinelog, owner)
    movie = owner.post("/movies/", json=ALIEN).json()
    assert reader.get("/movies/").status_code == 200
    assert reader.get(f"/movies/{movie['id']}/").json() == movie
    assert reader.head(f"/movies/{movie['id']}/").status_code == 200
    assert reader.options(f"/movies/{movie['id']}/").status_code < 300
    assert reader.get("/events/").status_code == 200
    assert reader.get("/auth/me/").json()["username"] == owner.account["username"]
    assert reader.get("/auth/tokens/").json()["count"] == 1
    assert reader.get("/auth/sessions/").json()["count"] == 1
    assert reader.get("/auth/me/history/").status_code == 200


def test_a_token_writes(cinelog, owner):
    writer = script(cinelog, owner, "write")
    made = writer.post("/movies/", json=ALIEN)
    assert made.status_code == 201
    assert made.json()["creator"] == owner.account["username"]
    path = f"/movies/{made.json()['id']}/"
    assert writer.patch(path, json={"year": 1980}).status_code == 200
    assert writer.put(path, json=ALIEN).status_code == 200
    assert writer.delete(path).status_code == 204
    assert writer.post(f"{path}revert/", json={"version": 1}).status_code == 200


@pytest.fixture(scope="module")
def unsafe_routes(tmp_path_factory):
    """Methods and paths of all routes that need credentials and may change something."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("app"))
    routes = create_app(settings, name="for-personal-tokens").router.routes
    return [
        (method, "/" + re.sub(r"<[^>]+>", str(new_id()), route.path).strip("/") + "/")
        for route in routes
        if not getattr(route.ctx, "open", False)
        for method in route.methods - {"GET", "HEAD", "OPTIONS"}
    ]


def test_a_token_that_may_read_changes_nothing(cinelog, owner, unsafe_routes):
    reader, before = script(cinelog, owner), cinelog.status()["event_store"]["position"]
    assert len(unsafe_routes) >= 10
    for method, path in unsafe_routes:
        refused = reader.request(method, f"{cinelog.url}{path}", json={})
        body = problem(refused, 403, "permission_denied")
        assert body["detail"] == "You do not have permission to perform this action."
        assert refused.headers["www-authenticate"] == INSUFFICIENT, path
    assert cinelog.status()["event_store"]["position"] == before


def test_no_token_manages_accounts(cinelog, owner, unsafe_routes):
    """A leaked token can neither be prolonged nor become a session."""
    writer, managing = script(cinelog, owner, "write"), ("/api/v1/auth/", "/api/v1/ops/")
    paths = [route for route in unsafe_routes if route[1].startswith(managing)]
    assert {"/api/v1/auth/tokens/", "/api/v1/auth/password/", "/api/v1/auth/sessions/"} <= {
        path for _, path in paths
    }
    for method, path in paths:
        refused = writer.request(method, f"{cinelog.url}{path}", json={})
        problem(refused, 403, "permission_denied")
        assert refused.headers["www-authenticate"] == INSUFFICIENT, path
    body = {"old_password": PASSWORD, "new_password": "new-pass-7", "new_password2": "new-pass-7"}
    problem(writer.post("/auth/password/", json=body), 403, "permission_denied")
    problem(writer.delete(f"/auth/tokens/{writer.id}/"), 403, "permission_denied")
    assert owner.get("/auth/tokens/").json()["count"] == 1


def test_the_movies_of_others_stay_theirs(cinelog, owner):
    other = cinelog.account(f"tess{next(_numbers)}")
    movie = other.post("/movies/", json=ALIEN).json()
    writer = script(cinelog, owner, "write")
    refused = writer.delete(f"/movies/{movie['id']}/")
    problem(refused, 403, "permission_denied")
    assert "www-authenticate" not in refused.headers


# The end of a token


def until_refused(client):
    """Wait until a token is refused by whichever worker; return how long that took, in seconds."""
    began = time.monotonic()
    eventually(lambda: all(client.get("/auth/me/").status_code == 401 for _ in range(20)))
    refused = client.get("/auth/me/")
    problem(refused, 401, "token_not_valid")
    assert refused.headers["www-authenticate"] == INVALID
    return time.monotonic() - began


def test_a_revoked_token_is_refused_everywhere_within_seconds(cinelog, owner):
    reader = script(cinelog, owner)
    for _ in range(20):  # so that both workers know it
        with cinelog.client(reader.headers["authorization"].split()[1]) as one:
            assert one.get("/auth/me/").status_code == 200
    assert owner.delete(f"/auth/tokens/{reader.id}/").status_code == 204
    assert until_refused(reader) < 4
    assert owner.get("/auth/tokens/").json()["count"] == 0
    problem(owner.delete(f"/auth/tokens/{reader.id}/"), 404, "not_found")


def test_only_ones_own_tokens_can_be_revoked(cinelog, owner):
    other = cinelog.account(f"tess{next(_numbers)}")
    token = created(other)
    for token_id in (token["id"], new_id(), "x", token["id"].upper()):
        refused = problem(owner.delete(f"/auth/tokens/{token_id}/"), 404, "not_found")
        assert refused["detail"] == "No PersonalToken matches the given query."
    assert other.get("/auth/tokens/").json()["count"] == 1


def test_a_token_can_be_revoked_by_sending_it(cinelog, owner):
    """Who finds a leaked token can end it (RFC 7009)."""
    reader = script(cinelog, owner)
    token = reader.headers["authorization"].split()[1]
    with cinelog.client() as anyone:
        assert anyone.post("/auth/token/verify/", json={"token": token}).status_code == 200
        for _ in range(2):
            assert anyone.post("/auth/token/revoke/", json={"token": token}).status_code == 200
        problem(anyone.post("/auth/token/verify/", json={"token": token}), 401, "token_not_valid")
    assert until_refused(reader) < 4


def test_signing_out_and_a_new_password_leave_tokens_valid(cinelog, owner):
    reader = script(cinelog, owner)
    body = {"old_password": PASSWORD, "new_password": "new-pass-7", "new_password2": "new-pass-7"}
    assert owner.post("/auth/password/", json=body).status_code == 204
    assert owner.delete("/auth/sessions/").status_code == 204
    time.sleep(2.1)  # until the token is read again
    assert reader.get("/auth/me/history/").status_code == 200
    problem(
        owner.post("/auth/tokens/", json={"name": "x", "scope": "read"}), 401, "token_not_valid"
    )


def test_tokens_end_with_their_account(cinelog, owner):
    reader = script(cinelog, owner)
    assert reader.get("/auth/me/").status_code == 200
    closed = run(cinelog.data_dir, "account", "close", owner.account["username"], "--yes")
    assert closed.returncode == 0, closed.stderr
    assert until_refused(reader) < 4


def test_a_stream_ends_when_its_token_is_revoked(cinelog, owner):
    reader = script(cinelog, owner)
    with reader.stream("GET", "/events/stream", timeout=20) as stream:
        chunks = stream.iter_text()
        assert next(chunks).startswith(":")
        owner.post("/movies/", json=ALIEN | {"title": "Before"})
        assert "Before" in next(chunks)
        owner.delete(f"/auth/tokens/{reader.id}/")
        time.sleep(2.1)
        owner.post("/movies/", json=ALIEN | {"title": "After"})
        assert "After" not in "".join(chunks)


@pytest.mark.parametrize("garbage", ["cinelog_", f"cinelog_{'A' * 88}", "cinelog_x.y.z"])
def test_garbage_is_refused(cinelog, garbage):
    refused = cinelog.client(garbage).get("/movies/")
    problem(refused, 401, "token_not_valid")
    assert refused.headers["www-authenticate"] == INVALID


def test_two_tokens_are_refused(cinelog, owner):
    token = created(owner)["token"]
    headers = [("Authorization", f"Bearer {token}")] * 2
    with cinelog.client() as anyone:
        problem(anyone.get("/movies/", headers=headers), 401, "token_not_valid")


def test_open_routes_ignore_tokens(cinelog):
    assert cinelog.client(f"cinelog_{'A' * 88}").get(f"{cinelog.url}/livez").status_code == 200


# What is stored, logged and told


def test_the_account_history_tells_of_tokens(owner):
    token = created(owner, "write", name="deploy")
    owner.delete(f"/auth/tokens/{token['id']}/")
    answer = owner.get("/auth/me/history/")
    made, revoked = answer.json()["results"][-2:]
    assert (made["type"], revoked["type"]) == ("PersonalTokenCreated", "PersonalTokenRevoked")
    facts = {name: token[name] for name in ("id", "name", "scope", "expires_at")}
    assert made["token"] == revoked["token"] == facts
    assert made["session"] == revoked["session"]
    assert made["session"] is not None
    assert "digest" not in answer.text


def test_no_secret_is_stored_or_logged(tmp_path):
    """Neither the token nor its secret: not in any file, not in the log of the process."""
    with Cinelog(tmp_path / "var", log_level="debug", log_format="json") as cinelog:
        owner = cinelog.account("tess")
        token = created(owner, "write")["token"]
        client = cinelog.client(token)
        assert client.post("/movies/", json=ALIEN).status_code == 201
        assert client.post("/movies/", json={}).status_code == 400
        assert client.post("/auth/tokens/", json={}).status_code == 403
        problem(cinelog.client(token[:-1] + "?").get("/movies/"), 401, "token_not_valid")
        printed = run(tmp_path / "var", "token", "create", "cli", "--as", "tess").stdout.strip()
        exported = tmp_path / "var" / "events.jsonl"
        run(tmp_path / "var", "export", exported, "--events")
        files = [path for path in (tmp_path / "var").rglob("*") if path.is_file()]
        assert exported in files
        content = b"".join(path.read_bytes() for path in [*files, Path(cinelog.log_path)])
        assert b"PersonalTokenCreated" in content
        for text in (token, printed):
            for part in (text, text[8:], text[-46:], text[-44:-1]):
                assert part.encode() not in content


def test_tokens_survive_a_restart_and_a_lost_redis(tmp_path):
    with Cinelog(tmp_path / "var") as cinelog:
        token = created(cinelog.account("tess"))["token"]
    for file in (tmp_path / "var").glob("redis*"):
        if file.is_file():
            file.unlink()
    with Cinelog(tmp_path / "var") as cinelog:
        assert cinelog.client(token).get("/auth/me/").json()["username"] == "tess"


def test_calls_are_counted_for_the_account(tmp_path):
    """Guesses count for the address, also where a route is not limited otherwise."""
    with Cinelog(tmp_path / "var", api_rate="20/minute") as cinelog:
        owner = cinelog.account("tess")
        client = cinelog.client(created(owner)["token"])
        statuses = [client.get("/auth/me/").status_code for _ in range(30)]
        assert statuses[0] == 200
        assert statuses.count(429) >= 10
        problem(owner.get("/auth/me/"), 429, "throttled")
        guess = cinelog.client(f"cinelog_{'A' * 88}")
        tried = [guess.post("/auth/password/", json={}).status_code for _ in range(30)]
        assert 429 in tried


# The command line


def cli(cinelog, *args):
    done = run(cinelog.data_dir, "token", *args)
    assert "Traceback" not in done.stderr
    return done


def test_the_command_line_creates_lists_and_revokes(cinelog, owner):
    name = owner.account["username"]
    made = cli(cinelog, "create", "nightly", "--as", name.upper(), "--days", 30)
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert made.stdout == f"{token}\n"
    client = cinelog.client(token)
    assert client.get("/auth/me/").json()["username"] == name
    problem(client.post("/movies/", json=ALIEN), 403, "permission_denied")

    listed = cli(cinelog, "list", "--as", name, "--json")
    (row,) = json.loads(listed.stdout)
    assert row == owner.get("/auth/tokens/").json()["results"][0]
    assert (row["name"], row["scope"]) == ("nightly", "read")
    assert abs(seconds_until(row["expires_at"]) - 30 * 86_400) < 60
    assert row["id"] in made.stderr
    text = cli(cinelog, "list", "--as", name).stdout
    assert text.split() == [row["id"], row["expires_at"], "read", "nightly"]

    revoked = cli(cinelog, "revoke", row["id"], "--as", name)
    assert (revoked.returncode, revoked.stderr) == (0, "")
    assert until_refused(client) < 4
    assert json.loads(cli(cinelog, "list", "--as", name, "--json").stdout) == []
    last = owner.get("/auth/me/history/").json()["results"][-1]
    assert (last["type"], last["session"]) == ("PersonalTokenRevoked", None)


def test_a_token_of_the_command_line_may_write(cinelog, owner):
    made = cli(cinelog, "create", "w", "--as", owner.account["username"], "--scope", "write")
    assert cinelog.client(made.stdout.strip()).post("/movies/", json=ALIEN).status_code == 201


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("create", "x", "--as", "nobody"), "there is no account 'nobody'"),
        (("list", "--as", "nobody"), "there is no account 'nobody'"),
        (("revoke", "x", "--as", "nobody"), "there is no account 'nobody'"),
    ],
)
def test_unknown_accounts_are_reported(cinelog, args, line):
    done = cli(cinelog, *args)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"cinelog: {line}\n")


def test_unknown_and_foreign_tokens_are_reported(cinelog, owner):
    other = created(cinelog.account(f"tess{next(_numbers)}"))
    for token_id in (other["id"], new_id(), "x"):
        done = cli(cinelog, "revoke", token_id, "--as", owner.account["username"])
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "cinelog: No PersonalToken matches the given query.\n"


def test_wrong_use_is_reported(cinelog, owner):
    name = owner.account["username"]
    for wrong in (
        ("create", "x"),
        ("create", " ", "--as", name),
        ("create", "x" * 101, "--as", name),
        ("create", "x", "--as", name, "--days", 366),
        ("create", "x", "--as", name, "--days", 0),
        ("create", "x", "--as", name, "--scope", "admin"),
    ):
        done = cli(cinelog, *wrong)
        assert (done.returncode, done.stdout) == (2, ""), wrong
    closed = cinelog.account(f"tess{next(_numbers)}").account["username"]
    run(cinelog.data_dir, "account", "close", closed, "--yes")
    done = cli(cinelog, "create", "x", "--as", closed)
    assert (done.returncode, done.stderr) == (1, "cinelog: The account is closed.\n")
