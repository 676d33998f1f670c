"""The operators' API: who may call it, status, parked movies, jobs and accounts."""

import itertools
import json
import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest

from commands.event_store.store import Store
from projections.keys import REBUILD_PROGRESS, REBUILDING, Keys
from tests.library import corrupt_event, library, repair_event
from tests.running import PASSWORD, Cinelog, eventually, problem, run

_numbers = itertools.count(1)
SOME_ID = "019a0b6c-9d10-7c21-b0d3-7f5a2f7f0a11"


@pytest.fixture(scope="module")
def cinelog(tmp_path_factory):
    """Two workers, and a movie with an event that cannot be read."""
    data_dir = tmp_path_factory.mktemp("ops") / "var"
    data_dir.mkdir(mode=0o700)
    store = Store.open(f"sqlite:///{data_dir}/events.db")
    books = library(store)
    store.close()
    corrupt_event(data_dir / "events.db", books.changed, version=2)
    with Cinelog(data_dir, workers=2) as cinelog:
        cinelog.books = books
        yield cinelog
    assert "Traceback" not in cinelog.output()


@pytest.fixture
def user(cinelog):
    return cinelog.account(f"uma{next(_numbers)}")


@pytest.fixture(scope="module")
def operator(cinelog):
    client = cinelog.account("opal")
    assert run(cinelog.data_dir, "operator", "add", "opal").returncode == 0
    return client


