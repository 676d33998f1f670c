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
from service.auth.grants import PasswordGrant, RefreshGrant, TokenResponse
from service.auth.schemas import Credentials, RefreshBody, TokenBody, read_registration
from service.auth.server import server_metadata
from service.container import container_of
from service.routes import account as account_care
from service.routes import session_commands
from service.routes.pagination import API
from service.web import oauth, representations
from service.web.body import FORM, read_body
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse

_PASSWORD, _REFRESH = PasswordGrant.GRANT_TYPE, RefreshGrant.GRANT_TYPE
_PUBLIC = {"Cache-Control": "public, max-age=300"}

auth = Blueprint("auth", url_prefix=f"{API}/auth")
well_known = Blueprint("well_known", url_prefix="/.well-known")
blueprint = Blueprint.group(auth, account_care.blueprint, well_known)


@auth.post("/register/", name="register", ctx_open=True)
async def register(request: CinelogRequest) -> HTTPResponse:
    """Open an account."""
    container = container_of(request)
    await container.limits.register(request)
    registration = read_registration(read_body(request))
    command = RegisterUser(
        by=uuid_utils.compat.uuid7(),
        request_id=request.request_id,
        at=datetime.now(UTC),
        username=registration.username,
        email=registration.email,
        first_name=registration.first_name,
        last_name=registration.last_name,
        password_hash=SecretStr(await container.hasher.hash(registration.password)),
    )
    receipt = await container.executor.run(command)
    assert isinstance(receipt.aggregate, User)  # noqa: S101 - what registering is about
    return _answer(_account(receipt.aggregate), status=201)


@auth.post("/token/", name="sign_in", ctx_open=True, ctx_oauth=oauth.TOKEN)
async def obtain(request: CinelogRequest) -> HTTPResponse:
    """Sign in: a first pair of tokens. An OAuth client names its grant, and refreshes here too."""
    if not oauth.speaks_oauth(request):
        return _pair(await _sign_in(request, read_body(request, also=FORM)))
    asked = oauth.read_parameters(request)
    if oauth.grant_of(asked, _PASSWORD, _REFRESH) == _PASSWORD:
        return _answer(dict(await _sign_in(request, asked, oauth.scope_of(asked))))
    await container_of(request).limits.refresh(request)
    return _answer(dict(await _renew(request, asked, oauth.scope_of(asked))))


@auth.post("/token/refresh/", name="refresh", ctx_open=True, ctx_oauth=oauth.TOKEN)
async def renew(request: CinelogRequest) -> HTTPResponse:
    """Exchange a refresh token for the next pair."""
    if not oauth.speaks_oauth(request):
        return _pair(await _renew(request, read_body(request, also=FORM)))
    asked = oauth.read_parameters(request)
    oauth.grant_of({oauth.GRANT: _REFRESH} | asked, _REFRESH)
    answer = await _renew(request, asked, oauth.scope_of(asked))
    return _answer(dict(answer)) if oauth.GRANT in asked else _pair(answer)


@auth.post("/token/verify/", name="verify", ctx_open=True)
async def verify(request: CinelogRequest) -> HTTPResponse:
    """Tell whether a token would be accepted."""
    container = container_of(request)
    token = TokenBody.of(read_body(request)).token
    await container.session_threads.run(container.authorization.verify, token)
    return _answer({})


@auth.post("/token/revoke/", name="revoke", ctx_open=True, ctx_oauth=oauth.REVOCATION)
async def revoke(request: CinelogRequest) -> HTTPResponse:
    """End the session of a token (RFC 7009); an unknown one is as good as revoked.

    A ``token_type_hint`` makes no difference, as RFC 7009, 2.2 says of one that is not valid.
    """
    standard = oauth.speaks_oauth(request)
    body = oauth.read_parameters(request) if standard else read_body(request, also=FORM)
    await session_commands.revoke(request, TokenBody.of(body).token)
    return _answer({})


@auth.get("/me/", name="me")
async def me(request: CinelogRequest) -> HTTPResponse:
    """Answer the caller's account."""
    principal = request.principal
    container = container_of(request)
    account = await container.session_threads.run(
        container.authorization.account, principal.account_id
    )
    return _answer(_account(account), headers={})


@well_known.get("/jwks.json", name="jwks", ctx_open=True)
async def show_keys(request: Request) -> HTTPResponse:
    """Answer the keys that verify our tokens (RFC 7517)."""
    return _answer(container_of(request).tokens.keys.public(), headers=_PUBLIC)


@well_known.get("/oauth-authorization-server", name="metadata", ctx_open=True)
async def show_metadata(request: Request) -> HTTPResponse:
    """Answer what an OAuth client may want to know (RFC 8414)."""
    return _answer(server_metadata(container_of(request).settings, API), headers=_PUBLIC)


def _account(user: User) -> representations.Account:
    return {
        "id": str(user.id),
        "username": user.username,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
    }


async def _sign_in(request: CinelogRequest, body: dict[str, Any], scope: str = "") -> TokenResponse:
    given = Credentials.of(body)
    await container_of(request).limits.sign_in(request, given.username)
    return await session_commands.sign_in(request, given.username, given.password, scope)


async def _renew(request: CinelogRequest, body: dict[str, Any], scope: str = "") -> TokenResponse:
    return await session_commands.refresh(request, RefreshBody.of(body).refresh, scope)


def _pair(answer: TokenResponse) -> HTTPResponse:
    """Answer a pair of tokens under our names; OAuth clients get those of RFC 6749."""
    pair: representations.TokenPair = {
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
        headers=oauth.NO_STORE if headers is None else headers,
        content_type="application/json",
    )
