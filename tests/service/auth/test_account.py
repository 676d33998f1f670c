"""Accounts over HTTP: password changes, sessions and the account history."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import anyio
import pytest
from argon2 import PasswordHasher

from service.settings import Settings
from tests.controls import new_id
from tests.controls import register as register_command
from tests.service.auth.auth_controls import claims_of, running_redis
from tests.service.auth.auth_server import (
    API,
    PASSWORD,
    me,
    refresh,
    register,
    revoke,
    serving,
    sign_in,
    verify,
)

NEW = "better horse staple"
WRONG = ["Your old password was entered incorrectly. Please enter it again."]
REQUIRED = ["This field is required."]
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def account_client(auth_redis_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("care")
    with serving(Settings(data_dir=folder / "data", redis_url=auth_redis_url)) as client:
        yield client


class Session:
    """A signed-in session with its tokens."""

    def __init__(self, client, username, password=PASSWORD):
        signed_in = sign_in(client, username, password)
        assert signed_in.status_code == 200, signed_in.text
        self.client, self.pair = client, signed_in.json()
        self.sid = claims_of(self.pair["access"])["sid"]
        self.account_id = claims_of(self.pair["access"])["sub"]

    def request(self, method, path, **kwargs):
        headers = {"Authorization": f"Bearer {self.pair['access']}", "X-Request-ID": "care-1"}
        return self.client.request(method, f"{API}/{path}", headers=headers, **kwargs)

    def change_password(self, old=PASSWORD, new=NEW, **overrides):
        body = {"old_password": old, "new_password": new, "new_password2": new} | overrides
        return self.request("POST", "password/", json=body)

    def is_valid(self):
        return verify(self.client, self.pair["refresh"]) == 200

    def refreshes(self):
        answer = refresh(self.client, self.pair["refresh"])
        if answer.status_code == 200:
            self.pair = answer.json()
        return answer.status_code == 200

    def history(self):
        answer = self.request("GET", "me/history/?page_size=100")
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def sessions(self):
        return self.request("GET", "sessions/").json()["results"]


@pytest.fixture
def username(account_client):
    name = f"carla{next(numbers)}"
    assert register(account_client, name).status_code == 201
    return name


@pytest.fixture
def current(account_client, username):
    return Session(account_client, username)


@pytest.fixture
def other(account_client, username, current):
    return Session(account_client, username)


def assert_problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    reply = response.json()
    assert (reply["status"], reply["code"]) == (status, code)
    return reply


def errors(response):
    return assert_problem(response, 400, "invalid")["errors"]


# The password


def test_a_new_password_replaces_the_old_one(account_client, username, current):
    response = current.change_password()
    assert (response.status_code, response.content) == (204, b"")
    assert_problem(sign_in(account_client, username), 401, "no_active_account")
    assert sign_in(account_client, username, NEW).status_code == 200


def test_a_new_password_ends_all_other_sessions(account_client, username, current, other):
    """The session that changes it and later sessions stay valid."""
    assert current.change_password().status_code == 204
    assert not other.is_valid()
    assert not other.refreshes()
    assert current.refreshes()
    assert current.refreshes()
    assert Session(account_client, username, NEW).refreshes()


def test_alternative_field_names_are_accepted(account_client, username, current):
    body = {"current_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    assert current.request("POST", "password", json=body).status_code == 204
    assert sign_in(account_client, username, NEW).status_code == 200


def test_all_errors_of_a_password_change_are_reported_at_once(current, username):
    reply = errors(current.change_password("wrong horse", "1234", new_password2="12345"))
    assert reply == {
        "old_password": WRONG,
        "new_password": [
            "This password is too short. It must contain at least 8 characters.",
            "This password is entirely numeric.",
            "This password is too common.",
            "Password fields didn't match.",
        ],
    }
    assert errors(current.request("POST", "password/", json={})) == dict.fromkeys(
        ("old_password", "new_password", "new_password2"), REQUIRED
    )
    assert errors(current.change_password(new=f"{username}{username[-2:]}"))["new_password"] == [
        "The password is too similar to the username.",
        "The password is too similar to the email address.",
    ]


def test_a_refused_password_change_has_no_effect(account_client, username, current, other):
    for refused_change in (
        current.change_password("wrong horse"),
        current.change_password(new="1234"),
    ):
        errors(refused_change)
    assert other.is_valid()
    assert sign_in(account_client, username).status_code == 200
    assert "PasswordChanged" not in [entry["type"] for entry in current.history()]


def test_one_of_two_concurrent_password_changes_succeeds(account_client, username, current, other):
    """Both requests contain the correct old password."""
    new_passwords = {current: "first new horse", other: "second new horse"}
    with ThreadPoolExecutor(2) as pool:
        answers = dict(
            zip(
                new_passwords,
                pool.map(lambda s: s.change_password(new=new_passwords[s]), new_passwords),
                strict=True,
            )
        )
    assert sorted(answer.status_code for answer in answers.values()) in ([204, 400], [204, 401])
    (winner,) = [session for session, answer in answers.items() if answer.status_code == 204]
    assert sign_in(account_client, username, new_passwords[winner]).status_code == 200


def test_a_password_change_requires_token_and_old_password(current):
    """An access token alone does not suffice."""
    assert errors(current.change_password("guess")) == {"old_password": WRONG}
    body = {"old_password": PASSWORD, "new_password": NEW, "new_password2": NEW}
    assert_problem(current.client.post(f"{API}/password/", json=body), 401, "not_authenticated")


# Sessions


def test_sessions_are_listed_by_latest_activity(current, other):
    """The list contains the sessions of this account only."""
    before = datetime.now(UTC)
    assert other.refreshes()
    response = current.request("GET", "sessions/")
    body = response.json()
    assert (body["count"], body["next"], body["previous"]) == (2, None, None)
    first, second = body["results"]
    assert (first["id"], first["current"]) == (other.sid, False)
    assert (second["id"], second["current"], second["refreshed_at"]) == (current.sid, True, None)
    assert first.keys() == {
        "id", "created_at", "refreshed_at", "expires_at", "device", "current",
    }  # fmt: skip
    assert first["device"] == current.client.headers["User-Agent"]
    at = {name: datetime.fromisoformat(first[name]) for name in first if name.endswith("_at")}
    assert at["created_at"] <= before <= at["refreshed_at"] <= datetime.now(UTC)
    assert 86_390 < (at["expires_at"] - at["refreshed_at"]).total_seconds() <= 86_400
    assert len(first["created_at"]) == len("2026-01-02T12:00:00.000250Z")


def test_sessions_are_paginated(current, other):
    page = current.request("GET", "sessions/?page_size=1").json()
    assert (page["count"], len(page["results"]), page["previous"]) == (2, 1, None)
    last = current.client.get(
        page["next"], headers={"Authorization": f"Bearer {current.pair['access']}"}
    )
    assert [one["id"] for one in last.json()["results"]] == [current.sid]
    assert last.json()["next"] is None
    assert (
        current.request("GET", "sessions/?page=last&page_size=1").json()["results"][0]["id"]
        == current.sid
    )
    assert (
        assert_problem(current.request("GET", "sessions/?page=3"), 404, "not_found")["detail"]
        == "Invalid page."
    )


def test_another_session_of_the_account_can_be_ended(current, other):
    response = current.request("DELETE", f"sessions/{other.sid}/")
    assert (response.status_code, response.content) == (204, b"")
    assert not other.refreshes()
    assert current.is_valid()
    assert [one["id"] for one in current.sessions()] == [current.sid]
    reply = assert_problem(current.request("DELETE", f"sessions/{other.sid}/"), 404, "not_found")
    assert reply["detail"] == "No Session matches the given query."


def test_the_current_session_can_be_ended(current, other):
    assert current.request("DELETE", f"sessions/{current.sid}").status_code == 204
    assert not current.refreshes()
    assert other.refreshes()


def test_a_session_of_another_account_cannot_be_ended(account_client, current):
    stranger = f"eve{next(numbers)}"
    register(account_client, stranger)
    eve = Session(account_client, stranger)
    assert_problem(eve.request("DELETE", f"sessions/{current.sid}/"), 404, "not_found")
    assert current.refreshes()
    assert current.sid not in [one["id"] for one in eve.sessions()]


@pytest.mark.parametrize(
    "sid", ["x", "1.x}:successor", "*", "%00", "..", "%2e%2e", "%0d%0aDEL", "a" * 2000, "é"]
)
def test_an_invalid_session_id_is_404(current, sid):
    """An id in a path addresses no other Redis key."""
    assert_problem(current.request("DELETE", f"sessions/{sid}/"), 404, "not_found")
    assert current.is_valid()


def test_signing_out_everywhere_ends_all_sessions(account_client, username, current, other):
    response = current.request("DELETE", "sessions/")
    assert (response.status_code, response.content) == (204, b"")
    assert not current.refreshes()
    assert not other.refreshes()
    assert Session(account_client, username).refreshes()


def test_an_ended_session_cannot_manage_the_account(current, other):
    """Its access token still reads the account until it expires."""
    current.request("DELETE", f"sessions/{other.sid}/")
    assert me(other.client, other.pair["access"]).status_code == 200
    for answer in (
        other.change_password(),
        other.request("GET", "sessions/"),
        other.request("DELETE", "sessions/"),
        other.request("DELETE", f"sessions/{current.sid}/"),
        other.request("DELETE", f"sessions/{other.sid}/"),
        other.request("GET", "me/history/"),
    ):
        assert_problem(answer, 401, "token_not_valid")
    assert current.is_valid()


@pytest.mark.parametrize("path", ["sessions/", "me/history/"])
def test_sessions_and_account_history_require_credentials(account_client, path):
    assert_problem(account_client.get(f"{API}/{path}"), 401, "not_authenticated")
    assert_problem(account_client.delete(f"{API}/sessions/1.x/"), 401, "not_authenticated")
    assert_problem(account_client.delete(f"{API}/sessions/"), 401, "not_authenticated")


# The account history


def test_the_account_history_contains_every_event(account_client, username, current, other):
    """Each entry has its time, its request and its session."""
    third = Session(account_client, username)
    current.request("DELETE", f"sessions/{other.sid}/")
    first_refresh = third.pair["refresh"]
    assert third.refreshes()
    account_client.container.redis.delete(f"auth:session:{{{third.sid}}}:successor")
    assert_problem(refresh(account_client, first_refresh), 401, "token_not_valid")
    current.change_password()
    entries = [
        (entry["type"], entry["session"], entry["ended_session"]) for entry in current.history()
    ]
    assert entries == [
        ("UserRegistered", None, None),
        ("SessionOpened", current.sid, None),
        ("SessionOpened", other.sid, None),
        ("SessionOpened", third.sid, None),
        ("SessionEnded", current.sid, other.sid),
        ("RefreshTokenReused", third.sid, third.sid),
        ("PasswordChanged", current.sid, None),
    ]
    current.request("DELETE", "sessions/")
    last = Session(account_client, username, NEW)
    assert last.history()[-2]["type"] == "SessionsEnded"
    entry = last.history()[4]
    assert entry.keys() == {
        "version",
        "position",
        "type",
        "at",
        "request_id",
        "session",
        "ended_session",
        "actor",
        "token",
    }
    assert (entry["version"], entry["request_id"]) == (5, "care-1")
    assert abs(datetime.fromisoformat(entry["at"]).timestamp() - time.time()) < 30


def test_the_account_history_contains_no_secret(account_client, username, current, other):
    """No entry contains a hash, a token or an address."""
    current.change_password()
    other.refreshes()
    reply = current.request("GET", "me/history/?page_size=100").text
    for secret in (
        "argon2",
        "password_hash",
        PASSWORD,
        NEW,
        f"{username}@",
        current.pair["refresh"],
    ):
        assert secret not in reply


def test_the_account_history_is_paginated(account_client, username, current, other):
    page = current.request("GET", "me/history/?page_size=2").json()
    assert (page["count"], len(page["results"]), page["previous"]) == (3, 2, None)
    auth = {"Authorization": f"Bearer {current.pair['access']}"}
    rest = account_client.get(page["next"], headers=auth).json()
    assert [entry["version"] for entry in page["results"] + rest["results"]] == [1, 2, 3]
    assert rest["next"] is None
    last = current.request("GET", "me/history/?page=last&page_size=2").json()["results"]
    assert last == rest["results"]
    assert_problem(current.request("GET", "me/history/?page=3"), 404, "not_found")


def test_revoking_a_token_twice_records_one_event(current, other):
    for _ in range(2):
        assert revoke(other.client, other.pair["refresh"]).status_code == 200
    assert [entry["type"] for entry in current.history()].count("SessionEnded") == 1


def test_a_refused_login_is_not_in_the_history(account_client, username, current):
    """A login with a wrong password writes no event."""
    for password in ("wrong horse", "wrong again"):
        sign_in(account_client, username, password)
    assert [entry["type"] for entry in current.history()] == ["UserRegistered", "SessionOpened"]


# The log takes precedence over Redis


ENDS = {
    "end the session": lambda current, other: current.request("DELETE", f"sessions/{other.sid}/"),
    "revoke a token": lambda _, other: revoke(other.client, other.pair["refresh"]),
    "change the password": lambda current, _: current.change_password(),
    "sign out everywhere": lambda current, _: current.request("DELETE", "sessions/"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_sessions_left_in_redis_stay_ended(account_client, current, other, end):
    """Redis may still contain an ended session after a crash or on a stale replica."""
    key, listing = f"auth:session:{{{other.sid}}}", f"auth:account:{other.account_id}"
    remembered = account_client.container.redis.dump(key)
    assert end(current, other).is_success
    account_client.container.redis.restore(key, 60_000, remembered, replace=True)
    account_client.container.redis.zadd(listing, {other.sid: time.time() + 60})
    assert not other.refreshes()
    assert not other.is_valid()
    if current.is_valid():
        assert other.sid not in [one["id"] for one in current.sessions()]


def test_sessions_end_even_without_redis(tmp_path):
    """Password changes and sign-outs take effect because the log records them."""
    with running_redis() as (server, url):
        settings = Settings(data_dir=tmp_path / "data", redis_url=url)
        with serving(settings) as client:
            register(client, "ann")
            current, other = Session(client, "ann"), Session(client, "ann")
            server.terminate()
            server.wait(10)
            assert_problem(current.request("GET", "sessions/"), 503, "unavailable")
            assert_problem(current.request("DELETE", f"sessions/{other.sid}/"), 503, "unavailable")
            assert current.change_password().status_code == 204
            assert_problem(refresh(client, other.pair["refresh"]), 401, "token_not_valid")
            assert_problem(refresh(client, current.pair["refresh"]), 503, "unavailable")
            assert current.request("DELETE", "sessions/").status_code == 204
            assert_problem(refresh(client, current.pair["refresh"]), 401, "token_not_valid")


def test_a_concurrent_password_change_refuses_a_login_with_the_old_password(
    account_client, username, current, monkeypatch
):
    """The password changes after its check and before the append to the log."""
    opened = account_client.container.sessions.open

    def open_after_password_change(*token):
        opened(*token)
        assert current.change_password().status_code == 204

    monkeypatch.setattr(account_client.container.sessions, "open", open_after_password_change)
    assert_problem(sign_in(account_client, username), 401, "no_active_account")
    monkeypatch.undo()
    assert [one["id"] for one in current.sessions()] == [current.sid]


def test_concurrent_logins_are_all_in_the_history(account_client, username, current):
    with ThreadPoolExecutor(6) as pool:
        sids = {
            session.sid
            for session in pool.map(lambda _: Session(account_client, username), range(6))
        }
    assert {entry["session"] for entry in current.history()[1:]} == sids | {current.sid}


def test_a_login_renews_a_hash_with_other_parameters(account_client):
    """The hash is renewed once, and no session ends."""
    name, account = f"carla{next(numbers)}", new_id()
    outdated_hash = PasswordHasher(1, 8, 1).hash(PASSWORD)
    command = register_command(account, username=name, password_hash=outdated_hash)
    anyio.run(_run, account_client.container.executor, command)
    first, second = Session(account_client, name), Session(account_client, name)
    assert account_client.container.store.user(account).password_hash.startswith(
        "$argon2id$v=19$m=19456,t=3,p=1$"
    )
    kinds = [entry["type"] for entry in second.history()]
    assert kinds == ["UserRegistered", "SessionOpened", "PasswordRehashed", "SessionOpened"]
    assert first.refreshes()
    assert first.change_password().status_code == 204


async def _run(executor, command):
    await executor.run(command)


# Account events and movies


def test_account_events_do_not_appear_among_movies(service):
    """Lists, the feed and histories omit them, and the read model skips them."""
    someone = service.account("careful")
    movie = {"title": "Solaris", "genre": "Science Fiction", "year": 1972}
    before = someone.post("/movies/", json=movie)
    body = {"old_password": "correct-horse-7", "new_password": NEW, "new_password2": NEW}
    assert someone.post("/auth/password/", json=body).status_code == 204
    after = someone.post("/movies/", json=movie | {"title": "Stalker"})
    assert someone.delete("/auth/sessions/").status_code == 204
    first, last = (int(one.headers["event-position"]) for one in (before, after))
    assert last - first == 2
    assert "read-model" not in after.headers
    feed = someone.get(f"/events/?after={first}").json()["results"]
    assert [entry["type"] for entry in feed] == ["MovieCreated"]
    history = someone.get(f"/movies/{before.json()['id']}/history/").json()
    assert history["count"] == 1
    listed = someone.get("/movies/?creator__username=careful").json()
    assert [one["title"] for one in listed["results"]] == ["Stalker", "Solaris"]
