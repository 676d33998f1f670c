"""What there is to say of the routes of accounts and tokens."""

from typing import Any, Literal

from commands.errors import (
    BusyError,
    EventStoreUnavailableError,
    InvalidError,
    MalformedError,
    MediaTypeError,
    NoActiveAccountError,
    NotFoundError,
    ReadModelUnavailableError,
    TokenNotValidError,
)
from commands.messages import Registration
from service import account_care, accounts, shapes
from service.bodies import FORM, JSON
from service.credentials import Credentials, PasswordChange, Presented, Refreshing
from service.openapi import headers, parameters
from service.openapi.described import Answer, Body, Operation, Table
from service.openapi.refusals import too_large

TAG, TOKENS = "Accounts", "Tokens"
_AWAY = (EventStoreUnavailableError(), ReadModelUnavailableError(), BusyError())
_KEPT = (headers.CACHE_CONTROL,)
_ID = "019a0b6c-1f60-7a54-8a52-6d0a1c7a4f11"
_SID = "jQ1mC0r1c7v3sYkS"
_AT = "2026-01-02T12:00:00.000250Z"
_ANN = {"username": "ann", "email": "ann@example.org", "first_name": "Ann", "last_name": ""}
_PASSWORD = "correct-horse-7"  # noqa: S105 - an example
_PAIR = {"access": "eyJ…", "refresh": "eyJ…", "token_type": "Bearer", "expires_in": 300}


def _unreadable(*taken: str) -> tuple[Exception, ...]:
    broken = MalformedError("JSON parse error.")
    return (broken, too_large(), MediaTypeError(*taken or (JSON, FORM)))


def _page(result: dict[str, Any]) -> dict[str, Any]:
    return {"count": 1, "next": None, "previous": None, "results": [result]}


def _required(field: str) -> InvalidError:
    return InvalidError({field: ["This field is required."]})


class _NamedRefresh(Refreshing):
    """A refresh token to exchange, as RFC 6749 has it."""

    grant_type: Literal["refresh_token"]


