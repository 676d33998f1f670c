"""Common OAuth libraries: discovery, both grants, revocation and errors."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from oauthlib.oauth2 import LegacyApplicationClient, OAuth2Error
from requests_oauthlib import OAuth2Session as RequestsSession

from tests.running import PASSWORD, Cinelog, free_port

CLIENTS = Path(__file__).parents[2] / "clients"
AUTHLIB = (OAuth2Client, OAuth2Session)
RIGHT = {"username": "ann", "password": PASSWORD}
REFUSED = [
    (RIGHT | {"password": "x"}, "invalid_grant"),
    (RIGHT | {"scope": "admin"}, "invalid_scope"),
    (RIGHT | {"username": "nobody-at-all"}, "invalid_grant"),
]


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    """A service whose address is the issuer in its tokens and metadata."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("oauth") / "var"
    with Cinelog(folder, port=port, issuer=url, public_url=url) as service:
        service.account("ann")
        yield url


@pytest.fixture(scope="module")
def metadata(issuer):
    """The authorization server metadata."""
    return httpx.get(f"{issuer}/.well-known/oauth-authorization-server").json()


@pytest.fixture(params=AUTHLIB, ids=["httpx", "requests"])
def authlib(request):
    """An Authlib client without a secret."""
    with request.param(client_id="my-app", token_endpoint_auth_method="none") as client:
        yield client


def test_authlib_signs_in_refreshes_and_revokes(authlib, metadata):
    url = metadata["token_endpoint"]
    first = authlib.fetch_token(url, **RIGHT)
    second = authlib.refresh_token(url, refresh_token=first["refresh_token"])
    assert second["access_token"] != first["access_token"]
    me = authlib.get(url.replace("token/", "me/"))
    assert me.json()["username"] == "ann"
    revoked = authlib.revoke_token(
        metadata["revocation_endpoint"], second["refresh_token"], "refresh_token"
    )
    assert revoked.status_code == 200
    with pytest.raises(OAuthError, match="invalid_grant"):
        authlib.refresh_token(url, refresh_token=second["refresh_token"])


@pytest.mark.parametrize(("fields", "error"), REFUSED)
def test_authlib_receives_oauth_errors(authlib, metadata, fields, error):
    with pytest.raises(OAuthError) as refused:
        authlib.fetch_token(metadata["token_endpoint"], **fields)
    assert refused.value.error == error
    assert refused.value.description


@pytest.mark.parametrize("library", AUTHLIB, ids=["httpx", "requests"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_with_a_client_secret_is_refused(library, method, metadata):
    with library("my-app", "s3cret", token_endpoint_auth_method=method) as client:
        with pytest.raises(OAuthError, match="invalid_client"):
            client.fetch_token(metadata["token_endpoint"], **RIGHT)
        revoked = client.revoke_token(metadata["revocation_endpoint"], "x")
        assert (revoked.status_code, revoked.json()["error"]) == (401, "invalid_client")


def test_authlib_with_another_grant_is_refused(authlib, metadata):
    with pytest.raises(OAuthError, match="unsupported_grant_type"):
        authlib.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")


@pytest.fixture
def requests_oauthlib(monkeypatch):
    """A requests-oauthlib client; without the variable it requires TLS."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    with RequestsSession(client=LegacyApplicationClient(client_id="my-app")) as client:
        yield client


def test_requests_oauthlib_signs_in_refreshes_and_revokes(requests_oauthlib, metadata):
    url = metadata["token_endpoint"]
    first = requests_oauthlib.fetch_token(url, **RIGHT)
    second = requests_oauthlib.refresh_token(url, refresh_token=first["refresh_token"])
    assert second["access_token"] != first["access_token"]
    with pytest.raises(OAuth2Error) as refused:
        requests_oauthlib.refresh_token(url, refresh_token="x.y.z")
    assert refused.value.error == "invalid_grant"
    endpoint, headers, body = requests_oauthlib._client.prepare_token_revocation_request(
        metadata["revocation_endpoint"], second["refresh_token"]
    )
    assert httpx.post(endpoint, headers=headers, content=body).status_code == 200


@pytest.mark.parametrize(("fields", "error"), REFUSED)
def test_requests_oauthlib_receives_oauth_errors(requests_oauthlib, metadata, fields, error):
    with pytest.raises(OAuth2Error) as refused:
        requests_oauthlib.fetch_token(metadata["token_endpoint"], **fields)
    assert refused.value.error == error


def test_requests_oauthlib_with_a_client_secret_is_refused(requests_oauthlib, metadata):
    with pytest.raises(OAuth2Error) as refused:
        requests_oauthlib.fetch_token(
            metadata["token_endpoint"], client_id="my-app", client_secret="s3cret", **RIGHT
        )
    assert refused.value.error == "invalid_client"


@pytest.mark.parametrize("library", ["openid-client", "oauth4webapi"])
def test_node_clients_receive_tokens_and_oauth_errors(library, issuer):
    node = shutil.which("node")
    if not node or not (CLIENTS / "node_modules" / library).exists():
        pytest.skip(f"Node.js or {library} is not installed: `make test` requires npm")
    words = [node, CLIENTS / "use_oauth.mjs", issuer, "ann", PASSWORD, library]
    done = subprocess.run(
        words, env=os.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    refused = "ResponseBodyError 400"
    challenged = "WWWAuthenticateChallengeError 401"
    assert json.loads(done.stdout) == {
        "revoke": "done",
        "refresh a revoked token": f"{refused} invalid_grant",
        "wrong password": f"{refused} invalid_grant",
        "scope": f"{refused} invalid_scope",
        "missing": f"{refused} invalid_request",
        "grant": f"{refused} unsupported_grant_type",
        "secret": f"{challenged} invalid_client",
        "revoke with a secret": f"{challenged} invalid_client",
    }
