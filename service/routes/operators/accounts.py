"""The routes of operators on accounts: the list, password links, closings."""

from typing import Any
from urllib.parse import unquote

from sanic import Blueprint

from commands.errors import AccountClosedError, NotFoundError
from commands.messages import CloseAccount, IssuePasswordLink
from commands.rfc3339 import rfc3339
from queries.log.accounts import AccountSummary, account_named
from queries.pages import page_of, parse_page
from service.auth.password_links import new_token, page_url
from service.container import container_of
from service.openapi import errors, examples, parameters, tags
from service.openapi.model import Answer, Operation
from service.routes.operators import PATH, REFUSED
from service.routes.pagination import link, page_body
from service.web import oauth
from service.web.representations import operators as representations
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse, json_response

_PATH = f"{PATH}/accounts"
blueprint = Blueprint("ops_accounts", url_prefix=_PATH)
_NO_ACCOUNT = NotFoundError("No Account matches the given query.")


@blueprint.get("/", name="accounts")
@Operation(
    id="listAccounts",
    tag=tags.OPERATORS,
    summary="List the accounts",
    about="In the order of registration. The first call in each process reads through the log.",
    takes=(parameters.ACCOUNT_NAME, *parameters.PAGING),
    answers={
        200: Answer(
            "A page of accounts.",
            representations.AccountPage,
            example=examples.page_of(examples.ACCOUNT),
        )
    },
    refuses=(errors.INVALID_PAGE, *REFUSED),
)
async def accounts(request: CinelogRequest) -> HTTPResponse:
    """Answer a page of accounts, or the one with a name."""
    container = container_of(request)
    number, size = parse_page(request.args)
    if name := request.param("username"):
        found = await container.log_threads.run(account_named, container.store, name)
        page = page_of([found] if found else [], 1, size)
    else:
        page = await container.log_threads.run(container.account_list.page, number, size)
    results = [one._asdict() for one in page.items]
    return json_response(page_body(request, f"{_PATH}/", page, results))


@blueprint.post("/<username>/password-link/", name="password_link")
@Operation(
    id="createPasswordLink",
    tag=tags.OPERATORS,
    summary="Make a link for a new password",
    about="The link sets one new password of the account within an hour (`resetPassword`). It "
    "replaces any earlier link. The answer is the only place that has it.",
    takes=(parameters.USERNAME,),
    answers={
        201: Answer("The link.", representations.PasswordLink, example=examples.PASSWORD_LINK)
    },
    refuses=(_NO_ACCOUNT, AccountClosedError(), *REFUSED),
)
async def password_link(request: CinelogRequest, username: str) -> HTTPResponse:
    """Issue a password link."""
    fields = await _target(request, unquote(username))
    token = new_token(fields["by"])
    result = await container_of(request).executor.run(
        IssuePasswordLink(**fields, digest=token.digest)
    )
    issued = result.user.password_link
    assert issued  # noqa: S101 - issued just now
    body = {
        "url": page_url(link(request, ""), token),
        "expires_at": rfc3339(issued.expires_at),
    }
    return json_response(body, 201, oauth.NO_STORE)


@blueprint.post("/<username>/close/", name="close_account")
@Operation(
    id="closeAccount",
    tag=tags.OPERATORS,
    summary="Close an account for ever",
    about="It signs in no more, its sessions and tokens end, its movies stay. Its access tokens "
    "are refused by this process at once, by others within about a second.",
    takes=(parameters.USERNAME,),
    answers={
        200: Answer(
            "The account, closed.",
            representations.AccountSummary,
            example=examples.ACCOUNT | {"closed": True},
        )
    },
    refuses=(_NO_ACCOUNT, *REFUSED),
)
async def close_account(request: CinelogRequest, username: str) -> HTTPResponse:
    """Close an account; closing it again changes nothing."""
    container = container_of(request)
    name = unquote(username)
    fields = await _target(request, name)
    await container.executor.run(CloseAccount(**fields))
    await container.end_sessions(fields["by"])
    closed = await container.log_threads.run(account_named, container.store, name)
    assert isinstance(closed, AccountSummary)  # noqa: S101 - accounts stay
    return json_response(closed._asdict())


async def _target(request: CinelogRequest, username: str) -> dict[str, Any]:
    """Return the fields of a command of the caller on an account. Raises NotFoundError."""
    container = container_of(request)
    account_id = await container.log_threads.run(container.store.account_id_of, username)
    if account_id is None:
        raise _NO_ACCOUNT
    return request.command_metadata(account_id) | {"operator": request.principal.account_id}
