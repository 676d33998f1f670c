"""The routes by which an account looks after itself: its password, its sessions, its history."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sanic import Blueprint

from commands.rfc3339 import rfc3339
from queries.log.accounts import AccountPage, account_history
from queries.movie_query import parse_page
from service.auth.sessions import Session, SessionPage
from service.container import container_of
from service.routes import session_commands
from service.routes.pagination import API, page_links
from service.web import representations
from service.web.body import read_body
from service.web.conditional import check_write
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse, empty

PATH = f"{API}/auth"

blueprint = Blueprint("account_care", url_prefix=PATH)


@blueprint.post("/password/", name="change_password")
async def change_password(request: CinelogRequest) -> HTTPResponse:
    """Change the password; all other sessions end."""
    principal = request.principal
    await container_of(request).limits.sign_in(request, principal.username)
    await session_commands.change_password(request, principal, read_body(request))
    return empty()


@blueprint.get("/sessions/", name="sessions")
async def list_sessions(request: CinelogRequest) -> HTTPResponse:
    """Answer a page of the caller's sessions, the last used first."""
    principal = request.principal
    container = container_of(request)
    number, size = parse_page(request.args)

    def read() -> tuple[SessionPage, list[representations.Session]]:
        account = container.authorization.account_in(principal)
        page = container.sessions.page(account.id, number, size)
        living = (one for one in page.sessions if not account.has_ended(one.sid))
        return page, [_shown(one, principal.sid) for one in living]

    page, results = await container.session_threads.run(read)
    return _page(request, "sessions", page, results)


@blueprint.delete("/sessions/", name="end_sessions")
async def end_sessions(request: CinelogRequest) -> HTTPResponse:
    """Sign out everywhere."""
    check_write(request)
    await session_commands.end_sessions(request, request.principal)
    return empty()


@blueprint.delete("/sessions/<sid>/", name="end_session")
async def end_session(request: CinelogRequest, sid: str) -> HTTPResponse:
    """End one of the caller's sessions."""
    check_write(request)
    await session_commands.end_session(request, request.principal, sid)
    return empty()


@blueprint.get("/me/history/", name="history")
async def history(request: CinelogRequest) -> HTTPResponse:
    """Answer what happened to the caller's account, oldest first."""
    principal = request.principal
    container = container_of(request)
    number, size = parse_page(request.args)

    def read() -> AccountPage:
        account = container.authorization.account_in(principal)
        return account_history(container.store, account.id, number, size)

    page = await container.log_threads.run(read)
    return _page(request, "me/history", page, [entry._asdict() for entry in page.entries])


def _shown(session: Session, current_sid: str) -> representations.Session:
    return {
        "id": session.sid,
        "created_at": _time(session.opened_at),
        "refreshed_at": None if session.refreshed_at is None else _time(session.refreshed_at),
        "expires_at": _time(session.expires_at),
        "current": session.sid == current_sid,
    }


def _time(since_1970_s: float) -> str:
    return rfc3339(datetime.fromtimestamp(since_1970_s, UTC))


def _page(
    request: CinelogRequest,
    name: str,
    page: SessionPage | AccountPage,
    results: Sequence[Mapping[str, Any]],
) -> HTTPResponse:
    following, previous = page_links(request, f"{PATH}/{name}/", page.page, page.last_page)
    body = {"count": page.count, "next": following, "previous": previous, "results": results}
    return HTTPResponse(orjson.dumps(body), content_type="application/json")
