"""What there is to say of the routes of accounts."""

from typing import Any

from commands.errors import (
    BusyError,
    EventStoreUnavailableError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    ReadModelUnavailableError,
)
from commands.messages import Registration
from commands.user import User
from service.auth.schemas import PasswordChange
from service.openapi import parameters, response_headers
from service.openapi.errors import unreadable
from service.openapi.model import Answer, Body, Operation, Table
from service.routes import account, tokens
from service.web import representations
from service.web.body import JSON

TAG = "Accounts"
_AWAY = (
    EventStoreUnavailableError(),
    OutcomeUnknownError(),
    ReadModelUnavailableError(),
    BusyError(),
)
_KEPT = (response_headers.CACHE_CONTROL,)
_ID = "019a0b6c-1f60-7a54-8a52-6d0a1c7a4f11"
_AT = "2026-01-02T12:00:00.000250Z"
_ANN = {"username": "ann", "email": "ann@example.org", "first_name": "Ann", "last_name": ""}
_PASSWORD = "correct-horse-7"  # noqa: S105 - an example


def _page(result: dict[str, Any]) -> dict[str, Any]:
    return {"count": 1, "next": None, "previous": None, "results": [result]}


TABLE: Table = {
    tokens.register: Operation(
        id="register",
        tag=TAG,
        summary="Open an account",
        about="A password is refused that is short, common, entirely numeric, or too like the "
        "username or the e-mail address; `password2` repeats it.",
        body=Body(Registration, _ANN | {"password": _PASSWORD, "password2": _PASSWORD}),
        answers={
            201: Answer("The account.", representations.Account, _KEPT, example={"id": _ID} | _ANN)
        },
        refuses=(
            InvalidError({"username": ["A user with that username already exists."]}),
            *unreadable(JSON),
            *_AWAY,
        ),
    ),
    tokens.me: Operation(
        id="readAccount",
        tag=TAG,
        summary="Read one's own account",
        about="The account that the access token belongs to.",
        answers={
            200: Answer("The account.", representations.Account, _KEPT, example={"id": _ID} | _ANN)
        },
        refuses=_AWAY,
    ),
    account.change_password: Operation(
        id="changePassword",
        tag=TAG,
        summary="Change one's own password",
        about="Ends all other sessions of the account.",
        body=Body(
            PasswordChange,
            {"old_password": _PASSWORD, "new_password": "battery-9", "new_password2": "battery-9"},
        ),
        answers={204: Answer("It is changed.", None, _KEPT)},
        refuses=(
            InvalidError({"new_password": ["This password is too common."]}),
            *unreadable(JSON),
            *_AWAY,
        ),
    ),
    account.list_sessions: Operation(
        id="listSessions",
        tag=TAG,
        summary="List one's own sessions",
        about="The most recently used session comes first.",
        takes=parameters.PAGING,
        answers={
            200: Answer(
                "A page of sessions.",
                representations.SessionPage,
                _KEPT,
                example=_page(
                    {
                        "id": parameters.SESSION_ID.examples[0],
                        "created_at": _AT,
                        "refreshed_at": None,
                        "expires_at": "2026-01-03T12:00:00.000250Z",
                        "current": True,
                    }
                ),
                links={
                    "endSession": {
                        "operationId": "endSession",
                        "parameters": {"sid": "$response.body#/results/0/id"},
                    }
                },
            )
        },
        refuses=(NotFoundError("Invalid page."), *_AWAY),
    ),
    account.end_sessions: Operation(
        id="endSessions",
        tag=TAG,
        summary="Sign out everywhere",
        about="Ends every session of the account, the calling one included.",
        answers={204: Answer("All sessions are ended.", None, _KEPT)},
        refuses=_AWAY,
    ),
    account.end_session: Operation(
        id="endSession",
        tag=TAG,
        summary="End one session",
        about="Ends a session of the caller's account.",
        takes=(parameters.SESSION_ID,),
        answers={204: Answer("It is ended.", None, _KEPT)},
        refuses=(NotFoundError("No Session matches the given query."), *_AWAY),
    ),
    account.history: Operation(
        id="readAccountHistory",
        tag=TAG,
        summary="Read the history of one's own account",
        about="One entry for each event of the account, oldest first.",
        takes=parameters.PAGING,
        answers={
            200: Answer(
                "A page of its history.",
                representations.AccountHistoryPage,
                _KEPT,
                example=_page(
                    {
                        "version": 1,
                        "position": 1,
                        "type": User.Created.TOPIC,
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
}
