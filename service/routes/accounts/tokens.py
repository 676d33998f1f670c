"""The routes of accounts and tokens: ``/auth/*`` and ``/.well-known/*``."""

from collections.abc import Mapping
from typing import Any

import uuid_utils.compat
from authlib.oauth2.rfc6749.errors import InvalidScopeError  # type: ignore[import-untyped]
from pydantic import SecretStr
from sanic import Blueprint

from commands.errors import (
    InvalidError,
    NoActiveAccountError,
    TokenNotValidError,
)
from commands.messages import RegisterUser, Registration
from service.auth.schemas import Credentials, RefreshBody, TokenBody, read_registration
from service.auth.server import PASSWORD_GRANT, REFRESH_GRANT
from service.auth.tokens import TokenResponse
from service.container import container_of
from service.openapi import errors, examples, tags
from service.openapi.model import Answer, Body, Operation
from service.routes.accounts import account, password_reset, personal_tokens, well_known
from service.routes.accounts.session_commands import (
    account_of,
    end_session_of,
    open_session,
    own_account_of,
    refresh_session,
)
from service.web import oauth
from service.web.body import FORM, JSON, read_body
from service.web.oauth import client_secret_error, grant_type_error
from service.web.representations import accounts as representations
from service.web.request import API, CinelogRequest
from service.web.response import HTTPResponse, json_response

auth = Blueprint("auth", url_prefix=f"{API}/auth")
blueprint = Blueprint.group(
    auth,
    account.blueprint,
    password_reset.blueprint,
    personal_tokens.blueprint,
    well_known.blueprint,
)


_OAUTH = (
    client_secret_error(),
    grant_type_error(PASSWORD_GRANT, REFRESH_GRANT),
    InvalidScopeError(),
)


@auth.post("/register/", name="register", ctx_password=True, ctx_open=True)
@Operation(
    id="register",
    tag=tags.ACCOUNTS,
    summary="Open an account",
    about="Short, common and entirely numeric passwords are refused, and those that resemble the "
    "username or the e-mail address. `password2` repeats the password.",
    body=Body(
        Registration, examples.ANN | {"password": examples.PASSWORD, "password2": examples.PASSWORD}
    ),
    answers={201: Answer("The account.", representations.Account, example=examples.REGISTERED)},
    refuses=(
        InvalidError({"username": ["A user with that username already exists."]}),
        *errors.unreadable(JSON),
        *errors.ACCOUNTS_UNAVAILABLE,
    ),
)
async def register(request: CinelogRequest) -> HTTPResponse:
    """Register an account."""
    container = container_of(request)
    await container.rate_limiter.count_password_call(request)
    registration = read_registration(read_body(request))
    command = RegisterUser(
        **request.command_metadata(uuid_utils.compat.uuid7()),
        username=registration.username,
        email=registration.email,
        first_name=registration.first_name,
        last_name=registration.last_name,
        password_hash=SecretStr(await container.hasher.hash(registration.password)),
    )
    result = await container.executor.run(command)
    return _json(account_of(result.user), status=201)


@auth.post("/token/", name="sign_in", ctx_password=True, ctx_open=True, ctx_oauth=oauth.TOKEN)
@Operation(
    id="signIn",
    tag=tags.TOKENS,
    summary="Sign in",
    about="Begins a session. An OAuth client sends a `grant_type` of `password` or "
    "`refresh_token` beside the fields of that grant, and gets answers and errors in the terms "
    "of RFC 6749: refusals are `application/json` with `error` and `error_description`, and "
    "400 where a password or token is wrong. Clients are public: any `client_id` is accepted, "
    "a client secret is not.",
    body=Body(Credentials, {"username": "ann", "password": examples.PASSWORD}, also=FORM),
    answers={
        200: Answer("A pair of tokens.", representations.TokenPair, example=examples.TOKEN_PAIR)
    },
    refuses=(
        errors.required("password"),
        NoActiveAccountError(),
        *errors.unreadable(JSON, FORM),
        *_OAUTH,
        *errors.ACCOUNTS_UNAVAILABLE,
    ),
    oauth=True,
)
async def sign_in(request: CinelogRequest) -> HTTPResponse:
    """Open a session and answer its first tokens. An OAuth client may refresh here too."""
    if not oauth.speaks_oauth(request):
        return _pair(await open_session(request, read_body(request, also=FORM)))
    parameters = oauth.read_parameters(request)
    if oauth.grant_of(parameters, PASSWORD_GRANT, REFRESH_GRANT) == PASSWORD_GRANT:
        return _json(await open_session(request, parameters, oauth.scope_of(parameters)))
    await container_of(request).rate_limiter.count_call(request)
    return _json(await refresh_session(request, parameters, oauth.scope_of(parameters)))


