"""What routes refuse, in the words of the very table that answers it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from authlib.oauth2.rfc6749.errors import OAuth2Error  # type: ignore[import-untyped]
from sanic.exceptions import PayloadTooLarge

from commands.errors import (
    BusyError,
    EventStoreUnavailableError,
    InvalidError,
    NotAuthenticatedError,
    NotCreatorError,
    NotFoundError,
    OutcomeUnknownError,
    PositionUnknownError,
    ReadModelUnavailableError,
    ThrottledError,
    TokenNotValidError,
    VersionConflictError,
)
from service.errors import InsufficientScopeError, MalformedError, MediaTypeError
from service.openapi.model import Operation
from service.openapi.response_headers import WITH_REFUSALS, Header
from service.web.negotiation import NotAcceptableError
from service.web.oauth import error_response, oauth_error_of
from service.web.problems import Problem, document, problem_of

UNKNOWN = PositionUnknownError("0f8fad5b-d9cb-469f-a165-70867728950e.2", 38_624, 38_000)
"""The refusal of a position that the log does not have."""
INVALID_PAGE = NotFoundError("Invalid page.")
"""The refusal of a page out of range."""
FILTERS = InvalidError({"at__gte": ["Enter a valid date/time."], "movie": ["Enter a valid UUID."]})
"""The refusal of filters of events."""
WRITE_REFUSED = (
    NotCreatorError(),
    NotFoundError(),
    VersionConflictError("2", 3),
    EventStoreUnavailableError(),
    OutcomeUnknownError(),
    BusyError(),
)
LOG_UNAVAILABLE = (EventStoreUnavailableError(), BusyError())
ACCOUNTS_UNAVAILABLE = (
    EventStoreUnavailableError(),
    OutcomeUnknownError(),
    ReadModelUnavailableError(),
    BusyError(),
)
_REQUEST_ID = "019a0b6c-57e4-7d31-9d4c-2f1d3f0a6b58"


@dataclass(frozen=True)
class Refusal:
    """All that is refused with one status: what to say of it, examples, and the headers."""

    about: str
    examples: dict[str, Any]
    headers: list[Header]
    oauth: dict[str, Any] = field(default_factory=dict)
    """Examples of the errors of OAuth clients; empty unless they call the operation.

    The description names them in words: with two media types, typed clients would have to
    find out which of two errors they got.
    """


class _Standard(NamedTuple):
    """The error of an OAuth client."""

    body: dict[str, str]
    headers: dict[str, str]


def unreadable(*taken: str) -> tuple[Exception, ...]:
    """Return the refusals of a body that cannot be read as one of the media types ``taken``."""
    return (
        MalformedError("JSON parse error."),
        PayloadTooLarge(""),
        MediaTypeError(*taken),
        MediaTypeError(*taken, encoded=True),
    )


def required(field: str) -> InvalidError:
    """Return the refusal of a body without a field."""
    return InvalidError({field: ["This field is required."]})


def refusals_of(operation: Operation, path: str, *, is_safe: bool) -> dict[int, Refusal]:
    """Return status → refusal: what the route says of itself, and what all have in common.

    A safe method is also for personal tokens that may only read.
    """
    everywhere: list[Exception] = []
    if operation.produces:
        everywhere.append(NotAcceptableError())
    if operation.limited:
        everywhere.append(ThrottledError("api", 30))
    if not operation.open:
        everywhere += [NotAuthenticatedError(), TokenNotValidError()]
        if not is_safe:
            everywhere.append(InsufficientScopeError())
    problems: dict[int, list[Problem]] = defaultdict(list)
    standard: dict[int, list[_Standard]] = defaultdict(list)
    for error in (*everywhere, *operation.refuses):
        problem = problem_of(error)
        if operation.oauth:
            said = oauth_error_of(error, problem.status, problem.detail)
            status, body, headers = error_response(said)
            standard[status].append(_Standard(body, problem.headers | headers))
            problem = problem._replace(members={"error": said.error})
        if not isinstance(error, OAuth2Error):
            problems[problem.status].append(problem)
    return {
        status: Refusal(
            _about(problems[status], standard[status]),
            _examples(problems[status], path),
            _headers(
                [*(o.headers for o in problems[status]), *(o.headers for o in standard[status])]
            ),
            {one.body["error"]: {"value": one.body} for one in reversed(standard[status])},
        )
        for status in sorted({*problems, *standard})
    }


def _about(problems: Iterable[Problem], standard: Iterable[_Standard]) -> str:
    said = [f"- `{one.code}`: {one.detail}" for one in problems]
    said += [f"- `error` of OAuth clients: `{one.body['error']}`." for one in standard]
    return "\n".join(dict.fromkeys(said))


def _examples(problems: Iterable[Problem], path: str) -> dict[str, Any]:
    examples: dict[str, Any] = {}
    for one in problems:
        name = one.code if one.code not in examples else f"{one.code}_{len(examples) + 1}"
        examples[name] = {"value": document(one, path, _REQUEST_ID)}
    return examples


def _headers(sent: list[dict[str, str]]) -> list[Header]:
    """Return the headers, as ``always`` only where every refusal has them."""
    named = dict.fromkeys(name for one in sent for name in one if name in WITH_REFUSALS)
    always = {name for name in named if all(name in one for one in sent)}
    known = ((name, WITH_REFUSALS[name]) for name in named)
    return [header if name in always else header.sometimes() for name, header in known]
