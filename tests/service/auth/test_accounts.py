"""Registration, sign-in, refresh, verification and revocation over HTTP."""

import itertools
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx
import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jwt
from joserfc.jwk import KeySet

from service.auth.passwords import Hasher
from service.settings import Settings
from tests.service.auth.auth_controls import claims_of, running_redis, signed
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

REQUIRED = ["This field is required."]
NOT_VALID = {
    "status": 401,
    "code": "token_not_valid",
    "detail": "Given token not valid for any token type",
}
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def auth_client(auth_redis_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("accounts")
    with serving(Settings(data_dir=folder / "data", redis_url=auth_redis_url)) as client:
        yield client


@pytest.fixture
def username(auth_client):
    """The username of a new account."""
    name = f"ann{next(numbers)}"
    assert register(auth_client, name).status_code == 201
    return name


@pytest.fixture
def pair(auth_client, username):
    return sign_in(auth_client, username).json()


def problem(response, **expected):
    assert response.headers["content-type"] == "application/problem+json"
    reply = response.json()
    assert response.status_code == reply["status"]
    assert reply | expected == reply
    return reply


def errors(response):
    return problem(response, status=400, code="invalid")["errors"]


def end_grace(client, token):
    client.container.redis.delete(f"auth:session:{{{claims_of(token)['sid']}}}:successor")


# Registering


def test_an_account_is_registered(auth_client):
    response = register(auth_client, "Zoë.1", email="zoe@example.org", first_name="Zoë")
    assert response.status_code == 201
    reply = response.json()
    assert UUID(reply.pop("id")).version == 7
    assert reply == {
        "username": "Zoë.1",
        "email": "zoe@example.org",
        "first_name": "Zoë",
        "last_name": "",
    }


def test_password1_is_an_alias_of_password(auth_client):
    response = register(auth_client, "other", password=None, password1=PASSWORD)
    assert errors(response) == {"password": ["This field may not be null."]}
    body = {"username": "other", "email": "o@example.org", "password2": PASSWORD}
    response = auth_client.post(f"{API}/register", json=body | {"password1": PASSWORD})
    assert response.status_code == 201
    assert sign_in(auth_client, "other").status_code == 200


def test_all_missing_fields_are_reported_at_once(auth_client):
    reply = errors(auth_client.post(f"{API}/register/", json={}))
    assert reply == dict.fromkeys(("username", "email", "password", "password2"), REQUIRED)


def test_all_errors_of_a_registration_are_reported_at_once(auth_client):
    reply = errors(
        register(auth_client, "a b", email="nobody", password="1234567", password2="other")
    )
    assert reply.keys() == {"username", "email", "password"}
    assert reply["email"] == ["Enter a valid email address."]
    assert reply["password"] == [
        "This password is too short. It must contain at least 8 characters.",
        "This password is entirely numeric.",
        "This password is too common.",
        "Password fields didn't match.",
    ]


def test_passwords_must_match(auth_client):
    reply = errors(register(auth_client, "typist", password2=PASSWORD + "x"))
    assert reply == {"password": ["Password fields didn't match."]}


def test_a_password_similar_to_the_account_is_refused(auth_client):
    reply = errors(register(auth_client, "corecthorse", email="correct.horse@example.org"))
    assert reply["password"] == [
        "The password is too similar to the username.",
        "The password is too similar to the email address.",
    ]


def test_a_password_has_a_maximum_length(auth_client):
    long = "correct horse " * 80
    reply = errors(register(auth_client, "longish", password=long, password2=long))
    assert reply["password"] == ["Ensure this field has no more than 1024 characters."]


def test_a_taken_username_or_address_is_refused(auth_client, username):
    reply = errors(register(auth_client, username.upper(), email=f"{username}@EXAMPLE.org"))
    assert reply == {
        "username": ["A user with that username already exists."],
        "email": ["This field must be unique."],
    }


def test_concurrent_registrations_of_a_username_create_one_account(auth_client):
    with ThreadPoolExecutor(8) as pool:
        mails = [f"race{number}@example.org" for number in range(8)]
        answers = list(pool.map(lambda mail: register(auth_client, "racer", email=mail), mails))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 7


def test_a_password_is_not_stripped(auth_client):
    """Leading and trailing white space is significant."""
    register(auth_client, "spacy", password="  correct horse ", password2="  correct horse ")
    assert sign_in(auth_client, "spacy", "  correct horse ").status_code == 200
    assert sign_in(auth_client, "spacy", "correct horse").status_code == 401


def test_read_only_and_unknown_fields_are_ignored(auth_client):
    given = {"id": "01890000-0000-7000-8000-000000000001", "active": False, "is_staff": True}
    reply = register(auth_client, "massive", **given).json()
    assert reply["id"] != given["id"]
    assert reply.keys() == {"id", "username", "email", "first_name", "last_name"}


# Signing in


@pytest.mark.parametrize("kind", ["json", "data"])
def test_signing_in_returns_a_token_pair(auth_client, username, kind):
    """JSON and form bodies are accepted, and the username ignores case."""
    body = {"username": username.upper(), "password": PASSWORD}
    response = auth_client.post(f"{API}/token/", **{kind: body})
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    reply = response.json()
    assert reply.keys() == {"access", "refresh", "token_type", "expires_in"}
    assert (reply["token_type"], reply["expires_in"]) == ("Bearer", 300)
    assert claims_of(reply["access"])["username"] == username
    assert claims_of(reply["access"])["sid"] == claims_of(reply["refresh"])["sid"]


@pytest.mark.parametrize(
    ("name", "password"), [("nobody", PASSWORD), (None, "wrong horse"), (None, PASSWORD + " ")]
)
def test_a_wrong_username_and_a_wrong_password_get_the_same_error(
    auth_client, username, name, password
):
    problem(
        sign_in(auth_client, name or username, password),
        status=401,
        code="no_active_account",
        detail="No active account found with the given credentials",
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"username": REQUIRED, "password": REQUIRED}),
        ({"username": "ann"}, {"password": REQUIRED}),
        ({"username": "", "password": None}, {"username": ["This field may not be blank."], "password": ["This field may not be null."]}),
        ({"username": ["a"], "password": True}, {"username": ["Not a valid string."], "password": ["Not a valid string."]}),
        ({"username": "a\0", "password": "b\0"}, {"username": ["Null characters are not allowed."], "password": ["Null characters are not allowed."]}),
    ],
)  # fmt: skip
def test_signing_in_requires_username_and_password(auth_client, body, expected):
    assert errors(auth_client.post(f"{API}/token/", json=body)) == expected


