"""The routes of a browser's session: the tokens are in cookies that no script can read.

A cookie counts as credentials only for requests of the service's own page (``session_cookies``).
"""

from sanic import Blueprint

from commands.errors import NoActiveAccountError, NotAuthenticatedError, TokenNotValidError
from service.auth.schemas import Credentials
from service.auth.tokens import TokenResponse
from service.container import container_of
from service.errors import NotOwnPageError
from service.openapi import errors, examples, response_headers, tags
from service.openapi.model import Answer, Body, Operation
from service.routes.accounts.session_commands import (
    end_session_of,
    open_session,
    own_account_of,
    refresh_session,
)
from service.web import oauth
from service.web.body import JSON, read_body
from service.web.browsers.own_origin import is_foreign
from service.web.browsers.session_cookies import (
    clear_cookies,
    refresh_token,
    session_token,
    set_cookies,
)
from service.web.problems import problem_of, respond
from service.web.representations import accounts as representations
from service.web.request import API, CinelogRequest
from service.web.response import HTTPResponse, empty, json_response

blueprint = Blueprint("browser_session", url_prefix=f"{API}/auth/session")
_ACCOUNT = {
    200: Answer(
        "The account; both cookies are set.",
        representations.OwnAccount,
        (response_headers.SET_COOKIE, *response_headers.CACHED),
        example=examples.OWN_ACCOUNT,
    )
}


@blueprint.post("/", name="open", ctx_password=True, ctx_open=True)
@Operation(
    id="openBrowserSession",
    tag=tags.TOKENS,
    summary="Sign in with a browser",
    about="Sets two cookies, `__Host-cinelog` with the access token and "
    "`__Secure-cinelog-refresh` with the refresh token; on a loopback address without TLS their "
    "names are `cinelog` and `cinelog-refresh`. The first counts as credentials where there is no "
    "`Authorization`, for requests with `Sec-Fetch-Site: same-origin` or an `Origin` of this "
    "service; methods other than GET and HEAD also need `X-Cinelog: page`.",
    body=Body(Credentials, {"username": "ann", "password": examples.PASSWORD}),
    answers=_ACCOUNT,
    refuses=(
        errors.required("password"),
        NoActiveAccountError(),
        NotOwnPageError(),
        *errors.unreadable(JSON),
        *errors.ACCOUNTS_UNAVAILABLE,
    ),
)
async def open_browser_session(request: CinelogRequest) -> HTTPResponse:
    """Open a session and give its tokens to the browser."""
    _check_page(request)
    return await _with_cookies(request, await open_session(request, read_body(request)))


@blueprint.post("/refresh/", name="refresh", ctx_open=True)
@Operation(
    id="refreshBrowserSession",
    tag=tags.TOKENS,
    summary="Renew the cookies of a browser",
    about="Exchanges the refresh token in the cookie, as `refresh` does. Where it is not valid, "
    "both cookies are removed.",
    answers=_ACCOUNT,
    refuses=(
        NotAuthenticatedError(),
        TokenNotValidError(),
        NotOwnPageError(),
        *errors.ACCOUNTS_UNAVAILABLE,
    ),
)
async def refresh_browser_session(request: CinelogRequest) -> HTTPResponse:
    """Give the browser the next tokens of its session."""
    _check_page(request)
    settings = container_of(request).settings
    try:
        body = {"refresh": refresh_token(request, settings)}
        return await _with_cookies(request, await refresh_session(request, body))
    except (NotAuthenticatedError, TokenNotValidError) as error:
        problem = problem_of(error)
        response = respond(request, problem._replace(headers=problem.headers | oauth.NO_STORE))
        clear_cookies(request, response, settings)
        return response


@blueprint.delete("/", name="end", ctx_open=True)
@Operation(
    id="endBrowserSession",
    tag=tags.TOKENS,
    summary="Sign out with a browser",
    about="Ends the session of the cookies and removes them; also where they are not valid.",
    answers={
        204: Answer(
            "The cookies are removed.",
            None,
            (response_headers.SET_COOKIE, *response_headers.CACHED),
        )
    },
    refuses=(NotOwnPageError(), *errors.ACCOUNTS_UNAVAILABLE),
)
async def end_browser_session(request: CinelogRequest) -> HTTPResponse:
    """End the browser's session."""
    _check_page(request)
    settings = container_of(request).settings
    if token := session_token(request, settings):
        await end_session_of(request, token)
    response = empty(headers=dict(oauth.NO_STORE))
    clear_cookies(request, response, settings)
    return response


def _check_page(request: CinelogRequest) -> None:
    """Raise NotOwnPageError for a request that another site's page sent."""
    if is_foreign(request, container_of(request).settings):
        raise NotOwnPageError


async def _with_cookies(request: CinelogRequest, answer: TokenResponse) -> HTTPResponse:
    container = container_of(request)
    access, refresh = answer["access_token"], answer["refresh_token"]
    account_id = container.tokens.check(access).account_id
    user = await container.session_threads.run(container.auth_server.account, account_id)
    response = json_response(own_account_of(user), headers=oauth.NO_STORE)
    set_cookies(request, response, container.settings, access, refresh)
    return response
