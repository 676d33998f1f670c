"""Account care over HTTP: the password, the sessions, and the trail they leave."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import anyio
import pytest
from argon2 import PasswordHasher

from service.settings import Settings
from tests.controls import new_id
from tests.controls import register as registering
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
def care(auth_redis_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("care")
    with serving(Settings(data_dir=folder / "data", redis_url=auth_redis_url)) as client:
        yield client


class Session:
    """A signed-in session: what it may do, and whether its refresh token still works."""

    def __init__(self, client, username, password=PASSWORD):
        signed_in = sign_in(client, username, password)
        assert signed_in.status_code == 200, signed_in.text
        self.client, self.pair = client, signed_in.json()
        self.sid = claims_of(self.pair["access"])["sid"]
        self.account_id = claims_of(self.pair["access"])["sub"]

    def ask(self, method, path, **kwargs):
        headers = {"Authorization": f"Bearer {self.pair['access']}", "X-Request-ID": "care-1"}
        return self.client.request(method, f"{API}/{path}", headers=headers, **kwargs)

    def change_password(self, old=PASSWORD, new=NEW, **over):
        body = {"old_password": old, "new_password": new, "new_password2": new} | over
        return self.ask("POST", "password/", json=body)

    def lives(self):
        return verify(self.client, self.pair["refresh"]) == 200

    def refreshes(self):
        answer = refresh(self.client, self.pair["refresh"])
        if answer.status_code == 200:
            self.pair = answer.json()
        return answer.status_code == 200

    def history(self):
        answer = self.ask("GET", "me/history/?page_size=100")
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def sessions(self):
        return self.ask("GET", "sessions/").json()["results"]


@pytest.fixture
def username(care):
    name = f"carla{next(numbers)}"
    assert register(care, name).status_code == 201
    return name


@pytest.fixture
def here(care, username):
    return Session(care, username)


@pytest.fixture
def there(care, username, here):
    return Session(care, username)


def refused(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    said = response.json()
    assert (said["status"], said["code"]) == (status, code)
    return said


def errors(response):
    return refused(response, 400, "invalid")["errors"]


# The password


def test_a_new_password_replaces_the_old_one(care, username, here):
    response = here.change_password()
    assert (response.status_code, response.content) == (204, b"")
    refused(sign_in(care, username), 401, "no_active_account")
    assert sign_in(care, username, NEW).status_code == 200


def test_a_new_password_ends_all_other_sessions(care, username, here, there):
    """The one it was set from lives, and so do those opened afterwards."""
    assert here.change_password().status_code == 204
    assert not there.lives()
    assert not there.refreshes()
    assert here.refreshes()
    assert here.refreshes()
    assert Session(care, username, NEW).refreshes()


def test_the_names_other_clients_know(care, username, here):
    body = {"current_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    assert here.ask("POST", "password", json=body).status_code == 204
    assert sign_in(care, username, NEW).status_code == 200


def test_all_errors_of_a_password_change_are_reported_at_once(here, username):
    said = errors(here.change_password("wrong horse", "1234", new_password2="12345"))
    assert said == {
        "old_password": WRONG,
        "new_password": [
            "This password is too short. It must contain at least 8 characters.",
            "This password is entirely numeric.",
            "This password is too common.",
            "Password fields didn't match.",
        ],
    }
    assert errors(here.ask("POST", "password/", json={})) == dict.fromkeys(
        ("old_password", "new_password", "new_password2"), REQUIRED
    )
    assert errors(here.change_password(new=f"{username}{username[-2:]}"))["new_password"] == [
        "The password is too similar to the username.",
        "The password is too similar to the email address.",
    ]


def test_a_refused_change_changes_nothing(care, username, here, there):
    for refused_change in (here.change_password("wrong horse"), here.change_password(new="1234")):
        errors(refused_change)
    assert there.lives()
    assert sign_in(care, username).status_code == 200
    assert "PasswordChanged" not in [entry["type"] for entry in here.history()]


def test_of_two_changes_at_once_one_wins(care, username, here, there):
    """Both gave the right old password; one of them was second."""
    news = {here: "first new horse", there: "second new horse"}
    with ThreadPoolExecutor(2) as pool:
        answers = dict(
            zip(news, pool.map(lambda s: s.change_password(new=news[s]), news), strict=True)
        )
    assert sorted(answer.status_code for answer in answers.values()) in ([204, 400], [204, 401])
    (winner,) = [session for session, answer in answers.items() if answer.status_code == 204]
    assert sign_in(care, username, news[winner]).status_code == 200


def test_a_stolen_access_token_is_not_enough(here):
    """Nor is no token at all."""
    assert errors(here.change_password("guess")) == {"old_password": WRONG}
    body = {"old_password": PASSWORD, "new_password": NEW, "new_password2": NEW}
    refused(here.client.post(f"{API}/password/", json=body), 401, "not_authenticated")


# Sessions


def test_the_sessions_of_an_account(here, there):
    """Whoever was active last comes first; other accounts' are not there."""
    before = datetime.now(UTC)
    assert there.refreshes()
    response = here.ask("GET", "sessions/")
    body = response.json()
    assert (body["count"], body["next"], body["previous"]) == (2, None, None)
    first, second = body["results"]
    assert (first["id"], first["current"]) == (there.sid, False)
    assert (second["id"], second["current"], second["refreshed_at"]) == (here.sid, True, None)
    assert first.keys() == {"id", "created_at", "refreshed_at", "expires_at", "current"}
    at = {name: datetime.fromisoformat(first[name]) for name in first if name.endswith("_at")}
    assert at["created_at"] <= before <= at["refreshed_at"] <= datetime.now(UTC)
    assert 86_390 < (at["expires_at"] - at["refreshed_at"]).total_seconds() <= 86_400
    assert len(first["created_at"]) == len("2026-01-02T12:00:00.000250Z")