TABLE: Table = {
    accounts.register: Operation(
        id="register",
        tag=TAG,
        summary="Open an account",
        about="A password is refused that is short, common, entirely numeric, or too like the "
        "username or the e-mail address; `password2` repeats it.",
        body=Body(Registration, _ANN | {"password": _PASSWORD, "password2": _PASSWORD}),
        answers={
            201: Answer("The account.", shapes.Account, _KEPT, example={"id": _ID} | _ANN)
        },
        refuses=(
            InvalidError({"username": ["A user with that username already exists."]}),
            *_unreadable(JSON),
            *_AWAY,
        ),
        open=True,
    ),
    accounts.obtain: Operation(
        id="signIn",
        tag=TOKENS,
        summary="Sign in",
        about="Begins a session. A client that names a `grant_type`, `password` or "
        "`refresh_token`, is answered under the names of RFC 6749.",
        body=Body(
            Credentials | _NamedRefresh, {"username": "ann", "password": _PASSWORD}, form=True
        ),
        answers={
            200: Answer(
                "A pair of tokens.", shapes.TokenPair | shapes.OAuthTokens, _KEPT, example=_PAIR
            )
        },
        refuses=(_required("password"), NoActiveAccountError(), *_unreadable(), *_AWAY),
        open=True,
    ),
    accounts.renew: Operation(
        id="refresh",
        tag=TOKENS,
        summary="Exchange a refresh token for the next pair",
        about="A refresh token is good once. One that was used and comes again ends its session.",
        body=Body(Refreshing, {"refresh": "eyJ…"}, form=True),
        answers={200: Answer("The next pair.", shapes.TokenPair, _KEPT, example=_PAIR)},
        refuses=(_required("refresh"), TokenNotValidError(), *_unreadable(), *_AWAY),
        open=True,
    ),
    accounts.verify: Operation(
        id="verify",
        tag=TOKENS,
        summary="Tell whether a token would be accepted",
        body=Body(Presented, {"token": "eyJ…"}),
        answers={200: Answer("It would.", shapes.Nothing, _KEPT, example={})},
        refuses=(_required("token"), TokenNotValidError(), *_unreadable(JSON), *_AWAY),
        open=True,
    ),
    accounts.revoke: Operation(
        id="revoke",
        tag=TOKENS,
        summary="Sign out",
        about="Ends the session of a token (RFC 7009). A token that is not known is as good as "
        "revoked.",
        body=Body(Presented, {"token": "eyJ…"}, form=True),
        answers={200: Answer("It is revoked.", shapes.Nothing, _KEPT, example={})},
        refuses=(_required("token"), *_unreadable(), *_AWAY),
        open=True,
    ),
    accounts.me: Operation(
        id="readAccount",
        tag=TAG,
        summary="Read one's account",
        answers={200: Answer("The account.", shapes.Account, _KEPT, example={"id": _ID} | _ANN)},
        refuses=_AWAY,
    ),
    account_care.change_password: Operation(
        id="changePassword",
        tag=TAG,
        summary="Change one's password",
        about="Ends all other sessions.",
        body=Body(
            PasswordChange,
            {"old_password": _PASSWORD, "new_password": "battery-9", "new_password2": "battery-9"},
        ),
        answers={204: Answer("It is changed.", None, _KEPT)},
        refuses=(
            InvalidError({"new_password": ["This password is too common."]}),
            *_unreadable(JSON),
            *_AWAY,
        ),
    ),
    account_care.list_sessions: Operation(
        id="listSessions",
        tag=TAG,
        summary="List one's sessions",
        about="The last used first.",
        takes=parameters.PAGING,
        answers={
            200: Answer(
                "A page of sessions.",
                shapes.SessionPage,
                _KEPT,
                example=_page(
                    {
                        "id": _SID,
                        "created_at": _AT,
                        "refreshed_at": None,
                        "expires_at": "2026-01-03T12:00:00.000250Z",
                        "current": True,
                    }
                ),
            )
        },
        refuses=(NotFoundError("Invalid page."), *_AWAY),
    ),
    account_care.end_sessions: Operation(
        id="endSessions",
        tag=TAG,
        summary="Sign out everywhere",
        answers={204: Answer("All sessions are ended.", None, _KEPT)},
        refuses=_AWAY,
    ),
    account_care.end_session: Operation(
        id="endSession",
        tag=TAG,
        summary="End one of one's sessions",
        takes=(parameters.SESSION_ID,),
        answers={204: Answer("It is ended.", None, _KEPT)},
        refuses=(NotFoundError("No Session matches the given query."), *_AWAY),
    ),
    account_care.history: Operation(
        id="readAccountHistory",
        tag=TAG,
        summary="Read what happened to one's account",
        about="Oldest first.",
        takes=parameters.PAGING,
        answers={
            200: Answer(
                "A page of its history.",
                shapes.AccountHistoryPage,
                _KEPT,
                example=_page(
                    {
                        "version": 1,
                        "position": 1,
                        "type": "UserRegistered",
                        "at": _AT,
                        "request_id": _ID,
                        "session": None,
                        "ended_session": None,
                    }
                ),
            )
        },
        refuses=(NotFoundError("Invalid page."), *_AWAY),
    ),
    accounts.show_keys: Operation(
        id="readKeys",
        tag=TOKENS,
        summary="Read the keys that verify tokens",
        about="A JWK Set (RFC 7517).",
        answers={200: Answer("The keys.", shapes.KeySet, _KEPT)},
        open=True,
        slash=False,
    ),
    accounts.show_metadata: Operation(
        id="readMetadata",
        tag=TOKENS,
        summary="Read what an OAuth client wants to know",
        about="Authorization server metadata (RFC 8414).",
        answers={200: Answer("The metadata.", shapes.ServerMetadata, _KEPT)},
        open=True,
        slash=False,
    ),
}