def test_a_numeric_username_is_read_as_text(auth_client):
    register(auth_client, "1234", password="  20182018 ", password2="  20182018 ")
    assert sign_in(auth_client, 1234, "  20182018 ").status_code == 200


def test_response_times_do_not_reveal_accounts(auth_client, username):
    """A refusal takes about as long for an unknown username as for a known one."""

    def fastest(name):
        times = []
        for _ in range(8):
            start = time.perf_counter()
            assert sign_in(auth_client, name, "wrong horse").status_code == 401
            times.append(time.perf_counter() - start)
        return min(times)

    # Without the dummy hash for unknown usernames, the ratio is about 0.05.
    assert 0.3 < fastest("nobody") / fastest(username) < 3


# The account


def test_me_returns_the_account_of_the_token(auth_client, username, pair):
    response = me(auth_client, pair["access"])
    assert response.status_code == 200
    reply = response.json()
    assert reply["id"] == claims_of(pair["access"])["sub"]
    assert (reply["username"], reply["email"]) == (username, f"{username}@example.org")
    assert "password" not in response.text


def test_me_requires_credentials(auth_client):
    response = auth_client.get(f"{API}/me/")
    problem(response, status=401, code="not_authenticated")
    assert response.headers["www-authenticate"] == 'Bearer realm="api"'
    assert (
        auth_client.get(f"{API}/me/", auth=("ann", PASSWORD)).json()["code"] == "not_authenticated"
    )


