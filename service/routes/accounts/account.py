"""The routes of an account's own password, sessions and history."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import SecretStr
from sanic import Blueprint

from commands.aggregates.user import User
from commands.errors import InvalidError, NotFoundError
from commands.messages import ChangePassword, EndSessions
from commands.rfc3339 import rfc3339
from queries.log.accounts import AccountEntry, account_history
from queries.pages import NumberedPage, parse_page
from service.auth.schemas import PasswordChange, read_password_change
from service.auth.sessions import Session
from service.container import container_of
from service.openapi import errors, examples, parameters, tags
from service.openapi.model import Answer, Body, Operation, links_to
from service.routes.accounts import session_commands
from service.routes.pagination import page_body
from service.web.body import JSON, read_body
from service.web.conditional import check_write
from service.web.representations import accounts as representations
from service.web.request import API, CinelogRequest
from service.web.response import HTTPResponse, empty, json_response

PATH = f"{API}/auth"

blueprint = Blueprint("account", url_prefix=PATH)


@blueprint.post("/password/", name="change_password", ctx_password=True)
@Operation(
    id="changePassword",
    tag=tags.ACCOUNTS,
    summary="Change one's own password",
    about="Ends all other sessions of the account.",
    body=Body(
        PasswordChange,
        {
            "old_password": examples.PASSWORD,
            "new_password": "battery-9",
            "new_password2": "battery-9",
        },
    ),
    answers={204: Answer("The password is changed.")},
    refuses=(
        InvalidError({"new_password": ["This password is too common."]}),
        *errors.unreadable(JSON),
        *errors.ACCOUNTS_UNAVAILABLE,
    ),
)
async def change_password(request: CinelogRequest) -> HTTPResponse:
    """Set a new password and end all sessions except the caller's."""
    container, principal = container_of(request), request.principal
    await container.rate_limiter.count_sign_in(request, principal.username)
    body = read_body(request)
    account = await container.session_threads.run(container.auth_server.account_in, principal)
    is_right = partial(container.hasher.verify, account.password_hash)
    change = await container.hasher.run(account.id, read_password_change, body, account, is_right)
    command = ChangePassword(
        **request.command_metadata(account.id),
        sid=principal.sid,
        password_version=account.password_version,
        password_hash=SecretStr(await container.hasher.hash(change.new_password, account.id)),
    )
    await container.executor.run(command)
    await container.end_sessions(account.id, spared=principal.sid)
    return empty()


@blueprint.get("/sessions/", name="sessions")
@Operation(
    id="listSessions",
    tag=tags.ACCOUNTS,
    summary="List one's own sessions",
    about="The most recently used session comes first.",
    takes=parameters.PAGING,
    answers={
        200: Answer(
            "A page of sessions.",
            representations.SessionPage,
            example=examples.page_of(
                {
                    "id": parameters.SESSION_ID.examples[0],
                    "created_at": examples.AT,
                    "refreshed_at": None,
                    "expires_at": "2026-01-03T12:00:00.000250Z",
                    "device": "HTTPie/3.2.4",
                    "current": True,
                }
            ),
            links=links_to("/results/0/id", "endSession", parameter="sid"),
        )
    },
    refuses=(errors.INVALID_PAGE, *errors.ACCOUNTS_UNAVAILABLE),
)
async def list_sessions(request: CinelogRequest) -> HTTPResponse:
    """Answer a page of the caller's sessions, the last used first."""
    container, principal = container_of(request), request.principal
    number, size = parse_page(request.args)

    def read() -> tuple[NumberedPage[Session], list[representations.Session]]:
        account = container.auth_server.account_in(principal)
        page = container.sessions.page(account.id, number, size)
        living = (one for one in page.items if not account.has_ended(one.sid))
        return page, [_representation(one, principal.sid) for one in living]

    page, results = await container.session_threads.run(read)
    return json_response(page_body(request, f"{PATH}/sessions/", page, results))


@blueprint.delete("/sessions/", name="end_sessions")
@Operation(
    id="endSessions",
    tag=tags.ACCOUNTS,
    summary="Sign out everywhere",
    about="Ends every session of the account, the calling one included.",
    answers={204: Answer("All sessions are ended.")},
    refuses=errors.ACCOUNTS_UNAVAILABLE,
)
async def end_sessions(request: CinelogRequest) -> HTTPResponse:
    """End all of the caller's sessions, this one included."""
    check_write(request)
    container, principal = container_of(request), request.principal
    metadata = request.command_metadata(principal.account_id)
    await container.executor.run(EndSessions(**metadata, sid=principal.sid))
    await container.end_sessions(principal.account_id)
    return empty()


@blueprint.delete("/sessions/<sid>/", name="end_session")
@Operation(
    id="endSession",
    tag=tags.ACCOUNTS,
    summary="End one session",
    about="Ends a session of the caller's account.",
    takes=(parameters.SESSION_ID,),
    answers={204: Answer("The session is ended.")},
    refuses=(NotFoundError("No Session matches the given query."), *errors.ACCOUNTS_UNAVAILABLE),
)
async def end_session(request: CinelogRequest, sid: str) -> HTTPResponse:
    """End one of the caller's sessions."""
    check_write(request)
    container, principal = container_of(request), request.principal
    account_id, threads = principal.account_id, container.session_threads
    await threads.run(container.auth_server.account_in, principal)
    is_own = sid == principal.sid or await threads.run(container.sessions.belongs, account_id, sid)
    if not is_own:
        raise NotFoundError("No Session matches the given query.")
    await session_commands.end_session(request, account_id, sid, by=principal.sid)
    return empty()


@blueprint.get("/me/history/", name="history")
@Operation(
    id="readAccountHistory",
    tag=tags.ACCOUNTS,
    summary="Read the history of one's own account",
    about="One entry for each event of the account, oldest first.",
    takes=parameters.PAGING,
    answers={
        200: Answer(
            "A page of its history.",
            representations.AccountHistoryPage,
            example=examples.page_of(
                {
                    "version": 1,
                    "position": 1,
                    "type": User.Created.TOPIC,
                    "at": examples.AT,
                    "request_id": examples.ACCOUNT_ID,
                    "session": None,
                    "ended_session": None,
                    "actor": None,
                    "token": None,
                }
            ),
        )
    },
    refuses=(errors.INVALID_PAGE, *errors.ACCOUNTS_UNAVAILABLE),
)
async def history(request: CinelogRequest) -> HTTPResponse:
    """Answer a page of what happened to the caller's account, oldest first."""
    container, principal = container_of(request), request.principal
    number, size = parse_page(request.args)

    def read() -> tuple[NumberedPage[AccountEntry], list[dict[str, Any]]]:
        account = container.auth_server.account_in(principal)
        page = account_history(container.store, account.id, number, size)
        return page, [entry.to_dict(container.username_of) for entry in page.items]

    page, results = await container.log_threads.run(read)
    return json_response(page_body(request, f"{PATH}/me/history/", page, results))


def _representation(session: Session, current_sid: str) -> representations.Session:
    return {
        "id": session.sid,
        "created_at": _time(session.opened_at),
        "refreshed_at": None if session.refreshed_at is None else _time(session.refreshed_at),
        "expires_at": _time(session.expires_at),
        "device": session.device or None,
        "current": session.sid == current_sid,
    }


def _time(since_1970_s: float) -> str:
    return rfc3339(datetime.fromtimestamp(since_1970_s, UTC))
