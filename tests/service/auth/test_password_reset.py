"""Password links over HTTP: one use, one hour, and no word about accounts."""

import itertools
from base64 import urlsafe_b64decode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from commands.execution.group_commit import commit
from commands.messages import CloseAccount, IssuePasswordLink
from service.auth.password_links import new_token, page_url, parse_token
from service.settings import Settings
from tests.controls import new_id
from tests.service.auth.auth_server import API, me, refresh, register, serving, sign_in

NEW = "better horse staple"
WRONG = ["This link is not valid: it was used or replaced, or it has expired."]
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def reset_client(auth_redis_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reset")
    with serving(Settings(data_dir=folder / "data", redis_url=auth_redis_url)) as client:
        yield client


@pytest.fixture
def username(reset_client):
    name = f"carlota{next(numbers)}"
    assert register(reset_client, name).status_code == 201
    return name


def issue(client, username, at=None):
    """Issue a link at a time, and return its token."""
    store = client.container.store
    token = new_token(store.account_id_of(username))
    fields = {"by": token.account_id, "request_id": "link-1", "at": at or datetime.now(UTC)}
    (result,) = commit(store, [IssuePasswordLink(**fields, digest=token.digest)])
    assert result.appended
    return token.text


def reset(client, token, password=NEW, **overrides):
    body = {"token": token, "password": password, "password2": password} | overrides
    return client.post(f"{API}/password/reset/", json=body)


def errors(response):
    assert response.status_code == 400, response.text
    assert response.json()["code"] == "invalid"
    return response.json()["errors"]


def test_a_link_sets_one_new_password(reset_client, username):
    token = issue(reset_client, username)
    done = reset(reset_client, token)
    assert (done.status_code, done.content) == (204, b"")
    assert sign_in(reset_client, username, NEW).status_code == 200
    assert sign_in(reset_client, username).status_code == 401
    assert errors(reset(reset_client, token, "another horse")) == {"token": WRONG}


def test_password1_is_another_name(reset_client, username):
    body = {"token": issue(reset_client, username), "password1": NEW, "password2": NEW}
    assert reset_client.post(f"{API}/password/reset", json=body).status_code == 204


def test_a_link_ends_all_sessions(reset_client, username):
    pair = sign_in(reset_client, username).json()
    assert reset(reset_client, issue(reset_client, username)).status_code == 204
    assert refresh(reset_client, pair["refresh"]).status_code == 401
    listed = reset_client.get(
        f"{API}/sessions/", headers={"Authorization": f"Bearer {pair['access']}"}
    )
    assert listed.status_code == 401


def test_only_one_of_two_uses_at_once_succeeds(reset_client, username):
    token = issue(reset_client, username)
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(lambda new: reset(reset_client, token, new), ("first horse", "second horse"))
        )
    assert sorted(answer.status_code for answer in answers) == [204, 400]


def test_a_refused_request_does_not_use_up_the_link(reset_client, username):
    token = issue(reset_client, username)
    refused = errors(reset(reset_client, token, "1234", password2="12345"))
    assert refused == {
        "password": [
            "This password is too short. It must contain at least 8 characters.",
            "This password is entirely numeric.",
            "This password is too common.",
            "Password fields didn't match.",
        ]
    }
    assert errors(reset(reset_client, token, f"{username}{username[-2:]}")) == {
        "password": [
            "The password is too similar to the username.",
            "The password is too similar to the email address.",
        ]
    }
    assert reset(reset_client, token).status_code == 204


def test_all_errors_are_reported_at_once(reset_client):
    required = ["This field is required."]
    fields = ("token", "password", "password2")
    empty = reset_client.post(f"{API}/password/reset/", json={})
    assert errors(empty) == dict.fromkeys(fields, required)
    assert errors(reset(reset_client, "x", "horse!")).keys() == {"token", "password"}


def test_a_link_expires_after_an_hour(reset_client, username):
    token = issue(reset_client, username, datetime.now(UTC) - timedelta(minutes=61))
    # The store stamps it after the last event of the log, which may be younger.
    account = reset_client.container.store.user(parse_token(token).account_id)
    account.password_link = account.password_link._replace(
        expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    with pytest.raises(Exception, match="not valid"):
        account.check_password_link(parse_token(token).digest, datetime.now(UTC))


def test_a_newer_link_replaces_an_older_one(reset_client, username):
    older, newer = issue(reset_client, username), issue(reset_client, username)
    assert errors(reset(reset_client, older)) == {"token": WRONG}
    assert reset(reset_client, newer).status_code == 204


def test_a_closed_account_gets_the_answer_of_a_wrong_link(reset_client, username):
    token = issue(reset_client, username)
    account = parse_token(token).account_id
    fields = {"by": account, "request_id": "close-1", "at": datetime.now(UTC)}
    commit(reset_client.container.store, [CloseAccount(**fields)])
    assert errors(reset(reset_client, token)) == {"token": WRONG}


def test_tokens_of_others_and_none_are_refused_alike(reset_client, username):
    token = issue(reset_client, username)
    content = urlsafe_b64decode(token)
    changed = content[:-1] + bytes([content[-1] ^ 1])
    wrong = [
        new_token(new_id()).text,
        new_token(parse_token(token).account_id).text,
        urlsafe_b64encode(changed).decode(),
        token[:-1],
        f"{token}x",
        "é" * 64,
        "-" * 64,
        "x",
    ]
    assert [errors(reset(reset_client, one)) for one in wrong] == [{"token": WRONG}] * len(wrong)
    assert reset(reset_client, token).status_code == 204


def test_the_log_does_not_have_the_token(reset_client, username):
    """It has a digest, of 256 random bits."""
    token = issue(reset_client, username)
    account = parse_token(token).account_id
    assert len(urlsafe_b64decode(token)) == 16 + 32
    assert UUID(bytes=urlsafe_b64decode(token)[:16]) == account
    for event in reset_client.container.store.read_stream(account):
        assert token not in str(event)


def test_the_token_stands_in_the_fragment():
    token = new_token(new_id())
    url = page_url("https://movies.example.org", token)
    assert url == f"https://movies.example.org/#/reset?token={token.text}"


def test_an_account_closed_during_a_session(reset_client, username):
    """Its own routes refuse its access token at once; signing in answers as for a wrong password."""
    pair = sign_in(reset_client, username).json()
    store = reset_client.container.store
    fields = {"by": store.account_id_of(username), "request_id": "x", "at": datetime.now(UTC)}
    commit(store, [CloseAccount(**fields)])
    assert me(reset_client, pair["access"]).status_code == 401
    assert refresh(reset_client, pair["refresh"]).status_code == 401
    right, wrong = sign_in(reset_client, username), sign_in(reset_client, username, "wrong horse")
    assert right.status_code == wrong.status_code == 401
    known = ("status", "code", "detail", "title", "error")
    assert [right.json()[key] for key in known] == [wrong.json()[key] for key in known]


def test_signing_in_to_a_closed_account_costs_a_hash(reset_client, username):
    store, hasher = reset_client.container.store, reset_client.container.hasher
    fields = {"by": store.account_id_of(username), "request_id": "x", "at": datetime.now(UTC)}
    commit(store, [CloseAccount(**fields)])
    verified = []
    verify = hasher.verify
    hasher.verify = lambda *args: verified.append(args) or verify(*args)
    try:
        assert sign_in(reset_client, username).status_code == 401
    finally:
        del hasher.verify
    assert len(verified) == 1