def test_me_refuses_invalid_tokens(auth_client, pair):
    for token in ("x", pair["refresh"], pair["access"] + "x"):
        response = me(auth_client, token)
        problem(response, **NOT_VALID)
        assert response.headers["www-authenticate"] == 'Bearer realm="api", error="invalid_token"'


def test_a_token_of_an_unknown_account_is_refused(auth_client, pair):
    """An operator may replace the event store and keep the signing keys."""
    keys = auth_client.container.tokens.keys
    stranger = claims_of(pair["access"]) | {"sub": "01890000-0000-7000-8000-00000000ffff"}
    problem(me(auth_client, signed(keys, {"typ": "at+jwt"}, stranger)), **NOT_VALID)


# Refreshing


@pytest.mark.parametrize("kind", ["json", "data"])
def test_a_refresh_returns_the_next_token_pair(auth_client, pair, username, kind):
    response = auth_client.post(f"{API}/token/refresh/", **{kind: {"refresh": pair["refresh"]}})
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    reply = response.json()
    assert reply.keys() == {"access", "refresh", "token_type", "expires_in"}
    assert (reply["token_type"], reply["expires_in"]) == ("Bearer", 300)
    assert reply["refresh"] != pair["refresh"]
    assert claims_of(reply["access"])["sid"] == claims_of(pair["access"])["sid"]
    assert me(auth_client, reply["access"]).json()["username"] == username
    assert refresh(auth_client, reply["refresh"]).status_code == 200


def test_a_repeated_refresh_within_the_grace_gets_the_same_response(auth_client, pair):
    first = refresh(auth_client, pair["refresh"]).json()
    assert refresh(auth_client, pair["refresh"]).json() == first


def test_reuse_of_a_refresh_token_ends_the_session(auth_client, pair):
    successor = refresh(auth_client, pair["refresh"]).json()["refresh"]
    end_grace(auth_client, pair["refresh"])
    problem(refresh(auth_client, pair["refresh"]), **NOT_VALID)
    problem(refresh(auth_client, successor), **NOT_VALID)


def test_concurrent_refreshes_get_the_same_successor(auth_client, pair):
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: refresh(auth_client, pair["refresh"]), range(12)))
    assert {answer.status_code for answer in answers} == {200}
    (successor,) = {answer.json()["refresh"] for answer in answers}
    assert refresh(auth_client, successor).status_code == 200


def test_refreshing_requires_a_valid_token(auth_client, pair):
    for body, reply in (({}, REQUIRED), ({"refresh": None}, ["This field may not be null."])):
        response = auth_client.post(f"{API}/token/refresh/", json=body)
        assert errors(response) == {"refresh": reply}
    for token in ("x", pair["access"], pair["refresh"][:-1], "x" * 9000, 7):
        problem(refresh(auth_client, token), **NOT_VALID)


# Verifying and revoking


def test_a_valid_token_is_verified(auth_client, pair):
    response = auth_client.post(f"{API}/token/verify/", json={"token": pair["access"]})
    assert (response.status_code, response.json()) == (200, {})
    assert verify(auth_client, pair["refresh"]) == 200
    assert verify(auth_client, pair["refresh"]) == 200


def test_an_invalid_token_is_not_verified(auth_client, pair):
    response = auth_client.post(f"{API}/token/verify/", json={"token": "x"})
    problem(response, **NOT_VALID)
    successor = refresh(auth_client, pair["refresh"]).json()["refresh"]
    end_grace(auth_client, successor)
    assert verify(auth_client, pair["refresh"]) == 401
    assert verify(auth_client, successor) == 200
    revoke(auth_client, successor)
    assert verify(auth_client, successor) == 401


@pytest.mark.parametrize("kind", ["json", "data"])
@pytest.mark.parametrize("token", ["refresh", "access"])
def test_revoking_ends_the_session(auth_client, pair, kind, token):
    """Either token revokes it; the access token stays valid until it expires."""
    response = auth_client.post(f"{API}/token/revoke/", **{kind: {"token": pair[token]}})
    assert response.status_code == 200
    problem(refresh(auth_client, pair["refresh"]), **NOT_VALID)
    assert me(auth_client, pair["access"]).status_code == 200
    assert revoke(auth_client, pair[token]).status_code == 200


