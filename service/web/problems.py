"""Errors become HTTP here, and only here: RFC 9457 problem documents."""

from asyncio import CancelledError
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
import structlog
from authlib.oauth2.rfc6749.errors import OAuth2Error  # type: ignore[import-untyped]
from sanic import Request
from sanic.exceptions import MethodNotAllowed, PayloadTooLarge, SanicException
from sanic.handlers import ErrorHandler

from commands import errors
from service.errors import (
    InsufficientScopeError,
    JobRunningError,
    KeyInFlightError,
    MalformedError,
    MediaTypeError,
    NotAnObjectError,
    NotOwnPageError,
)
from service.web import oauth
from service.web.body import MERGE_PATCH
from service.web.negotiation import methods_of
from service.web.representations import problems as representations
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse

log = structlog.get_logger(__name__)
PROBLEM = "application/problem+json"
_CHALLENGE = "WWW-Authenticate"
_REALM = 'Bearer realm="api"'
_CLIENT_GONE = 499  # never sent, only logged


class Problem(NamedTuple):
    """A problem document without what the request adds; ``code`` is for programs."""

    status: int
    code: str
    detail: str
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    errors: dict[str, Any] | None = None
    members: dict[str, Any] = {}  # noqa: RUF012 - never changed


def problem_of(error: Exception) -> Problem:  # noqa: PLR0911, PLR0912, C901 - a case a line
    """Return the problem that describes ``error`` to a client, without any input value."""
    match error:
        case errors.NotAuthenticatedError():
            detail = "Authentication credentials were not provided."
            return Problem(401, "not_authenticated", detail, {"WWW-Authenticate": _REALM})
        case errors.TokenNotValidError():
            challenge = {"WWW-Authenticate": f'{_REALM}, error="invalid_token"'}
            detail = "Given token not valid for any token type"
            return Problem(401, "token_not_valid", detail, challenge)
        case errors.NoActiveAccountError():
            detail = "No active account found with the given credentials"
            return Problem(401, "no_active_account", detail)
        case errors.NotCreatorError() | errors.NotOperatorError() | NotOwnPageError():
            detail = "You do not have permission to perform this action."
            return Problem(403, "permission_denied", detail)
        case errors.AccountClosedError():
            return Problem(409, "account_closed", str(error))
        case InsufficientScopeError():
            challenge = {"WWW-Authenticate": f'{_REALM}, error="insufficient_scope"'}
            detail = "You do not have permission to perform this action."
            return Problem(403, "permission_denied", detail, challenge)
        case errors.NotFoundError():
            return Problem(404, "not_found", error.message)
        case errors.PreconditionFailedError():
            conflict = isinstance(error, errors.VersionConflictError)
            code = "version_conflict" if conflict else "precondition_failed"
            return Problem(412, code, str(error), {"ETag": error.tag} if error.tag else {})
        case NotAnObjectError():
            return Problem(400, "invalid", str(error))
        case errors.InvalidError():
            fields = {field: list(messages) for field, messages in error.errors.items()}
            return Problem(400, "invalid", "Invalid input.", errors=fields)
        case MalformedError():
            return Problem(400, "parse_error", str(error))
        case MediaTypeError():
            return Problem(415, "unsupported_media_type", str(error), _accepted(error))
        case errors.PositionUnknownError():
            members = {"log": error.log, "head": error.head, "shared": error.shared}
            return Problem(409, "position_unknown", str(error), members=members)
        case errors.UndoConflictError():
            conflicts = {
                field: {"version": version, "now": now}
                for field, (version, now) in error.conflicts.items()
            }
            return Problem(409, "undo_conflict", str(error), members={"conflicts": conflicts})
        case JobRunningError():
            return Problem(409, "job_running", str(error), members={"job": error.job})
        case errors.KeyReusedError():
            detail = "This idempotency key was used with another request."
            return Problem(422, "idempotency_key_reused", detail)
        case KeyInFlightError():
            detail = "The first request with this idempotency key is still running."
            return Problem(409, "idempotency_key_in_flight", detail, {"Retry-After": "1"})
        case errors.ThrottledError():
            return Problem(429, "throttled", str(error), {"Retry-After": str(error.retry_after_s)})
        case errors.UnreadableEventError():
            return Problem(500, "event_unreadable", "An event in the log cannot be read.")
        case errors.UnavailableError():
            unknown = isinstance(error, errors.OutcomeUnknownError)
            code = "outcome_unknown" if unknown else "unavailable"
            return Problem(503, code, error.detail, {"Retry-After": str(error.retry_after_s)})
        case OAuth2Error():
            return Problem(error.status_code, error.error, error.description)
        case SanicException():
            return _of_sanic(error)
        case _:
            return Problem(500, _UNEXPECTED, "A server error occurred.")


