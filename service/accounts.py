"""The routes of accounts and tokens: ``/auth/*`` and ``/.well-known/*``."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import uuid_utils.compat
from pydantic import SecretStr
from sanic import Blueprint, Request

from commands.messages import RegisterUser
from commands.user import User
from service import account_care, shapes, trail
from service.authorization import server_metadata
from service.bodies import FORM, read_body
from service.credentials import Credentials, Presented, Refreshing, read_registration
from service.grants import Answer
from service.links import API
from service.parts import parts_of
from service.requests import CinelogRequest
from service.responses import HTTPResponse

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_PUBLIC = {"Cache-Control": "public, max-age=300"}

auth = Blueprint("auth", url_prefix=f"{API}/auth")
well_known = Blueprint("well_known", url_prefix="/.well-known")
blueprint = Blueprint.group(auth, account_care.blueprint, well_known)


@auth.post("/register/", name="register", ctx_open=True)
async def register(request: CinelogRequest) -> HTTPResponse:
    """Open an account."""
    parts = parts_of(request)
    await parts.limits.register(request)
    registration = read_registration(read_body(request))
    command = RegisterUser(
        by=uuid_utils.compat.uuid7(),
        request_id=request.request_id,
        at=datetime.now(UTC),
        username=registration.username,
        email=registration.email,
        first_name=registration.first_name,
        last_name=registration.last_name,
        password_hash=SecretStr(await parts.hasher.hash(registration.password)),
    )
    receipt = await parts.executor.run(command)
    assert isinstance(receipt.about, User)  # noqa: S101 - what registering is about
    return _answer(_account(receipt.about), status=201)


@auth.post("/token/", name="sign_in", ctx_open=True)
async def obtain(request: CinelogRequest) -> HTTPResponse:
    """Sign in: a first pair of tokens. An OAuth client may name a grant, and refresh here too."""
    parts = parts_of(request)
    body = read_body(request, also=FORM)
    if body.get("grant_type") == "refresh_token":
        await parts.limits.refresh(request)
        answer = await trail.refresh(request, Refreshing.of(body).refresh)
    else:
        given = Credentials.of(body)
        await parts.limits.sign_in(request, given.username)
        answer = await trail.sign_in(request, given.username, given.password)
    return _pair(answer, standard="grant_type" in body)


@auth.post("/token/refresh/", name="refresh", ctx_open=True)
async def renew(request: CinelogRequest) -> HTTPResponse:
    """Exchange a refresh token for the next pair."""
    token = Refreshing.of(read_body(request, also=FORM)).refresh
    return _pair(await trail.refresh(request, token))


@auth.post("/token/verify/", name="verify", ctx_open=True)
async def verify(request: CinelogRequest) -> HTTPResponse:
    """Tell whether a token would be accepted."""
    parts = parts_of(request)
    token = Presented.of(read_body(request)).token
    await parts.threads.run(parts.authorization.verify, token)
    return _answer({})


@auth.post("/token/revoke/", name="revoke", ctx_open=True)
async def revoke(request: CinelogRequest) -> HTTPResponse:
    """End the session of a token (RFC 7009); an unknown one is as good as revoked."""
    await trail.revoke(request, Presented.of(read_body(request, also=FORM)).token)
    return _answer({})


@auth.get("/me/", name="me")
async def me(request: CinelogRequest) -> HTTPResponse:
    """Answer the caller's account."""
    principal = request.principal
    parts = parts_of(request)
    account = await parts.threads.run(parts.authorization.account, principal.account_id)
    return _answer(_account(account), headers={})


@well_known.get("/jwks.json", name="jwks", ctx_open=True)
async def show_keys(request: Request) -> HTTPResponse:
    """Answer the keys that verify our tokens (RFC 7517)."""
    return _answer(parts_of(request).tokens.keys.public(), headers=_PUBLIC)


@well_known.get("/oauth-authorization-server", name="metadata", ctx_open=True)
async def show_metadata(request: Request) -> HTTPResponse:
    """Answer what an OAuth client may want to know (RFC 8414)."""
    return _answer(server_metadata(parts_of(request).settings, API), headers=_PUBLIC)


def _account(user: User) -> shapes.Account:
    return {
        "id": str(user.id),
        "username": user.username,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
    }


def _pair(answer: Answer, *, standard: bool = False) -> HTTPResponse:
    """Answer a pair of tokens, under the names of RFC 6749 for a client that speaks it."""
    if standard:
        return _answer(dict(answer))
    pair: shapes.TokenPair = {
        "access": answer["access_token"],
        "refresh": answer["refresh_token"],
        "token_type": answer["token_type"],
        "expires_in": answer["expires_in"],
    }
    return _answer(pair)


def _answer(
    body: Mapping[str, Any], *, status: int = 200, headers: dict[str, str] | None = None
) -> HTTPResponse:
    return HTTPResponse(
        orjson.dumps(body),
        status=status,
        headers=_NO_STORE if headers is None else headers,
        content_type="application/json",
    )
