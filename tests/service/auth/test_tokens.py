"""Tokens: a valid one is accepted, every forgery is refused."""

import hmac
import json
import time
from types import SimpleNamespace
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from joserfc.util import urlsafe_b64encode
from sanic.compat import Header

from commands.errors import NotAuthenticatedError, TokenNotValidError
from service.auth import tokens as module
from service.auth.signing_keys import SigningKeys
from service.auth.tokens import Tokens, principal_of
from tests.service.auth.auth_controls import (
    claims_of,
    header_of,
    signed,
    signed_bytes,
    token_pair,
    token_subject,
)


@pytest.fixture
def keys(auth_keys):
    return auth_keys


@pytest.fixture
def tokens(auth_tokens):
    return auth_tokens


def refused(tokens, token):
    with pytest.raises(TokenNotValidError):
        tokens.check(token)
    with pytest.raises(TokenNotValidError):
        tokens.read_refresh(token)
    return True


@pytest.fixture
def subject():
    return token_subject()


@pytest.fixture
def access(tokens, subject):
    return token_pair(tokens, subject)[0]


@pytest.fixture
def refresh(tokens, subject):
    return token_pair(tokens, subject)[1]


def test_an_access_token_has_the_claims_of_rfc_9068(access, subject, keys):
    assert header_of(access) == {"alg": "ES256", "typ": "at+jwt", "kid": next(iter(keys.kids))}
    claims = claims_of(access)
    assert claims.keys() == {
        *("iss", "aud", "sub", "exp", "iat", "jti"),
        *("client_id", "scope", "sid", "username"),
    }
    assert claims["sub"] == str(subject.account_id)
    assert (claims["iss"], claims["aud"]) == ("http://127.0.0.1:8000", "cinelog")
    assert (claims["client_id"], claims["scope"]) == ("cinelog", "movies")
    assert claims["exp"] - claims["iat"] == 300
    assert abs(claims["iat"] - time.time()) < 5


def test_a_refresh_token_has_its_own_type_and_audience(refresh, subject):
    assert header_of(refresh)["typ"] == "rt+jwt"
    claims = claims_of(refresh)
    assert claims["exp"] - claims["iat"] == 86_400
    assert claims["aud"] not in {claims["iss"], "cinelog"}
    assert (claims["sid"], claims["jti"]) == (subject.sid, subject.jti)
    assert "username" not in claims


def test_a_valid_token_names_its_account(tokens, access, refresh, subject):
    principal = tokens.check(access)
    assert principal.account_id == subject.account_id
    assert (principal.username, principal.sid, principal.scope) == ("ann", "s-1", "movies")
    assert principal.expires_at == claims_of(access)["exp"]
    assert tokens.check(access) is principal
    assert tokens.read_refresh(refresh).account_id == subject.account_id


def test_access_and_refresh_tokens_are_not_interchangeable(tokens, access, refresh):
    with pytest.raises(TokenNotValidError):
        tokens.check(refresh)
    with pytest.raises(TokenNotValidError):
        tokens.read_refresh(access)


def test_a_token_with_the_type_of_the_other_kind_is_refused(tokens, keys, access, refresh):
    """Audience and claims differ as well as the type."""
    assert refused(tokens, signed(keys, {"typ": "rt+jwt"}, claims_of(access)))
    assert refused(tokens, signed(keys, {"typ": "at+jwt"}, claims_of(refresh)))