def test_a_used_refresh_token_can_revoke_the_session(auth_client, pair):
    successor = refresh(auth_client, pair["refresh"]).json()["refresh"]
    revoke(auth_client, pair["refresh"])
    problem(refresh(auth_client, successor), **NOT_VALID)


def test_revoking_an_unknown_token_succeeds(auth_client, pair):
    for token in ("x", pair["refresh"] + "x", "x" * 9000):
        assert revoke(auth_client, token).status_code == 200
    assert errors(auth_client.post(f"{API}/token/revoke/", json={})) == {"token": REQUIRED}
    hint = {"token": "x", "token_type_hint": "nonsense"}
    assert auth_client.post(f"{API}/token/revoke/", json=hint).status_code == 200


def test_revoking_leaves_other_sessions_valid(auth_client, username, pair):
    other = sign_in(auth_client, username).json()
    revoke(auth_client, pair["refresh"])
    assert refresh(auth_client, other["refresh"]).status_code == 200


# Public keys and metadata


def test_tokens_verify_with_the_published_keys(auth_client, pair):
    response = auth_client.get("/.well-known/jwks.json")
    assert response.headers["cache-control"].startswith("public")
    published = response.json()
    assert all("d" not in key for key in published["keys"])
    token = jwt.decode(pair["access"], KeySet.import_key_set(published), ["ES256"])
    assert token.claims["aud"] == "cinelog"


def test_the_metadata_is_valid(auth_client):
    """The metadata follow RFC 8414 and contain the issuer of the tokens."""
    reply = auth_client.get("/.well-known/oauth-authorization-server").json()
    AuthorizationServerMetadata(reply).validate()
    assert reply["issuer"] == "http://127.0.0.1:8000"
    assert reply["token_endpoint"] == "http://127.0.0.1:8000/api/v1/auth/token/"
    assert reply["jwks_uri"] == "http://127.0.0.1:8000/.well-known/jwks.json"


def test_oauth_requests_get_oauth_field_names(auth_client, username):
    """A request with a grant type gets the field names of RFC 6749."""
    path = f"{API}/token/"
    form = {"grant_type": "password", "username": username, "password": PASSWORD}
    token = auth_client.post(path, data=form).json()
    assert token.keys() == {
        *("access_token", "refresh_token"),
        *("token_type", "expires_in", "scope"),
    }
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    renewed = auth_client.post(path, data=form | {"client_id": "cinelog"}).json()
    assert renewed.keys() == token.keys()
    assert renewed["refresh_token"] != token["refresh_token"]
    assert me(auth_client, renewed["access_token"]).json()["username"] == username


# Failures and limits


def test_an_http_issuer_may_be_any_host(auth_redis_url, tmp_path):
    """A proxy or a container network may provide TLS."""
    issuer = "http://api.internal:8000"
    settings = Settings(data_dir=tmp_path / "data", redis_url=auth_redis_url, issuer=issuer)
    with serving(settings) as client:
        register(client, "ann")
        pair = sign_in(client, "ann").json()
        assert refresh(client, pair["refresh"]).status_code == 200
        assert me(client, pair["access"]).status_code == 200
        reply = client.get("/.well-known/oauth-authorization-server").json()
        assert reply["issuer"] == claims_of(pair["access"])["iss"] == issuer


def test_without_redis_access_tokens_stay_valid(tmp_path):
    """Signing in and refreshing return 503 with Retry-After."""
    with running_redis() as (server, url):
        settings = Settings(data_dir=tmp_path / "data", redis_url=url)
        with serving(settings) as client:
            register(client, "ann")
            pair = sign_in(client, "ann").json()
            server.terminate()
            server.wait(10)
            assert me(client, pair["access"]).status_code == 200
            assert verify(client, pair["access"]) == 200
            assert register(client, "bob").status_code == 201
            for response in (
                refresh(client, pair["refresh"]),
                sign_in(client, "ann"),
            ):
                problem(response, status=503, code="unavailable")
                assert response.headers["retry-after"]
            problem(sign_in(client, "ann", "wrong horse"), status=401, code="no_active_account")
            assert verify(client, pair["refresh"]) == 503
            assert revoke(client, pair["refresh"]).status_code == 200
            problem(refresh(client, pair["refresh"]), **NOT_VALID)


