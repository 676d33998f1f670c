"""The token endpoints for OAuth clients: refusals have the form of RFC 6749, 5.2."""

import base64

import pytest

from service.settings import Settings
from tests.running import PASSWORD, Cinelog, problem
from tests.service.auth.auth_controls import running_redis
from tests.service.auth.auth_server import API, register, serving
from tests.service.auth.auth_server import PASSWORD as RIGHT

TOKEN, REFRESH, REVOKE = "/auth/token/", "/auth/token/refresh/", "/auth/token/revoke/"
PASSWORD_GRANT = {"grant_type": "password", "username": "ann", "password": PASSWORD}
REFRESH_GRANT = {"grant_type": "refresh_token"}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def anyone(service, ann):
    """A client without credentials; the account ann exists."""
    return service.client()


def basic_auth(name, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def assert_refused(response, error, status=400):
    """Check the form of an OAuth error and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    body = response.json()
    assert body.keys() == {"error", "error_description"}
    assert body["error"] == error
    assert body["error_description"].isascii()
    assert not set('"\\') & set(body["error_description"])
    return body


@pytest.mark.parametrize(
    ("path", "fields", "error"),
    [
        (TOKEN, PASSWORD_GRANT | {"password": "wrong-horse-7"}, "invalid_grant"),
        (TOKEN, PASSWORD_GRANT | {"username": "nobody-at-all"}, "invalid_grant"),
        (TOKEN, PASSWORD_GRANT | {"scope": "movies admin"}, "invalid_scope"),
        (TOKEN, PASSWORD_GRANT | {"scope": "ümlaut"}, "invalid_scope"),
        (TOKEN, PASSWORD_GRANT | {"username": ""}, "invalid_request"),
        (TOKEN, PASSWORD_GRANT | {"password": ""}, "invalid_request"),
        (TOKEN, PASSWORD_GRANT | {"username": "x" * 2000}, "invalid_request"),
        (TOKEN, {"grant_type": "password"}, "invalid_request"),
        (TOKEN, {"grant_type": ""}, "invalid_request"),
        (TOKEN, {"grant_type": "client_credentials"}, "unsupported_grant_type"),
        (TOKEN, {"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        (TOKEN, {"grant_type": "Password"}, "unsupported_grant_type"),
        (TOKEN, {"grant_type": 'pass"wörd\\'}, "unsupported_grant_type"),
        (TOKEN, REFRESH_GRANT, "invalid_request"),
        (TOKEN, REFRESH_GRANT | {"refresh_token": ""}, "invalid_request"),
        (TOKEN, REFRESH_GRANT | {"refresh_token": "x.y.z"}, "invalid_grant"),
        (TOKEN, {"client_id": "cinelog", "username": "ann", "password": "x"}, "invalid_request"),
        (TOKEN, {"scope": "movies"}, "invalid_request"),
        (REFRESH, REFRESH_GRANT | {"refresh_token": "x.y.z"}, "invalid_grant"),
        (REFRESH, PASSWORD_GRANT, "unsupported_grant_type"),
        (REFRESH, {"client_id": "cinelog", "refresh": "x.y.z"}, "invalid_grant"),
        (REVOKE, {"token_type_hint": "refresh_token"}, "invalid_request"),
        (REVOKE, {"client_id": "cinelog", "token": ""}, "invalid_request"),
    ],
)
def test_form_errors(anyone, path, fields, error):
    assert_refused(anyone.post(path, data=fields), error)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (PASSWORD_GRANT | {"password": "wrong-horse-7"}, "invalid_grant"),
        (PASSWORD_GRANT | {"scope": ["movies"]}, "invalid_request"),
        (PASSWORD_GRANT | {"password": None}, "invalid_request"),
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": ["password"]}, "invalid_request"),
        ({"grant_type": 7}, "invalid_request"),
    ],
)
def test_errors_of_json_with_a_grant(anyone, body, error):
    assert_refused(anyone.post(TOKEN, json=body), error)


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        ("grant_type=password&grant_type=password&username=ann&password=x", FORM, 400),
        ("grant_type=password&username=ann&password=x&password=y", FORM, 400),
        ("grant_type=password&username=%FF&password=x", FORM, 400),
        ("grant_type=password" + "&a=" * 200, FORM, 400),
        ('{"grant_type": "password", ', "application/json", 400),
        ("grant_type=password&username=ann&password=x", "text/plain", 415),
        ("grant_type=password&username=ann&password=x", "multipart/form-data; boundary=x", 415),
    ],
)
def test_unreadable_bodies_are_refused(anyone, body, media_type, status):
    headers = {"Content-Type": media_type}
    response = anyone.post(TOKEN, content=body, headers=headers)
    assert_refused(response, "invalid_request", status)
    assert status != 415 or FORM in response.headers["accept"]


def test_query_parameters_are_refused(anyone):
    assert_refused(anyone.post(TOKEN, params=PASSWORD_GRANT), "invalid_request")


def test_an_unacceptable_media_type_is_406(anyone):
    headers = {"Accept": "text/html"}
    response = anyone.post(TOKEN, data=PASSWORD_GRANT, headers=headers)
    assert_refused(response, "invalid_request", 406)


@pytest.mark.parametrize("path", [TOKEN, REFRESH, REVOKE])
@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"client_id": "cinelog", "client_secret": "s3cret"}, {}),
        ({"client_assertion_type": "urn:x", "client_assertion": "x.y.z"}, {}),
        ({"client_id": "cinelog"}, basic_auth("cinelog", "s3cret")),
        ({"client_id": "cinelog"}, basic_auth("ann", PASSWORD)),
        ({"client_id": "cinelog"}, {"Authorization": "Basic n0t-b4se64!"}),
        ({"client_id": "cinelog"}, {"Authorization": "basic /w=="}),
        ({"client_id": "cinelog"}, {"Authorization": "Basic"}),
    ],
)
def test_a_client_secret_is_refused(anyone, path, fields, headers):
    """The server stores no client secrets; its metadata says so."""
    fields = {"token": "x", "refresh_token": "x"} | fields
    if path == TOKEN:
        fields |= PASSWORD_GRANT
    response = anyone.post(path, data=fields, headers=headers)
    assert_refused(response, "invalid_client", 401)
    assert response.headers["www-authenticate"].startswith('Basic realm="api", error="invalid_cl')


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {}),
        ({"client_id": "cinelog"}, {}),
        ({"client_id": "my-app", "client_secret": "", "scope": ""}, {}),
        ({"scope": "movies"}, basic_auth("my-app", "")),
        ({}, basic_auth("", "")),
        ({"resource": "x"}, {"Authorization": "Bearer e.x.pired"}),
    ],
)
def test_a_public_client_is_accepted(anyone, fields, headers):
    """Any client id is accepted; empty parameters count as omitted."""
    response = anyone.post(TOKEN, data=PASSWORD_GRANT | fields, headers=headers)
    assert response.status_code == 200, response.text
    pair = response.json()
    assert pair.keys() >= {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
    assert response.headers["cache-control"] == "no-store"
    renewed = anyone.post(REFRESH, data=REFRESH_GRANT | {"refresh_token": pair["refresh_token"]})
    assert renewed.json()["access_token"]


def test_a_refused_scope_does_not_consume_the_token(anyone):
    token = anyone.post(TOKEN, data=PASSWORD_GRANT).json()["refresh_token"]
    fields = REFRESH_GRANT | {"refresh_token": token}
    assert_refused(anyone.post(TOKEN, data=fields | {"scope": "admin"}), "invalid_scope")
    assert anyone.post(TOKEN, data=fields | {"scope": "movies"}).status_code == 200


def test_a_revoked_token_is_refused(anyone):
    first = anyone.post(TOKEN, data=PASSWORD_GRANT).json()["refresh_token"]
    fields = {"token": first, "token_type_hint": "whatever", "client_id": "my-app"}
    assert anyone.post(REVOKE, data=fields).json() == {}
    assert_refused(
        anyone.post(TOKEN, data=REFRESH_GRANT | {"refresh_token": first}), "invalid_grant"
    )
    assert anyone.post(REVOKE, data=fields).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "expected", "error"),
    [
        (TOKEN, {"username": "ann", "password": "x"}, (401, "no_active_account"), "invalid_grant"),
        (TOKEN, {"username": "ann"}, (400, "invalid"), "invalid_request"),
        (TOKEN, {"client_id": "x", "scope": 7}, (400, "invalid"), "invalid_request"),
        (TOKEN, [], (400, "invalid"), "invalid_request"),
        (REFRESH, {"refresh": "x.y.z"}, (401, "token_not_valid"), "invalid_grant"),
        (REFRESH, {}, (400, "invalid"), "invalid_request"),
        (REVOKE, {}, (400, "invalid"), "invalid_request"),
    ],
)
def test_other_clients_get_a_problem_document_with_the_same_error(
    anyone, path, body, expected, error
):
    response = anyone.post(path, json=body)
    assert problem(response, *expected)["error"] == error
    assert response.headers["cache-control"] == "no-store"


def test_a_form_without_oauth_parameters_gets_problem_documents(anyone):
    body = problem(
        anyone.post(TOKEN, data={"username": "ann", "password": "x"}), 401, "no_active_account"
    )
    assert body["error"] == "invalid_grant"
    fields = {"Content-Type": FORM}
    twice = anyone.post(TOKEN, content="username=a&username=b&password=x", headers=fields)
    assert problem(twice, 400, "parse_error")["error"] == "invalid_request"


def test_throttled_and_unavailable(tmp_path):
    """The status is kept, ``Retry-After`` is set, and no token is issued."""
    with Cinelog(tmp_path / "var", login_rate="2/minute", api_rate="4/minute") as service:
        anyone = service.client()
        statuses = [anyone.post(TOKEN, data=PASSWORD_GRANT).status_code for _ in range(2)]
        assert statuses == [400, 400]
        throttled = anyone.post(TOKEN, data=PASSWORD_GRANT)
        assert_refused(throttled, "temporarily_unavailable", 429)
        assert int(throttled.headers["retry-after"]) > 0
        for path in (TOKEN, REFRESH, REVOKE):
            fields = REFRESH_GRANT | {"refresh_token": "x", "token": "x"}
            answers = [anyone.post(path, data=fields) for _ in range(6)]
            assert_refused(answers[-1], "temporarily_unavailable", 429)
            assert answers[-1].headers["retry-after"]
        plain = anyone.post(REFRESH, json={"refresh": "x"})
        assert problem(plain, 429, "throttled")["error"] == "temporarily_unavailable"


def test_without_redis_tokens_are_unavailable(tmp_path):
    with (
        running_redis() as (server, url),
        serving(Settings(data_dir=tmp_path / "data", redis_url=url)) as client,
    ):
        register(client, "ann")
        grant = PASSWORD_GRANT | {"password": RIGHT}
        token = client.post(f"{API}/token/", data=grant).json()["refresh_token"]
        server.terminate()
        server.wait(10)
        for fields in (grant, REFRESH_GRANT | {"refresh_token": token}):
            unavailable = client.post(f"{API}/token/", data=fields)
            assert_refused(unavailable, "temporarily_unavailable", 503)
            assert unavailable.headers["retry-after"]
        plain = client.post(f"{API}/token/refresh/", json={"refresh": token})
        assert (plain.status_code, plain.json()["error"]) == (503, "temporarily_unavailable")
