"""What accounts do with their sessions and passwords, and the trail it leaves in the log.

1. A session is opened in Redis first and in the log second: nobody holds tokens of which the log
   does not tell.
2. It ends in the log first, for good, and in Redis second: after a crash in between, or while Redis
   is away, its refresh tokens are refused all the same.
3. An access token is checked without either, and lives out its minutes.
"""

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from commands.errors import NotFoundError, TokenReusedError, UnavailableError
from commands.messages import ChangePassword, EndSession, EndSessions, OpenSession, ReportReuse
from commands.text import fold_name
from service.auth.grants import TokenResponse
from service.auth.schemas import read_password_change
from service.auth.tokens import Principal
from service.container import Container, container_of
from service.web.request import CinelogRequest


async def sign_in(
    request: CinelogRequest, username: str, password: str, scope: str = ""
) -> TokenResponse:
    """Open a session. Raises NoActiveAccountError, InvalidScopeError."""
    container = container_of(request)
    answer = await container.hasher.run(
        fold_name(username), container.authorization.sign_in, username, password, scope
    )
    who = answer.signed_in
    command = OpenSession(
        **_by(request, who.account_id),
        sid=who.sid,
        password_version=who.password_version,
        renewed_hash=None if who.renewed_hash is None else SecretStr(who.renewed_hash),
    )
    await container.executor.run(command)
    return answer


async def refresh(request: CinelogRequest, token: str, scope: str = "") -> TokenResponse:
    """Exchange a refresh token for the next pair. Raises TokenNotValidError, InvalidScopeError."""
    container = container_of(request)
    try:
        return await container.session_threads.run(container.authorization.refresh, token, scope)
    except TokenReusedError as reused:
        report = ReportReuse(**_by(request, reused.account_id), sid=reused.sid)
        await container.executor.run(report)
        raise


async def revoke(request: CinelogRequest, token: str) -> None:
    """End the session of a token; an unknown one is as good as revoked."""
    container = container_of(request)
    session = await container.session_threads.run(container.authorization.session_of, token)
    if session is None:
        return
    by = _by(request, session.account_id)
    await container.executor.run(EndSession(**by, sid=session.sid, ended=session.sid))
    with suppress(UnavailableError):
        await container.session_threads.run(container.authorization.revoke, token)


async def end_session(request: CinelogRequest, principal: Principal, sid: str) -> None:
    """End one of the caller's sessions. Raises NotFoundError where there is no such session."""
    container = container_of(request)
    account_id = principal.account_id
    await container.session_threads.run(container.authorization.account_in, principal)
    if sid != principal.sid and not await _belongs(container, account_id, sid):
        raise NotFoundError("No Session matches the given query.")
    command = EndSession(**_by(request, account_id), sid=principal.sid, ended=sid)
    await container.executor.run(command)
    with suppress(UnavailableError):
        await container.session_threads.run(container.sessions.end, account_id, sid)


async def end_sessions(request: CinelogRequest, principal: Principal) -> None:
    """End all of the caller's sessions, the one that asks included."""
    container = container_of(request)
    await container.executor.run(
        EndSessions(**_by(request, principal.account_id), sid=principal.sid)
    )
    with suppress(UnavailableError):
        await container.session_threads.run(container.sessions.end_all, principal.account_id)


async def change_password(
    request: CinelogRequest, principal: Principal, body: dict[str, Any]
) -> None:
    """Set a new password and end all sessions but the one that asks. Raises InvalidError."""
    container = container_of(request)
    account = await container.session_threads.run(container.authorization.account_in, principal)
    is_right = partial(container.hasher.verify, account.password_hash)
    change = await container.hasher.run(account.id, read_password_change, body, account, is_right)
    command = ChangePassword(
        **_by(request, principal.account_id),
        sid=principal.sid,
        password_version=account.password_version,
        password_hash=SecretStr(await container.hasher.hash(change.new_password, account.id)),
    )
    await container.executor.run(command)
    with suppress(UnavailableError):
        await container.session_threads.run(
            container.sessions.end_all, principal.account_id, principal.sid
        )


async def _belongs(container: Container, account_id: UUID, sid: str) -> bool:
    return await container.session_threads.run(container.sessions.belongs, account_id, sid)


def _by(request: CinelogRequest, account_id: UUID) -> dict[str, Any]:
    return {"by": account_id, "request_id": request.request_id, "at": datetime.now(UTC)}