def test_a_wiped_redis_ends_all_sessions(tmp_path):
    with (
        running_redis() as (_, url),
        serving(Settings(data_dir=tmp_path / "data", redis_url=url)) as client,
    ):
        register(client, "ann")
        pair = sign_in(client, "ann").json()
        client.container.redis.flushall()
        problem(refresh(client, pair["refresh"]), **NOT_VALID)
        assert me(client, pair["access"]).status_code == 200
        assert refresh(client, sign_in(client, "ann").json()["refresh"]).status_code == 200


def test_a_rush_of_logins_does_not_delay_other_requests(auth_redis_url, tmp_path):
    """Logins beyond the account's share of the queue are throttled."""
    settings = Settings(data_dir=tmp_path / "data", redis_url=auth_redis_url)
    with serving(settings, hasher=Hasher(threads=1, waiting=4)) as client:
        register(client, "ann")
        pair = sign_in(client, "ann").json()
        with (
            httpx.Client(base_url=client.base_url, timeout=30) as rush,
            ThreadPoolExecutor(24) as pool,
        ):
            answers = [pool.submit(sign_in, rush, "ann") for _ in range(24)]
            assert refresh(client, pair["refresh"]).status_code == 200
            assert me(client, pair["access"]).status_code == 200
            statuses = [answer.result().status_code for answer in answers]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 2
        assert sign_in(client, "ann").status_code == 200


def test_tokens_stay_valid_after_a_restart(auth_redis_url, tmp_path):
    settings = Settings(data_dir=tmp_path / "data", redis_url=auth_redis_url)
    with serving(settings) as client:
        register(client, "ann")
        pair = sign_in(client, "ann").json()
    with serving(settings) as client:
        assert me(client, pair["access"]).status_code == 200
        assert refresh(client, pair["refresh"]).status_code == 200


def test_no_secret_is_logged(auth_client, caplog):
    """All libraries log at debug level."""
    caplog.set_level(logging.DEBUG)
    secret = "a very secret phrase"
    register(auth_client, "logged", password=secret, password2=secret)
    pair = sign_in(auth_client, "logged", secret).json()
    sign_in(auth_client, "logged", secret + "!")
    renewed = refresh(auth_client, pair["refresh"]).json()
    refresh(auth_client, renewed["refresh"] + "x")
    end_grace(auth_client, pair["refresh"])
    refresh(auth_client, pair["refresh"])
    me(auth_client, pair["access"])
    revoke(auth_client, renewed["refresh"])
    logged = "\n".join(
        record.getMessage() for record in caplog.records if "httpcore" not in record.name
    )
    assert "Issue token TokenResponse(...)" in logged  # the library logs at debug level
    for hidden in (secret, *pair.values(), *renewed.values(), "argon2"):
        if isinstance(hidden, str) and hidden != "Bearer":
            assert hidden not in logged


def test_unreadable_bodies_are_refused(auth_client):
    """Only token, refresh and revoke accept a form."""
    for call in ("register", "token/verify"):
        assert auth_client.post(f"{API}/{call}/", data={"token": "x"}).status_code == 415
    for call in ("register", "token", "token/refresh", "token/verify", "token/revoke"):
        url = f"{API}/{call}/"
        as_json = {"content-type": "application/json"}
        assert auth_client.post(url, content=b"{", headers=as_json).status_code == 400
        assert auth_client.post(url, content=b"[]", headers=as_json).status_code == 400
        surrogate = json.dumps({"username": "\ud800", "password": "x", "token": "\ud800"}).encode()
        assert auth_client.post(url, content=surrogate, headers=as_json).status_code == 400
        assert (
            auth_client.post(url, content=b"x", headers={"content-type": "text/plain"}).status_code
            == 415
        )
    assert auth_client.get(f"{API}/token/").status_code == 405
