"""The routes of an account's personal tokens; only a session may create and revoke them."""

from datetime import UTC, datetime

import uuid_utils.compat
from sanic import Blueprint

from commands.aggregates.personal_tokens import (
    DEFAULT_DAYS,
    MAX_TOKENS,
    NOT_FOUND,
    READ,
    WRITE,
    WRONG_SCOPE,
    PersonalToken,
)
from commands.errors import InvalidError, NotFoundError
from commands.messages import CreateToken, RevokeToken
from commands.rfc3339 import rfc3339
from queries.pages import page_of, parse_page
from service.auth.personal_tokens import new_token
from service.auth.schemas import PersonalTokenFields
from service.container import container_of
from service.openapi import errors, examples, parameters, tags
from service.openapi.model import Answer, Body, Operation, links_to
from service.routes.pagination import page_body
from service.web import oauth
from service.web.body import JSON, read_body
from service.web.conditional import check_write
from service.web.representations import accounts as representations
from service.web.request import API, CinelogRequest
from service.web.response import HTTPResponse, empty, json_response

PATH = f"{API}/auth/tokens"

blueprint = Blueprint("personal_tokens", url_prefix=PATH)


@blueprint.post("/", name="create")
@Operation(
    id="createPersonalToken",
    tag=tags.TOKENS,
    summary="Create a personal token",
    about="For scripts: it is sent as an access token is, until it expires or is revoked. With the "
    "scope `read` it may call safe methods only, with `write` also the others, but it may never "
    "manage the account: that takes a session. The token is in this answer and nowhere else: "
    f"the service stores its hash. An account has at most {MAX_TOKENS} of them; a new password "
    "and signing out leave them valid.",
    body=Body(
        PersonalTokenFields, {"name": "backup", "scope": "read", "expires_in_days": DEFAULT_DAYS}
    ),
    answers={
        201: Answer(
            "The token, shown once.",
            representations.NewPersonalToken,
            example={**examples.PERSONAL_TOKEN, "token": examples.PERSONAL_TOKEN_TEXT},
            links=links_to("/id", "revokePersonalToken", parameter="token_id"),
        )
    },
    refuses=(
        InvalidError({"scope": [WRONG_SCOPE]}),
        *errors.unreadable(JSON),
        *errors.ACCOUNTS_UNAVAILABLE,
    ),
)
async def create(request: CinelogRequest) -> HTTPResponse:
    """Create a token and answer it, this once with its text."""
    container, principal = container_of(request), request.principal
    body = PersonalTokenFields.of(read_body(request))
    token_id = uuid_utils.compat.uuid7()
    token = new_token(principal.account_id, token_id)
    command = CreateToken(
        **request.command_metadata(principal.account_id),
        sid=principal.sid,
        token_id=token_id,
        name=body.name,
        scope=body.scope,
        days=body.expires_in_days,
        digest=token.digest,
    )
    result = await container.executor.run(command)
    created = _representation(result.user.tokens[str(token_id)])
    return json_response({**created, "token": token.text}, 201, oauth.NO_STORE)


@blueprint.get("/", name="list")
@Operation(
    id="listPersonalTokens",
    tag=tags.TOKENS,
    summary="List one's own personal tokens",
    about="The valid ones, the newest first.",
    takes=parameters.PAGING,
    answers={
        200: Answer(
            "A page of personal tokens.",
            representations.PersonalTokenPage,
            example=examples.page_of(examples.PERSONAL_TOKEN),
            links=links_to("/results/0/id", "revokePersonalToken", parameter="token_id"),
        )
    },
    refuses=(errors.INVALID_PAGE, *errors.ACCOUNTS_UNAVAILABLE),
)
async def list_tokens(request: CinelogRequest) -> HTTPResponse:
    """Answer a page of the caller's valid tokens, the newest first."""
    container, principal = container_of(request), request.principal
    number, size = parse_page(request.args)
    account = await container.session_threads.run(container.auth_server.account_in, principal)
    tokens = list(account.valid_tokens(datetime.now(UTC)).values())[::-1]
    page = page_of(tokens, number, size)
    results = [_representation(token) for token in page.items]
    return json_response(page_body(request, f"{PATH}/", page, results))


@blueprint.delete("/<token_id>/", name="revoke")
@Operation(
    id="revokePersonalToken",
    tag=tags.TOKENS,
    summary="Revoke a personal token",
    about="Within three seconds no process accepts it any longer.",
    takes=(parameters.TOKEN_ID,),
    answers={204: Answer("The token is revoked.")},
    refuses=(NotFoundError(NOT_FOUND), *errors.ACCOUNTS_UNAVAILABLE),
)
async def revoke(request: CinelogRequest, token_id: str) -> HTTPResponse:
    """Revoke one of the caller's tokens."""
    check_write(request)
    container, principal = container_of(request), request.principal
    metadata = request.command_metadata(principal.account_id)
    await container.executor.run(RevokeToken(**metadata, sid=principal.sid, token_id=token_id))
    container.personal_tokens.forget(token_id)
    return empty()


def _representation(token: PersonalToken) -> representations.PersonalToken:
    return {
        "id": token.id,
        "name": token.name,
        "scope": READ if token.scope == READ else WRITE,
        "created_at": rfc3339(token.created_at),
        "expires_at": rfc3339(token.expires_at),
    }
