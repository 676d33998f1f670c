"""What there is to say of the routes of tokens."""

from authlib.oauth2.rfc6749.errors import InvalidScopeError  # type: ignore[import-untyped]

from commands.errors import (
    BusyError,
    EventStoreUnavailableError,
    NoActiveAccountError,
    OutcomeUnknownError,
    ReadModelUnavailableError,
    TokenNotValidError,
)
from service.auth.schemas import Credentials, RefreshBody, TokenBody
from service.auth.server import PASSWORD_GRANT, REFRESH_GRANT
from service.openapi import response_headers
from service.openapi.errors import required, unreadable
from service.openapi.model import Answer, Body, Operation, Table
from service.routes import tokens
from service.web import representations
from service.web.body import FORM, JSON
from service.web.oauth import grant_refused, secret_refused

TAG = "Tokens"
_AWAY = (
    EventStoreUnavailableError(),
    OutcomeUnknownError(),
    ReadModelUnavailableError(),
    BusyError(),
)
_OAUTH = (
    secret_refused(),
    grant_refused(PASSWORD_GRANT, REFRESH_GRANT),
    InvalidScopeError(),
)
_KEPT = (response_headers.CACHE_CONTROL,)
_PAIR = {"access": "eyJ…", "refresh": "eyJ…", "token_type": "Bearer", "expires_in": 300}
_PASSWORD = "correct-horse-7"  # noqa: S105 - an example


TABLE: Table = {
    tokens.sign_in: Operation(
        id="signIn",
        tag=TAG,
        summary="Sign in",
        about="Begins a session. An OAuth client sends a `grant_type` of `password` or "
        "`refresh_token` beside the fields of that grant, and gets answers and errors in the terms "
        "of RFC 6749: refusals are `application/json` with `error` and `error_description`, and "
        "400 where a password or token is wrong. Clients are public: any `client_id` is accepted, "
        "a client secret is not.",
        body=Body(Credentials, {"username": "ann", "password": _PASSWORD}, also=FORM),
        answers={
            200: Answer(
                "A pair of tokens.",
                representations.TokenPair,
                _KEPT,
                example=_PAIR,
            )
        },
        refuses=(
            required("password"),
            NoActiveAccountError(),
            *unreadable(JSON, FORM),
            *_OAUTH,
            *_AWAY,
        ),
        oauth=True,
    ),
    tokens.refresh: Operation(
        id="refresh",
        tag=TAG,
        summary="Exchange a refresh token for the next pair",
        about="A refresh token is good once. One that was used and comes again ends its session. "
        "With a `grant_type` of `refresh_token`, the answers are those of RFC 6749.",
        body=Body(RefreshBody, {"refresh": "eyJ…"}, also=FORM),
        answers={200: Answer("The next pair.", representations.TokenPair, _KEPT, example=_PAIR)},
        refuses=(
            required("refresh"),
            TokenNotValidError(),
            *unreadable(JSON, FORM),
            *_OAUTH,
            *_AWAY,
        ),
        oauth=True,
    ),
    tokens.verify: Operation(
        id="verify",
        tag=TAG,
        summary="Check a token",
        about="Answers 200 for a token that the service accepts, else 401.",
        body=Body(TokenBody, {"token": "eyJ…"}),
        answers={200: Answer("It would.", representations.Nothing, _KEPT, example={})},
        refuses=(required("token"), TokenNotValidError(), *unreadable(JSON), *_AWAY),
    ),
    tokens.revoke: Operation(
        id="revoke",
        tag=TAG,
        summary="Sign out",
        about="Ends the session of a token (RFC 7009). A token that is not known is as good as "
        "revoked, and `token_type_hint` makes no difference. OAuth clients, known by "
        "`client_id` or `token_type_hint` in a form, get the errors of RFC 6749.",
        body=Body(TokenBody, {"token": "eyJ…"}, also=FORM),
        answers={200: Answer("It is revoked.", representations.Nothing, _KEPT, example={})},
        refuses=(required("token"), *unreadable(JSON, FORM), _OAUTH[0], *_AWAY),
        oauth=True,
    ),
    tokens.show_keys: Operation(
        id="readKeys",
        tag=TAG,
        summary="Read the keys that verify tokens",
        about="A JWK Set (RFC 7517).",
        answers={200: Answer("The keys.", representations.KeySet, _KEPT)},
        slash=False,
    ),
    tokens.show_metadata: Operation(
        id="readMetadata",
        tag=TAG,
        summary="Read what an OAuth client wants to know",
        about="Authorization server metadata (RFC 8414).",
        answers={200: Answer("The metadata.", representations.ServerMetadata, _KEPT)},
        slash=False,
    ),
}