def test_sessions_come_in_pages(here, there):
    page = here.ask("GET", "sessions/?page_size=1").json()
    assert (page["count"], len(page["results"]), page["previous"]) == (2, 1, None)
    last = here.client.get(page["next"], headers={"Authorization": f"Bearer {here.pair['access']}"})
    assert [one["id"] for one in last.json()["results"]] == [here.sid]
    assert last.json()["next"] is None
    assert here.ask("GET", "sessions/?page=last&page_size=1").json()["results"][0]["id"] == here.sid
    assert (
        refused(here.ask("GET", "sessions/?page=3"), 404, "not_found")["detail"] == "Invalid page."
    )


def test_ending_another_session(here, there):
    response = here.ask("DELETE", f"sessions/{there.sid}/")
    assert (response.status_code, response.content) == (204, b"")
    assert not there.refreshes()
    assert here.lives()
    assert [one["id"] for one in here.sessions()] == [here.sid]
    said = refused(here.ask("DELETE", f"sessions/{there.sid}/"), 404, "not_found")
    assert said["detail"] == "No Session matches the given query."


def test_ending_the_own_session(here, there):
    assert here.ask("DELETE", f"sessions/{here.sid}").status_code == 204
    assert not here.refreshes()
    assert there.refreshes()


def test_sessions_of_others_cannot_be_ended(care, here):
    stranger = f"eve{next(numbers)}"
    register(care, stranger)
    eve = Session(care, stranger)
    refused(eve.ask("DELETE", f"sessions/{here.sid}/"), 404, "not_found")
    assert here.refreshes()
    assert here.sid not in [one["id"] for one in eve.sessions()]


@pytest.mark.parametrize(
    "sid", ["x", "1.x}:successor", "*", "%00", "..", "%2e%2e", "%0d%0aDEL", "a" * 2000, "é"]
)
def test_a_session_that_cannot_be(here, sid):
    """An id in a path reaches no other key."""
    refused(here.ask("DELETE", f"sessions/{sid}/"), 404, "not_found")
    assert here.lives()


