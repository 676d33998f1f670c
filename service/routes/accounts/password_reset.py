"""``POST /auth/password/reset/``: a password link sets a new password."""

from contextlib import suppress
from datetime import UTC, datetime

from pydantic import SecretStr
from sanic import Blueprint

from commands.aggregates.user import WRONG_LINK, User
from commands.errors import InvalidError
from commands.messages import ResetPassword
from service.auth.password_links import parse_token
from service.auth.schemas import PasswordReset, read_password_reset
from service.container import Container, container_of
from service.openapi import errors, examples, tags
from service.openapi.model import Answer, Body, Operation
from service.web import oauth
from service.web.body import JSON, read_body
from service.web.request import API, CinelogRequest
from service.web.response import HTTPResponse, empty

blueprint = Blueprint("password_reset", url_prefix=f"{API}/auth")


@blueprint.post("/password/reset/", name="reset_password", ctx_password=True, ctx_open=True)
@Operation(
    id="resetPassword",
    tag=tags.ACCOUNTS,
    summary="Set a new password by a link",
    about="Operators make the link (`createPasswordLink`, `cinelog account password --link`). It "
    "opens the page `/#/reset?token=…`, which sends the token here. A link sets one password, "
    "within an hour; a newer link or a new password makes it invalid. All sessions of the account "
    "end. A refused request does not use up the link.",
    body=Body(
        PasswordReset,
        {"token": examples.LINK_TOKEN, "password": "battery-9", "password2": "battery-9"},
    ),
    answers={204: Answer("The password is set.")},
    refuses=(
        InvalidError({"token": [WRONG_LINK]}),
        *errors.unreadable(JSON),
        *errors.ACCOUNTS_UNAVAILABLE,
    ),
)
async def reset_password(request: CinelogRequest) -> HTTPResponse:
    """Set the password of the account that the token is for, and end its sessions."""
    container = container_of(request)
    await container.rate_limiter.count_password_call(request)
    body = read_body(request)
    reset, account = await container.session_threads.run(_read, container, body)
    link = parse_token(reset.token)
    command = ResetPassword(
        **request.command_metadata(account.id),
        link=link.digest if link else "",
        password_hash=SecretStr(await container.hasher.hash(reset.password, account.id)),
    )
    await container.executor.run(command)
    await container.end_sessions(account.id)
    answer = empty()
    answer.headers.update(oauth.NO_STORE)
    return answer


def _read(container: Container, body: dict[str, object]) -> tuple[PasswordReset, User]:
    """Return a valid reset and its account. Raises InvalidError."""
    accounts: list[User] = []

    def account_of(text: str) -> User | None:
        token = parse_token(text)
        user = container.store.get(User, token.account_id) if token else None
        if user is None or token is None:
            return None
        with suppress(InvalidError):
            user.check_password_link(token.digest, datetime.now(UTC))
            accounts.append(user)
            return user
        return None

    reset = read_password_reset(body, account_of)
    return reset, accounts[0]