def _accepted(error: MediaTypeError) -> dict[str, str]:
    """Return the headers that name the accepted types (RFC 9110, 15.5.16; RFC 5789, 2.2)."""
    accepted = {"Accept": ", ".join(error.accepted)}
    if MERGE_PATCH in error.accepted:
        accepted["Accept-Patch"] = accepted["Accept"]
    if error.encoded:
        accepted["Accept-Encoding"] = "identity"
    return accepted


_UNEXPECTED = "error"
_SANIC = {
    400: ("bad_request", "Bad request."),
    404: ("not_found", "Not found."),
    406: ("not_acceptable", "Could not satisfy the request Accept header."),
    408: ("request_timeout", "The request did not arrive in time."),
    413: ("payload_too_large", "The request body is over 1 MiB."),
    417: ("expectation_failed", "Expectation failed."),
    431: ("headers_too_large", "The request headers are too large."),
    503: ("unavailable", "The service is unavailable."),
}


def _of_sanic(error: SanicException) -> Problem:
    status = error.status_code
    headers = {name: str(value) for name, value in (error.headers or {}).items()}
    if isinstance(error, MethodNotAllowed):
        # Our words around the method, which is no more than a token of the request line.
        return Problem(status, "method_not_allowed", str(error), headers)
    if isinstance(error, PayloadTooLarge) and "header" in str(error):
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE.value
    code, detail = _SANIC.get(status, ("error", HTTPStatus(status).phrase + "."))
    return Problem(status, code, detail, headers)


def respond(request: CinelogRequest, problem: Problem) -> HTTPResponse:
    """Return a response with the problem document."""
    return HTTPResponse(
        orjson.dumps(document(problem, request.path, request.request_id)),
        status=problem.status,
        headers=problem.headers,
        content_type=PROBLEM,
    )


def _refuse_tokens(request: CinelogRequest, problem: Problem, exception: Exception) -> HTTPResponse:
    """Return an OAuth error where the client speaks OAuth, else a problem document."""
    error = oauth.oauth_error_of(exception, problem.status, problem.detail)
    if not oauth.speaks_oauth(request):
        headers, members = problem.headers | oauth.NO_STORE, {"error": error.error}
        return respond(request, problem._replace(headers=headers, members=members))
    status, body, headers = oauth.error_response(error)
    kept = {name: value for name, value in problem.headers.items() if name != _CHALLENGE}
    return HTTPResponse(
        orjson.dumps(body),
        status=status,
        headers=kept | headers,
        content_type=headers["Content-Type"],
    )


def document(problem: Problem, instance: str, request_id: str) -> representations.Problem:
    """Return the problem document."""
    body: representations.Problem = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        "code": problem.code,
        "request_id": request_id,
    }
    if problem.errors is not None:
        body["errors"] = problem.errors
    body.update(problem.members)  # type: ignore[typeddict-item]
    return body


class ProblemHandler(ErrorHandler):
    """Answers every error with a problem document, and logs unexpected ones.

    ``count`` is called with every error.
    """

    count: Callable[[BaseException], None] | None = None

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """Return the answer to ``exception``."""
        assert isinstance(request, CinelogRequest)  # noqa: S101 - the application makes no other
        if self.count:
            self.count(exception)
        if isinstance(exception, CancelledError):  # the client is gone
            return HTTPResponse(status=_CLIENT_GONE)
        problem = problem_of(exception)
        if isinstance(exception, MethodNotAllowed):
            detail = f'Method "{request.method}" not allowed.'
            problem = problem._replace(detail=detail, headers={"Allow": methods_of(request)})
        if problem.code == _UNEXPECTED:
            known = {"request_id": request.request_id}
            if request.trace:
                known["trace_id"] = request.trace.trace_id
            log.error("unexpected error", **known, exc_info=exception)
        if oauth.endpoint_of(request):
            return _refuse_tokens(request, problem, exception)
        return respond(request, problem)

    @staticmethod
    def log(request: Request, exception: Exception) -> None:
        """Do nothing: Sanic would log the URL, and ``default`` logs what matters."""