HEADERS = {
    "no type": {"typ": None},
    "another type": {"typ": "JWT"},
    "the long type": {"typ": "application/at+jwt"},
    "no key id": {"kid": None},
    "an unknown key id": {"kid": "unknown"},
    "a key id in a list": {"kid": ["a"]},
    "no algorithm": {"alg": None},
    "another algorithm": {"alg": "ES384"},
    "crit": {"crit": ["exp"], "exp": 1},
    "crit of b64": {"crit": ["b64"], "b64": True},
    "b64": {"b64": True},
    "jku": {"jku": "https://evil.example/jwks.json"},
    "x5u": {"x5u": "https://evil.example/cert.pem"},
    "cty": {"cty": "JWT"},
    "anything else": {"x": 1},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_any_other_header_is_refused(tokens, keys, access, refresh, header):
    """Both kinds of token refuse it, even with a valid signature."""
    assert refused(tokens, signed(keys, {"typ": "at+jwt"} | header, claims_of(access)))
    assert refused(tokens, signed(keys, {"typ": "rt+jwt"} | header, claims_of(refresh)))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_unsigned_tokens_are_refused(tokens, access, alg, signature):
    header = json.dumps(header_of(access) | {"alg": alg}).encode()
    assert refused(
        tokens, f"{urlsafe_b64encode(header).decode()}.{access.split('.')[1]}.{signature}"
    )


def test_a_removed_signature_is_refused(tokens, access):
    assert refused(tokens, access.rpartition(".")[0] + ".")


def test_hmac_with_the_public_key_is_refused(tokens, keys, access):
    """Algorithm confusion: the public key is used as an HMAC secret."""
    public = keys.signing_key().keys[0]
    header = json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": public.kid}).encode()
    signed_part = urlsafe_b64encode(header) + b"." + access.split(".")[1].encode()
    for secret in (
        public.as_pem(private=False),
        public.as_der(private=False),
        json.dumps(public.as_dict(private=False)).encode(),
        json.dumps(keys.public()).encode(),
    ):
        signature = urlsafe_b64encode(hmac.digest(secret, signed_part, "sha256"))
        assert refused(tokens, (signed_part + b"." + signature).decode())


def test_a_token_signed_by_a_foreign_key_is_refused(tokens, keys, access):
    """The token contains our key id, or its own key in the header."""
    foreign = ECKey.generate_key("P-256", auto_kid=True)
    kid = keys.signing_key().keys[0].kid
    header = {"alg": "ES256", "typ": "at+jwt", "kid": kid}
    assert refused(tokens, jwt.encode(header, claims_of(access), foreign))
    with_key = header | {"jwk": foreign.as_dict(private=False)}
    assert refused(tokens, jwt.encode(with_key, claims_of(access), foreign))
    assert refused(tokens, jwt.encode(header | {"kid": foreign.kid}, claims_of(access), foreign))


def test_changed_claims_are_refused(tokens, access):
    head, _, signature = access.split(".")
    claims = json.dumps(claims_of(access) | {"username": "bob"}).encode()
    changed = urlsafe_b64encode(claims).decode()
    assert refused(tokens, f"{head}.{changed}.{signature}")


@pytest.mark.parametrize("zeros", [64, 63, 65, 0])
def test_an_all_zero_signature_is_refused(tokens, access, zeros):
    """CVE-2022-21449: r = s = 0."""
    signature = urlsafe_b64encode(bytes(zeros)).decode()
    assert refused(tokens, f"{access.rpartition('.')[0]}.{signature}")


NOW = int(time.time())
CLAIMS = {
    "another issuer": {"iss": "http://127.0.0.1:8001"},
    "no issuer": {"iss": None},
    "issuer in a list": {"iss": ["http://127.0.0.1:8000"]},
    "another audience": {"aud": "elsewhere"},
    "other audiences": {"aud": ["elsewhere", "nowhere"]},
    "no audience": {"aud": None},
    "expired": {"exp": NOW - 1},
    "expired just now": {"exp": NOW},
    "never expiring": {"exp": None},
    "expiry in text": {"exp": "9999999999"},
    "boolean expiry": {"exp": True},
    "NaN expiry": {"exp": float("nan")},
    "infinite expiry": {"exp": float("inf")},
    "from the future": {"iat": NOW + 86_400},
    "no issue time": {"iat": None},
    "not yet valid": {"nbf": NOW + 86_400},
    "no subject": {"sub": None},
    "a subject that is not an id": {"sub": "ann"},
    "a numeric subject": {"sub": 5},
    "another client": {"client_id": "other"},
    "no client": {"client_id": None},
    "no session": {"sid": None},
    "a numeric session": {"sid": 5},
    "no token id": {"jti": None},
}


@pytest.mark.parametrize("change", CLAIMS.values(), ids=CLAIMS.keys())
def test_invalid_claims_are_refused(tokens, keys, access, refresh, change):
    """Both kinds of token refuse it, even with a valid signature."""
    assert refused(tokens, signed(keys, {"typ": "at+jwt"}, claims_of(access) | change))
    assert refused(tokens, signed(keys, {"typ": "rt+jwt"}, claims_of(refresh) | change))


def test_an_unchanged_forgery_is_accepted(tokens, keys, access, refresh):
    """Each refusal in this module is due to the change."""
    assert tokens.check(signed(keys, {"typ": "at+jwt"}, claims_of(access)))
    assert tokens.read_refresh(signed(keys, {"typ": "rt+jwt"}, claims_of(refresh)))


def test_the_issue_time_may_be_slightly_in_the_future(tokens, keys, access):
    """The tolerance is five seconds and does not apply to expiry."""
    ahead = claims_of(access) | {"iat": int(time.time()) + 4}
    assert tokens.check(signed(keys, {"typ": "at+jwt"}, ahead))


@pytest.mark.parametrize("claims", [[], "text", 5, None])
def test_a_payload_that_is_not_an_object_is_refused(tokens, keys, claims):
    assert refused(tokens, signed_bytes(keys, {"typ": "at+jwt"}, json.dumps(claims).encode()))
    assert refused(tokens, signed_bytes(keys, {"typ": "at+jwt"}, b"\xff" + b"[" * 3000))


def test_a_token_over_8_kib_is_refused_unread(tokens, keys, access):
    """Its signature is valid."""
    big = signed(keys, {"typ": "at+jwt"}, claims_of(access) | {"x": "x" * 8192})
    assert refused(tokens, big)


MALFORMED = ["", ".", "..", "...", "a.b.c", "e30.e30.e30", "bnVsbA.e30.", "W10.e30.", "é.é.é", "\ud800", "\0",
       "W1tbW1tbW1tb" * 40 + ".e30.", "MQ.MQ.MQ", " ", "Bearer x"]  # fmt: skip


@pytest.mark.parametrize("token", MALFORMED)
def test_malformed_tokens_are_refused(tokens, token):
    assert refused(tokens, token)


@pytest.mark.slow
@settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.data())
def test_damaged_tokens_are_refused(tokens, data):
    """Any change at one place raises TokenNotValidError."""
    access, refresh = token_pair(tokens)
    token = data.draw(st.sampled_from([access, refresh]))
    at = data.draw(st.integers(0, len(token) - 1))
    inserted = data.draw(st.one_of(st.characters(), st.sampled_from("ABab019-_.=+/ "), st.just("")))
    drop = data.draw(st.integers(0, 2))
    changed = token[:at] + inserted + token[at + drop :]
    if changed != token:
        assert refused(tokens, changed)


@settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.text(max_size=300))
def test_arbitrary_text_is_refused(tokens, token):
    assert refused(tokens, token)


def test_an_old_key_still_verifies(keys, auth_settings, access):
    """The first key signs; tokens of the previous key stay valid."""
    old = keys.signing_key().keys[0]
    rotated = SigningKeys([ECKey.generate_key("P-256", auto_kid=True), old])
    tokens = Tokens(rotated, auth_settings)
    assert tokens.check(access)
    fresh = {header_of(token_pair(tokens)[0])["kid"] for _ in range(20)}
    assert fresh == {rotated.signing_key().keys[0].kid}
    with pytest.raises(TokenNotValidError):
        Tokens(keys, auth_settings).check(token_pair(tokens)[0])


@pytest.mark.slow
def test_a_cached_token_still_expires(keys, auth_settings):
    tokens = Tokens(keys, auth_settings.model_copy(update={"access_ttl_s": 1}))
    access, _ = token_pair(tokens)
    assert tokens.check(access) is tokens.check(access)
    time.sleep(max(0, claims_of(access)["exp"] - time.time()))
    assert refused(tokens, access)
    assert refused(tokens, access)


def test_the_cache_is_bounded(tokens, monkeypatch):
    """The least recently used tokens leave first."""
    monkeypatch.setattr(module, "CACHED_TOKENS", 2)
    first, second, third = (
        token_pair(tokens, token_subject(account_id=uuid4()))[0] for _ in range(3)
    )
    kept = tokens.check(first)
    gone = tokens.check(second)
    tokens.check(first)
    tokens.check(third)
    assert tokens.check(first) is kept
    assert tokens.check(second) is not gone


def test_a_token_of_another_installation_is_refused(tokens, auth_settings):
    stranger = SigningKeys([ECKey.generate_key("P-256", auto_kid=True)])
    access, refresh = token_pair(Tokens(stranger, auth_settings))
    assert refused(tokens, access)
    assert refused(tokens, refresh)


def request(tokens, *headers):
    ctx = SimpleNamespace(container=SimpleNamespace(tokens=tokens))
    return SimpleNamespace(headers=Header(headers), app=SimpleNamespace(ctx=ctx))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer ", " bearer"])
def test_the_scheme_ignores_case(tokens, access, scheme):
    assert principal_of(request(tokens, ("authorization", f"{scheme} {access}"))).username == "ann"


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "x"])
def test_other_schemes_are_not_credentials(tokens, value):
    with pytest.raises(NotAuthenticatedError):
        principal_of(request(tokens, ("authorization", value)))


def test_a_missing_header_is_not_credentials(tokens):
    with pytest.raises(NotAuthenticatedError):
        principal_of(request(tokens))


@pytest.mark.parametrize("token", ["x", "a b", "null", "undefined", "\x80"])
def test_an_invalid_bearer_token_is_refused(tokens, token):
    with pytest.raises(TokenNotValidError):
        principal_of(request(tokens, ("authorization", f"Bearer {token}")))


def test_no_repr_contains_a_token(tokens, access, refresh):
    """Principals, refresh tokens and errors do not show it."""
    shown = repr(tokens.check(access)) + repr(tokens.read_refresh(refresh)) + repr(tokens)
    assert access not in shown
    assert access.rpartition(".")[2] not in shown
    with pytest.raises(TokenNotValidError) as error:
        tokens.check(access + "x")
    assert access not in repr(error.value)
    assert error.value.__cause__ is None


def test_a_key_without_an_id_gets_its_thumbprint(auth_settings):
    key = ECKey.generate_key("P-256")
    keys = SigningKeys([key])
    assert header_of(token_pair(Tokens(keys, auth_settings))[0])["kid"] == key.thumbprint()
    assert KeySet.import_key_set(keys.public()).keys[0].kid == key.thumbprint()
