"""The token endpoints as OAuth clients see them: every refusal has the form of RFC 6749, 5.2."""

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
    """A client without credentials, and an account that it may sign in."""
    return service.client()


def basic(name, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def refused(response, error, status=400):
    """Return an OAuth error, having checked its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    said = response.json()
    assert said.keys() == {"error", "error_description"}
    assert said["error"] == error
    assert said["error_description"].isascii()
    assert not set('"\\') & set(said["error_description"])
    return said


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
def test_refusals_of_forms(anyone, path, fields, error):
    refused(anyone.post(path, data=fields), error)


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
def test_refusals_of_json_with_a_grant(anyone, body, error):
    refused(anyone.post(TOKEN, json=body), error)


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
def test_bodies_that_cannot_be_read(anyone, body, media_type, status):
    headers = {"Content-Type": media_type}
    response = anyone.post(TOKEN, content=body, headers=headers)
    refused(response, "invalid_request", status)
    assert status != 415 or FORM in response.headers["accept"]


def test_parameters_belong_into_the_body(anyone):
    refused(anyone.post(TOKEN, params=PASSWORD_GRANT), "invalid_request")


def test_an_answer_that_is_not_accepted(anyone):
    headers = {"Accept": "text/html"}
    response = anyone.post(TOKEN, data=PASSWORD_GRANT, headers=headers)
    refused(response, "invalid_request", 406)


@pytest.mark.parametrize("path", [TOKEN, REFRESH, REVOKE])
@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"client_id": "cinelog", "client_secret": "s3cret"}, {}),
        ({"client_assertion_type": "urn:x", "client_assertion": "x.y.z"}, {}),
        ({"client_id": "cinelog"}, basic("cinelog", "s3cret")),
        ({"client_id": "cinelog"}, basic("ann", PASSWORD)),
        ({"client_id": "cinelog"}, {"Authorization": "Basic n0t-b4se64!"}),
        ({"client_id": "cinelog"}, {"Authorization": "basic /w=="}),
        ({"client_id": "cinelog"}, {"Authorization": "Basic"}),
    ],
)
def test_a_client_secret_is_refused(anyone, path, fields, headers):
    """Nothing could check it; the metadata says so."""
    fields = {"token": "x", "refresh_token": "x"} | fields
    if path == TOKEN:
        fields |= PASSWORD_GRANT
    response = anyone.post(path, data=fields, headers=headers)
    refused(response, "invalid_client", 401)
    assert response.headers["www-authenticate"].startswith('Basic realm="api", error="invalid_cl')


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {}),
        ({"client_id": "cinelog"}, {}),
        ({"client_id": "my-app", "client_secret": "", "scope": ""}, {}),
        ({"scope": "movies"}, basic("my-app", "")),
        ({}, basic("", "")),
        ({"resource": "x"}, {"Authorization": "Bearer e.x.pired"}),
    ],
)
def test_a_public_client_is_let_in(anyone, fields, headers):
    """Whatever it calls itself; parameters without a value count as left out."""
    response = anyone.post(TOKEN, data=PASSWORD_GRANT | fields, headers=headers)
    assert response.status_code == 200, response.text
    pair = response.json()
    assert pair.keys() >= {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
    assert response.headers["cache-control"] == "no-store"
    renewed = anyone.post(REFRESH, data=REFRESH_GRANT | {"refresh_token": pair["refresh_token"]})
    assert renewed.json()["access_token"]


def test_a_scope_that_is_refused_does_not_use_up_the_token(anyone):
    token = anyone.post(TOKEN, data=PASSWORD_GRANT).json()["refresh_token"]
    asked = REFRESH_GRANT | {"refresh_token": token}
    refused(anyone.post(TOKEN, data=asked | {"scope": "admin"}), "invalid_scope")
    assert anyone.post(TOKEN, data=asked | {"scope": "movies"}).status_code == 200


def test_a_token_that_was_used_up_or_revoked(anyone):
    first = anyone.post(TOKEN, data=PASSWORD_GRANT).json()["refresh_token"]
    asked = {"token": first, "token_type_hint": "whatever", "client_id": "my-app"}
    assert anyone.post(REVOKE, data=asked).json() == {}
    refused(anyone.post(TOKEN, data=REFRESH_GRANT | {"refresh_token": first}), "invalid_grant")
    assert anyone.post(REVOKE, data=asked).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "told", "error"),
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
def test_other_clients_get_a_problem_document_with_the_same_error(anyone, path, body, told, error):
    response = anyone.post(path, json=body)
    assert problem(response, *told)["error"] == error
    assert response.headers["cache-control"] == "no-store"


def test_a_form_without_a_parameter_of_oauth_is_no_oauth(anyone):
    said = problem(
        anyone.post(TOKEN, data={"username": "ann", "password": "x"}), 401, "no_active_account"
    )
    assert said["error"] == "invalid_grant"
    fields = {"Content-Type": FORM}
    twice = anyone.post(TOKEN, content="username=a&username=b&password=x", headers=fields)
    assert problem(twice, 400, "parse_error")["error"] == "invalid_request"


def test_throttled_and_unavailable(tmp_path):
    """The status stays and ``Retry-After`` says when to come again; no client sees a token."""
    with Cinelog(tmp_path / "var", login_rate="2/minute", api_rate="4/minute") as service:
        anyone = service.client()
        statuses = [anyone.post(TOKEN, data=PASSWORD_GRANT).status_code for _ in range(2)]
        assert statuses == [400, 400]
        throttled = anyone.post(TOKEN, data=PASSWORD_GRANT)
        refused(throttled, "temporarily_unavailable", 429)
        assert int(throttled.headers["retry-after"]) > 0
        for path in (TOKEN, REFRESH, REVOKE):
            asked = REFRESH_GRANT | {"refresh_token": "x", "token": "x"}
            answers = [anyone.post(path, data=asked) for _ in range(6)]
            refused(answers[-1], "temporarily_unavailable", 429)
            assert answers[-1].headers["retry-after"]
        plain = anyone.post(REFRESH, json={"refresh": "x"})
        assert problem(plain, 429, "throttled")["error"] == "temporarily_unavailable"


def test_without_redis(tmp_path):
    with (
        running_redis() as (server, url),
        serving(Settings(data_dir=tmp_path / "data", redis_url=url)) as client,
    ):
        register(client, "ann")
        asked = PASSWORD_GRANT | {"password": RIGHT}
        token = client.post(f"{API}/token/", data=asked).json()["refresh_token"]
        server.terminate()
        server.wait(10)
        for fields in (asked, REFRESH_GRANT | {"refresh_token": token}):
            away = client.post(f"{API}/token/", data=fields)
            refused(away, "temporarily_unavailable", 503)
            assert away.headers["retry-after"]
        plain = client.post(f"{API}/token/refresh/", json={"refresh": token})
        assert (plain.status_code, plain.json()["error"]) == (503, "temporarily_unavailable")