def job_processes():
    """Return the ids of all processes of jobs on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"service.operations.job_process" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def processes_of(cinelog):
    workers = cinelog.processes("api_worker")
    return [pid for pid in job_processes() if parent_of(pid) in workers]


def started(operator, kind, **body):
    answer = operator.post(f"/ops/{kind}/", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def job(operator, job_id):
    answer = operator.get(f"/ops/jobs/{job_id}/")
    assert answer.status_code == 200, answer.text
    return answer.json()


def finished(operator, job_id):
    def look():
        found = job(operator, job_id)
        return found if found["state"] != "running" else None

    return eventually(look, timeout_s=30)


# Who may call it


def test_only_operators_may_call_it(cinelog, user):
    """The role is checked before the body and before what the path names exists."""
    described = httpx.get(f"{cinelog.url}/openapi.json").json()["paths"]
    paths = {path: item for path, item in described.items() if path.startswith("/api/v1/ops/")}
    assert len(paths) >= 10
    for path, item in paths.items():
        url = cinelog.url + re.sub(r"{\w+}", SOME_ID, path)
        for method in item.keys() & {"get", "post", "put", "patch", "delete"}:
            with cinelog.client() as anyone:
                problem(anyone.request(method, url, content="{"), 401, "not_authenticated")
                assert anyone.options(url).status_code == 204
            refused = problem(user.request(method, url, content="{"), 403, "permission_denied")
            assert refused["detail"] == "You do not have permission to perform this action."


def test_the_role_ends_with_the_next_request(cinelog, user):
    """On any worker; the token was issued before."""
    name = user.account["username"]
    for command, status in (("add", 200), ("remove", 403)):
        assert run(cinelog.data_dir, "operator", command, name).returncode == 0
        for _ in range(10):
            with cinelog.client(user.pair["access"]) as client:
                assert client.get("/ops/status/").status_code == status


def test_an_ended_session_may_not_call_it(cinelog, user):
    name = user.account["username"]
    assert run(cinelog.data_dir, "operator", "add", name).returncode == 0
    assert user.delete("/auth/sessions/").status_code == 204
    problem(user.get("/ops/status/"), 401, "token_not_valid")


def test_answers_are_private(operator):
    answer = operator.get("/ops/status")
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in answer.headers["vary"]


# Status and parked movies


def test_the_status_is_that_of_the_command_line(cinelog, operator):
    shown = operator.get("/ops/status/").json()
    printed = cinelog.status()
    assert shown.keys() == printed.keys() | {"job"}
    for part in ("event_store", "read_model", "projection"):
        assert shown[part].keys() == printed[part].keys() | (
            {"mirror_bytes"} if part == "read_model" else set()
        )
    assert shown["event_store"]["state"] == "ok"
    assert (shown["read_model"]["state"], shown["read_model"]["parked"]) == ("live", 1)
    assert shown["projection"] == {"active": True}


def test_the_status_shows_a_rebuild_of_the_command_line(cinelog, operator):
    progress = {"phase": "compare", "done": 3, "total": 9}
    cinelog.redis().set(REBUILD_PROGRESS, json.dumps(progress), px=5000)
    assert eventually(lambda: operator.get("/ops/status/").json()["rebuild"] == progress)
    assert cinelog.status()["rebuild"] == progress
    cinelog.redis().delete(REBUILD_PROGRESS)
    assert eventually(lambda: operator.get("/ops/status/").json()["rebuild"] == {})


def test_parked_movies_are_listed_dropped_and_retried(cinelog, operator):
    changed = cinelog.books.changed
    listed = operator.get("/ops/parked/").json()
    (mark,) = listed["results"]
    printed = json.loads(run(cinelog.data_dir, "parked", "list", "--json").stdout)
    assert [mark | {"id": mark["movie_id"]}] == [one | {"movie_id": one["id"]} for one in printed]
    assert (mark["movie_id"], mark["type"], mark["dropped"]) == (changed, "MovieUpdated", False)
    assert (listed["count"], listed["next"], listed["previous"]) == (1, None, None)
    problem(operator.get("/ops/parked/?page=2"), 404, "not_found")
    again = operator.post(f"/ops/parked/{changed}/retry/").json()
    assert (again["movie_id"], again["parked"]) == (changed, True)
    assert again["error"]
    dropped = operator.post(f"/ops/parked/{changed}/drop/")
    assert (dropped.status_code, dropped.json()) == (200, mark | {"dropped": True})
    assert operator.get("/movies/?search=Alien 0").json()["count"] == 0
    repair_event(cinelog.data_dir / "events.db", changed, version=2)
    retried = operator.post(f"/ops/parked/{changed}/retry/").json()
    assert retried == {"movie_id": changed, "parked": False, "error": None}
    assert operator.get("/ops/parked/").json()["count"] == 0
    for action in ("retry", "drop"):
        problem(operator.post(f"/ops/parked/{changed}/{action}/"), 404, "not_found")


# Jobs


def test_a_rebuild_runs_as_a_job(cinelog, operator):
    """Its outcome is what the command line prints; every worker tells of it."""
    before = operator.get("/ops/status/").json()["read_model"]["generation"]
    answer = operator.post("/ops/rebuild/")
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["location"] == f"{cinelog.url}/api/v1/ops/jobs/{body['id']}/"
    assert (body["kind"], body["state"], body["by"]) == ("rebuild", "running", "opal")
    done = finished(operator, body["id"])
    assert (done["state"], done["ok"], done["error"]) == ("done", True, None)
    assert done["outcome"]["generation"] == before + 1
    printed = json.loads(run(cinelog.data_dir, "rebuild", "--json").stdout)
    assert done["outcome"].keys() == printed.keys()
    assert done["progress"].keys() == {"phase", "done", "total"}
    assert done["started_at"] <= done["finished_at"]
    for _ in range(10):
        with cinelog.client(operator.pair["access"]) as client:
            assert client.get(f"/ops/jobs/{body['id']}/").json() == done
            assert client.get("/ops/status/").json()["job"] == done
    problem(operator.get(f"/ops/jobs/{SOME_ID}/"), 404, "not_found")


def test_a_verification_reports_and_repairs(cinelog, operator):
    movie = str(cinelog.books.ids[3])
    redis = cinelog.redis()
    redis.hset(Keys(int(redis.get("movies:live"))).rows, movie, "x")
    found = finished(operator, started(operator, "verify"))
    assert (found["state"], found["ok"]) == ("done", False)
    assert found["outcome"]["differing"] == {"rows": 1}
    assert found["outcome"]["differences"][0]["field"] == movie
    assert found["outcome"]["repaired"] is False
    repaired = finished(operator, started(operator, "verify", repair=True))
    assert (repaired["ok"], repaired["outcome"]["repaired"]) == (False, True)
    clean = finished(operator, started(operator, "verify", repair=False))
    assert (clean["ok"], clean["outcome"]["differing"]) == (True, {})
    printed = json.loads(run(cinelog.data_dir, "verify", "--json").stdout)
    assert clean["outcome"].keys() == printed.keys()


def test_options_of_a_verification_are_checked(operator):
    for value in (1, "true", None, []):
        answer = operator.post("/ops/verify/", json={"repair": value})
        assert problem(answer, 400, "invalid")["errors"] == {"repair": ["Must be a valid boolean."]}
    problem(operator.post("/ops/verify/", content="x"), 415, "unsupported_media_type")


def stopped_job(cinelog, operator, kind="verify"):
    """Start a job whose process stands still; return its id and the process's."""
    job_id = started(operator, kind)
    (pid,) = eventually(lambda: processes_of(cinelog))
    os.kill(pid, signal.SIGSTOP)
    return job_id, pid


def test_one_job_runs_at_a_time(cinelog, operator):
    """A killed process is told as failed, and makes room for the next job."""
    job_id, pid = stopped_job(cinelog, operator)
    for kind in ("rebuild", "verify"):
        refused = problem(operator.post(f"/ops/{kind}/"), 409, "job_running")
        assert refused["job"] == job_id
    assert job(operator, job_id)["state"] == "running"
    os.kill(pid, signal.SIGKILL)
    failed = finished(operator, job_id)
    assert (failed["state"], failed["error"]) == (
        "failed",
        "Its process has ended with exit code -9.",
    )
    assert finished(operator, started(operator, "verify"))["state"] == "done"


def test_no_rebuild_runs_beside_one_of_the_command_line(cinelog, operator):
    cinelog.redis().set(REBUILDING, "elsewhere:1:x", px=5000)
    assert problem(operator.post("/ops/rebuild/"), 409, "job_running")["job"] is None
    cinelog.redis().delete(REBUILDING)