@auth.post("/token/refresh/", name="refresh", ctx_open=True, ctx_oauth=oauth.TOKEN)
@Operation(
    id="refresh",
    tag=tags.TOKENS,
    summary="Exchange a refresh token for the next pair",
    about="A refresh token can be used once; reusing it ends its session. "
    "With a `grant_type` of `refresh_token`, the answers are those of RFC 6749.",
    body=Body(RefreshBody, {"refresh": "eyJ…"}, also=FORM),
    answers={200: Answer("The next pair.", representations.TokenPair, example=examples.TOKEN_PAIR)},
    refuses=(
        errors.required("refresh"),
        TokenNotValidError(),
        *errors.unreadable(JSON, FORM),
        *_OAUTH,
        *errors.ACCOUNTS_UNAVAILABLE,
    ),
    oauth=True,
)
async def refresh(request: CinelogRequest) -> HTTPResponse:
    """Exchange a refresh token for the next pair."""
    if not oauth.speaks_oauth(request):
        return _pair(await refresh_session(request, read_body(request, also=FORM)))
    parameters = oauth.read_parameters(request)
    oauth.grant_of({oauth.GRANT: REFRESH_GRANT} | parameters, REFRESH_GRANT)
    answer = await refresh_session(request, parameters, oauth.scope_of(parameters))
    return _json(answer) if oauth.GRANT in parameters else _pair(answer)


@auth.post("/token/verify/", name="verify", ctx_open=True)
@Operation(
    id="verify",
    tag=tags.TOKENS,
    summary="Check a token",
    about="Answers 200 for a token that the service accepts, else 401.",
    body=Body(TokenBody, {"token": "eyJ…"}),
    answers={200: Answer("The token is valid.", representations.Nothing, example={})},
    refuses=(
        errors.required("token"),
        TokenNotValidError(),
        *errors.unreadable(JSON),
        *errors.ACCOUNTS_UNAVAILABLE,
    ),
)
async def verify(request: CinelogRequest) -> HTTPResponse:
    """Answer 200 if a token would be accepted."""
    container = container_of(request)
    token = TokenBody.of(read_body(request)).token
    await container.session_threads.run(container.auth_server.verify, token)
    return _json({})


@auth.post("/token/revoke/", name="revoke", ctx_open=True, ctx_oauth=oauth.REVOCATION)
@Operation(
    id="revoke",
    tag=tags.TOKENS,
    summary="Sign out",
    about="Ends the session of a token (RFC 7009), or revokes a personal token. A token that is "
    "not known is as good as revoked, and `token_type_hint` makes no difference. OAuth clients, "
    "known by `client_id` or `token_type_hint` in a form, get the errors of RFC 6749.",
    body=Body(TokenBody, {"token": "eyJ…"}, also=FORM),
    answers={200: Answer("The token is revoked.", representations.Nothing, example={})},
    refuses=(
        errors.required("token"),
        *errors.unreadable(JSON, FORM),
        _OAUTH[0],
        *errors.ACCOUNTS_UNAVAILABLE,
    ),
    oauth=True,
)
async def revoke(request: CinelogRequest) -> HTTPResponse:
    """End the session of a token (RFC 7009); an unknown token is as good as revoked.

    A ``token_type_hint`` is ignored, as RFC 7009, 2.2 demands of an invalid one.
    """
    is_oauth = oauth.speaks_oauth(request)
    body = oauth.read_parameters(request) if is_oauth else read_body(request, also=FORM)
    await end_session_of(request, TokenBody.of(body).token)
    return _json({})


@auth.get("/me/", name="me")
@Operation(
    id="readAccount",
    tag=tags.ACCOUNTS,
    summary="Read one's own account",
    about="The account that the access token belongs to.",
    answers={200: Answer("The account.", representations.OwnAccount, example=examples.OWN_ACCOUNT)},
    refuses=errors.ACCOUNTS_UNAVAILABLE,
)
async def me(request: CinelogRequest) -> HTTPResponse:
    """Answer the caller's account."""
    container = container_of(request)
    user = await container.session_threads.run(
        container.auth_server.account, request.principal.account_id
    )
    return _json(own_account_of(user), headers={})


def _pair(answer: TokenResponse) -> HTTPResponse:
    """Answer a pair of tokens under our names; OAuth clients get those of RFC 6749."""
    pair: representations.TokenPair = {
        "access": answer["access_token"],
        "refresh": answer["refresh_token"],
        "token_type": answer["token_type"],
        "expires_in": answer["expires_in"],
    }
    return _json(pair)


def _json(
    body: Mapping[str, Any], *, status: int = 200, headers: dict[str, str] | None = None
) -> HTTPResponse:
    return json_response(body, status, oauth.NO_STORE if headers is None else headers)