def test_signing_out_everywhere(care, username, here, there):
    response = here.ask("DELETE", "sessions/")
    assert (response.status_code, response.content) == (204, b"")
    assert not here.refreshes()
    assert not there.refreshes()
    assert Session(care, username).refreshes()


def test_an_ended_session_cannot_touch_the_account(here, there):
    """Its access token lives out its minutes, but not for this."""
    here.ask("DELETE", f"sessions/{there.sid}/")
    assert me(there.client, there.pair["access"]).status_code == 200
    for answer in (
        there.change_password(),
        there.ask("GET", "sessions/"),
        there.ask("DELETE", "sessions/"),
        there.ask("DELETE", f"sessions/{here.sid}/"),
        there.ask("DELETE", f"sessions/{there.sid}/"),
        there.ask("GET", "me/history/"),
    ):
        refused(answer, 401, "token_not_valid")
    assert here.lives()


@pytest.mark.parametrize("path", ["sessions/", "me/history/"])
def test_without_credentials(care, path):
    refused(care.get(f"{API}/{path}"), 401, "not_authenticated")
    refused(care.delete(f"{API}/sessions/1.x/"), 401, "not_authenticated")
    refused(care.delete(f"{API}/sessions/"), 401, "not_authenticated")


# The trail


def test_the_trail_of_an_account(care, username, here, there):
    """Every event with its time, its request and the session it came from."""
    third = Session(care, username)
    here.ask("DELETE", f"sessions/{there.sid}/")
    first_refresh = third.pair["refresh"]
    assert third.refreshes()
    care.parts.redis.delete(f"auth:session:{{{third.sid}}}:successor")
    refused(refresh(care, first_refresh), 401, "token_not_valid")
    here.change_password()
    trail = [(entry["type"], entry["session"], entry["ended_session"]) for entry in here.history()]
    assert trail == [
        ("UserRegistered", None, None),
        ("SessionOpened", here.sid, None),
        ("SessionOpened", there.sid, None),
        ("SessionOpened", third.sid, None),
        ("SessionEnded", here.sid, there.sid),
        ("RefreshTokenReused", third.sid, third.sid),
        ("PasswordChanged", here.sid, None),
    ]
    here.ask("DELETE", "sessions/")
    last = Session(care, username, NEW)
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
    }
    assert (entry["version"], entry["request_id"]) == (5, "care-1")
    assert abs(datetime.fromisoformat(entry["at"]).timestamp() - time.time()) < 30


def test_the_account_history_contains_no_secret(care, username, here, there):
    """No hash, no token, no address, whatever happened."""
    here.change_password()
    there.refreshes()
    said = here.ask("GET", "me/history/?page_size=100").text
    for secret in ("argon2", "password_hash", PASSWORD, NEW, f"{username}@", here.pair["refresh"]):
        assert secret not in said


def test_the_trail_comes_in_pages(care, username, here, there):
    page = here.ask("GET", "me/history/?page_size=2").json()
    assert (page["count"], len(page["results"]), page["previous"]) == (3, 2, None)
    auth = {"Authorization": f"Bearer {here.pair['access']}"}
    rest = care.get(page["next"], headers=auth).json()
    assert [entry["version"] for entry in page["results"] + rest["results"]] == [1, 2, 3]
    assert rest["next"] is None
    last = here.ask("GET", "me/history/?page=last&page_size=2").json()["results"]
    assert last == rest["results"]
    refused(here.ask("GET", "me/history/?page=3"), 404, "not_found")


def test_revoking_a_token_leaves_its_trail_once(here, there):
    for _ in range(2):
        assert revoke(there.client, there.pair["refresh"]).status_code == 200
    assert [entry["type"] for entry in here.history()].count("SessionEnded") == 1


