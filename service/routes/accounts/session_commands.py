"""Opens, refreshes and ends sessions, for the routes of tokens and those of browser sessions."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from commands.aggregates.user import User
from commands.errors import (
    NotFoundError,
    TokenNotValidError,
    TokenReusedError,
    UnavailableError,
)
from commands.messages import EndSession, OpenSession, ReportReuse, RevokeToken
from commands.text import fold_name
from service.auth.personal_tokens import GivenToken, parse_token
from service.auth.schemas import Credentials, RefreshBody
from service.auth.tokens import TokenResponse
from service.container import container_of
from service.web.representations import accounts as representations
from service.web.request import CinelogRequest

_DEVICE = 200


async def open_session(
    request: CinelogRequest, body: dict[str, Any], scope: str = ""
) -> TokenResponse:
    """Open a session in Redis, then in the log. Raises NoActiveAccountError, InvalidScopeError."""
    container = container_of(request)
    given = Credentials.of(body)
    await container.rate_limiter.count_sign_in(request, given.username)
    answer, login = await container.hasher.run(
        fold_name(given.username),
        container.auth_server.sign_in,
        given.username,
        given.password,
        scope,
        _device_of(request),
    )
    command = OpenSession(
        **request.command_metadata(login.account_id),
        sid=login.sid,
        password_version=login.password_version,
        renewed_hash=None if login.renewed_hash is None else SecretStr(login.renewed_hash),
    )
    await container.executor.run(command)
    return answer


async def refresh_session(
    request: CinelogRequest, body: dict[str, Any], scope: str = ""
) -> TokenResponse:
    """Issue the next pair. Raises TokenNotValidError, InvalidScopeError."""
    container = container_of(request)
    token = RefreshBody.of(body).refresh
    try:
        return await container.session_threads.run(container.auth_server.refresh, token, scope)
    except TokenReusedError as reused:
        metadata = request.command_metadata(reused.account_id)
        await container.executor.run(ReportReuse(**metadata, sid=reused.sid))
        raise


async def end_session_of(request: CinelogRequest, token: str) -> None:
    """End the session of a token, in the log, then in Redis; an unknown token is ignored.

    A personal token is revoked.
    """
    container = container_of(request)
    if given := parse_token(token):
        await _revoke_personal_token(request, given)
        return
    session = await container.session_threads.run(container.auth_server.session_of, token)
    if session is None:
        return
    await end_session(request, session.account_id, session.sid, by=session.sid)


async def end_session(request: CinelogRequest, account_id: UUID, sid: str, *, by: str) -> None:
    """End a session in the log, then in Redis if that answers; ``by`` is the session that asks."""
    container = container_of(request)
    metadata = request.command_metadata(account_id)
    await container.executor.run(EndSession(**metadata, sid=by, ended=sid))
    with suppress(UnavailableError):
        await container.session_threads.run(container.sessions.end, account_id, sid)


async def _revoke_personal_token(request: CinelogRequest, given: GivenToken) -> None:
    container = container_of(request)
    with suppress(TokenNotValidError, NotFoundError):
        await container.personal_tokens.check(given)
        metadata = request.command_metadata(given.account_id)
        await container.executor.run(RevokeToken(**metadata, sid="", token_id=given.token_id))
    container.personal_tokens.forget(given.token_id)


def _device_of(request: CinelogRequest) -> str:
    """Return how the client names itself, without what cannot be printed."""
    name = request.headers.get("user-agent", "")[:_DEVICE]
    return name if name.isprintable() else ""


def account_of(user: User) -> representations.Account:
    """Return the public fields of an account."""
    return {
        "id": str(user.id),
        "username": user.username,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
    }


def own_account_of(user: User) -> representations.OwnAccount:
    """Return the fields of an account for its owner."""
    return {**account_of(user), "operator": user.operator}