def test_a_job_ends_with_its_worker(cinelog, operator):
    """It is told as failed once its lease has run out."""
    job_id, pid = stopped_job(cinelog, operator)
    os.kill(parent_of(pid), signal.SIGKILL)
    assert eventually(lambda: pid not in job_processes())

    def failed():
        try:
            return finished(operator, job_id)
        except Exception:  # noqa: BLE001 - the worker is being replaced
            return None

    assert cinelog.redis().pttl("ops:job") <= 30_000
    cinelog.redis().pexpire("ops:job", 100)
    told = eventually(failed)
    assert (told["state"], told["error"]) == ("failed", "Its process has ended without an outcome.")
    assert eventually(lambda: len(cinelog.processes("api_worker")) == 2)
    assert eventually(lambda: finished(operator, started(operator, "verify"))["state"] == "done")


def test_a_job_ends_with_the_service(tmp_path):
    data_dir = tmp_path / "var"
    with Cinelog(data_dir) as service:
        opal = service.account("opal")
        assert run(data_dir, "operator", "add", "opal").returncode == 0
        job_id, pid = stopped_job(service, opal)
        service.stop()
        assert pid not in job_processes()
    with Cinelog(data_dir) as service:
        with service.client() as anyone:
            body = {"username": "opal", "password": PASSWORD}
            token = anyone.post("/auth/token/", json=body).json()["access"]
        told = service.client(token).get(f"/ops/jobs/{job_id}/").json()
        assert (told["state"], told["error"]) == (
            "failed",
            "The API process that started it was stopped.",
        )


# Accounts


def test_accounts_are_listed_in_pages(cinelog, operator, user):
    everything = operator.get("/ops/accounts/", params={"page_size": 100}).json()
    printed = json.loads(run(cinelog.data_dir, "account", "list", "--json").stdout)
    assert everything["results"] == printed
    last = operator.get("/ops/accounts/", params={"page_size": 1, "page": "last"}).json()
    assert last["results"] == printed[-1:]
    assert last["count"] == len(printed)
    assert last["previous"].endswith(f"/ops/accounts/?page_size=1&page={len(printed) - 1}")
    name = user.account["username"]
    named = operator.get("/ops/accounts/", params={"username": name.upper()}).json()
    assert [one["username"] for one in named["results"]] == [name]
    assert operator.get("/ops/accounts/", params={"username": "x"}).json()["results"] == []
    problem(operator.get("/ops/accounts/?page=999"), 404, "not_found")


def test_a_password_link_of_an_operator(cinelog, operator, user):
    """The account's history names the operator."""
    name = user.account["username"]
    answer = operator.post(f"/ops/accounts/{name}/password-link/")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    link = answer.json()
    base, _, token = link["url"].partition("token=")
    assert base == f"{cinelog.url}/#/reset?"
    new = "better-horse-8"
    body = {"token": token, "password": new, "password2": new}
    with cinelog.client() as anyone:
        assert anyone.post("/auth/password/reset/", json=body).status_code == 204
        signed_in = anyone.post("/auth/token/", json={"username": name, "password": new})
    again = cinelog.client(signed_in.json()["access"])
    history = again.get("/auth/me/history/").json()["results"]
    opal = {"id": operator.account["id"], "username": "opal"}
    assert [(one["type"], one["actor"]) for one in history[2:]] == [
        ("PasswordLinkIssued", opal),
        ("PasswordReset", None),
        ("SessionOpened", None),
    ]


def test_an_operator_closes_an_account(cinelog, operator, user):
    name = user.account["username"]
    answer = operator.post(f"/ops/accounts/{name}/close/")
    assert answer.status_code == 200
    assert (answer.json()["username"], answer.json()["closed"]) == (name, True)
    assert operator.post(f"/ops/accounts/{name}/close/").json() == answer.json()
    problem(user.get("/auth/me/"), 401, "token_not_valid")
    until = time.monotonic() + 2.5
    assert eventually(lambda: user.get("/movies/").status_code == 401)
    assert time.monotonic() < until
    problem(operator.post(f"/ops/accounts/{name}/password-link/"), 409, "account_closed")
    with cinelog.client() as anyone:
        body = {"username": name, "password": PASSWORD}
        problem(anyone.post("/auth/token/", json=body), 401, "no_active_account")


@pytest.mark.parametrize("name", ["nobody", "%C3%A9t%C3%A9", "a%2Fb", "x" * 300])
def test_an_unknown_account_is_404(operator, name):
    for action in ("close", "password-link"):
        problem(operator.post(f"/ops/accounts/{name}/{action}/"), 404, "not_found")


def test_a_name_with_signs_and_letters_is_found(cinelog, operator):
    name = "zoë+1@x.org"
    with cinelog.client() as anyone:
        body = {"username": name, "email": "zoe@example.org"}
        body |= {"password": PASSWORD, "password2": PASSWORD}
        assert anyone.post("/auth/register/", json=body).status_code == 201
    assert operator.post(f"/ops/accounts/{name}/password-link/").status_code == 201
    encoded = "zo%C3%AB%2B1%40x.org"
    assert operator.post(f"/ops/accounts/{encoded}/close/").json()["username"] == name