def test_a_refused_login_is_not_in_the_history(care, username, here):
    """Who knows no password writes nothing."""
    for password in ("wrong horse", "wrong again"):
        sign_in(care, username, password)
    assert [entry["type"] for entry in here.history()] == ["UserRegistered", "SessionOpened"]


# What the log says holds, whatever becomes of Redis


ENDS = {
    "ending it": lambda here, there: here.ask("DELETE", f"sessions/{there.sid}/"),
    "revoking": lambda _, there: revoke(there.client, there.pair["refresh"]),
    "a new password": lambda here, _: here.change_password(),
    "signing out": lambda here, _: here.ask("DELETE", "sessions/"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_sessions_left_in_redis_stay_ended(care, here, there, end):
    """As after a crash between the event and Redis, or a replica that had not heard of it."""
    key, listing = f"auth:session:{{{there.sid}}}", f"auth:account:{there.account_id}"
    remembered = care.parts.redis.dump(key)
    assert end(here, there).is_success
    care.parts.redis.restore(key, 60_000, remembered, replace=True)
    care.parts.redis.zadd(listing, {there.sid: time.time() + 60})
    assert not there.refreshes()
    assert not there.lives()
    if here.lives():
        assert there.sid not in [one["id"] for one in here.sessions()]


def test_without_redis_sessions_end_all_the_same(tmp_path):
    """A changed password and signing out hold, for they stand in the log."""
    with running_redis() as (server, url):
        settings = Settings(data_dir=tmp_path / "data", redis_url=url)
        with serving(settings) as client:
            register(client, "ann")
            here, there = Session(client, "ann"), Session(client, "ann")
            server.terminate()
            server.wait(10)
            refused(here.ask("GET", "sessions/"), 503, "unavailable")
            refused(here.ask("DELETE", f"sessions/{there.sid}/"), 503, "unavailable")
            assert here.change_password().status_code == 204
            refused(refresh(client, there.pair["refresh"]), 401, "token_not_valid")
            refused(refresh(client, here.pair["refresh"]), 503, "unavailable")
            assert here.ask("DELETE", "sessions/").status_code == 204
            refused(refresh(client, here.pair["refresh"]), 401, "token_not_valid")


def test_a_log_in_under_way_with_the_old_password_gets_no_tokens(care, username, here, monkeypatch):
    """The password changes between its check and the log."""
    opened = care.parts.sessions.open

    def meanwhile(token):
        opened(token)
        assert here.change_password().status_code == 204

    monkeypatch.setattr(care.parts.sessions, "open", meanwhile)
    refused(sign_in(care, username), 401, "no_active_account")
    monkeypatch.undo()
    assert [one["id"] for one in here.sessions()] == [here.sid]


def test_many_log_ins_at_once_are_all_in_the_trail(care, username, here):
    with ThreadPoolExecutor(6) as pool:
        sids = {session.sid for session in pool.map(lambda _: Session(care, username), range(6))}
    assert {entry["session"] for entry in here.history()[1:]} == sids | {here.sid}


def test_a_hash_of_other_costs_is_renewed_at_log_in(care):
    """Once, and no session ends by it."""
    name, account = f"carla{next(numbers)}", new_id()
    weak = PasswordHasher(1, 8, 1).hash(PASSWORD)
    command = registering(account, username=name, password_hash=weak)
    anyio.run(_run, care.parts.executor, command)
    first, second = Session(care, name), Session(care, name)
    assert care.parts.store.user(account).password_hash.startswith(
        "$argon2id$v=19$m=19456,t=3,p=1$"
    )
    kinds = [entry["type"] for entry in second.history()]
    assert kinds == ["UserRegistered", "SessionOpened", "PasswordRehashed", "SessionOpened"]
    assert first.refreshes()
    assert first.change_password().status_code == 204


async def _run(executor, command):
    await executor.run(command)


# The rest of the service


def test_movies_know_nothing_of_accounts_events(service):
    """No list, no feed and no history shows one, and the read model passes over them."""
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
