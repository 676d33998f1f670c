"""What requests carry in their path, query and header.

Schemas say what a client should send. Filters and pages accept more: blank filters are ignored,
and a page size that is no number is the default.
"""

from typing import Any

from commands.aggregates.event_types import MOVIE_EVENTS
from queries.log.movie_events import DEFAULT_LIMIT, MAX_LIMIT
from queries.movie_query import NUMBERS, TEXTS
from queries.orderings import FIELDS
from queries.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from service.openapi.model import Parameter
from service.web.params import MAX_NUMBER

Json = dict[str, Any]
_TEXT: Json = {"type": "string"}
_WITHOUT_NUL: Json = {"type": "string", "pattern": r"^[^\x00]*$"}
_YEAR: Json = {"type": "integer"}
_PAGE_SIZE: Json = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_PAGE_SIZE,
    "default": DEFAULT_PAGE_SIZE,
}
_PAGE: Json = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "enum": ["last"]}]}
_WHOLE: Json = {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}

MOVIE_ID = Parameter(
    "movie_id", "path", "The movie.", {"type": "string", "format": "uuid"}, key="MovieId"
)
TOKEN_ID = Parameter(
    "token_id", "path", "The personal token.", {"type": "string", "format": "uuid"}, key="TokenId"
)
SESSION_ID = Parameter("sid", "path", "The session.", _TEXT, ("jQ1mC0r1c7v3sYkS",), key="SessionId")

JOB_ID = Parameter(
    "job_id",
    "path",
    "The job.",
    {"type": "string", "format": "uuid"},
    ("019a0b6c-9d10-7c21-b0d3-7f5a2f7f0a11",),
    key="JobId",
)
USERNAME = Parameter(
    "username", "path", "The account's username, in any case.", _TEXT, ("ann",), key="Username"
)
ACCOUNT_NAME = Parameter(
    "username",
    "query",
    "Only the account with this username, in any case.",
    _TEXT,
    ("ann",),
    key="AccountName",
)


def _filter(name: str, field: str) -> Parameter:
    what = "title or genre contains" if field == "search" else f"{field} contains"
    about = f"Only movies whose {what} this text, case-insensitively. A blank value is no filter."
    return Parameter(name, "query", about, _WITHOUT_NUL)


def _bound(name: str) -> Parameter:
    relations = {"gt": "after", "lt": "before", "gte": "in or after", "lte": "in or before"}
    relation = relations.get(name.partition("__")[2], "in")
    return Parameter(
        name, "query", f"Only movies {relation} this year. A blank value is no filter.", _YEAR
    )


_ORDER = rf"-?({'|'.join(FIELDS)})"
_ORDERINGS = rf"^{_ORDER}(,{_ORDER})*$"
FILTERS = (*(_filter(name, field) for name, field in TEXTS.items()), *map(_bound, NUMBERS))
ORDERING = Parameter(
    "ordering",
    "query",
    f"Any of `{'`, `'.join(FIELDS)}`, separated by commas, each with `-` before it for "
    "descending order. Text is ordered case-insensitively; among equal movies the newest comes "
    "first. Unknown names are ignored beside known ones. A blank value is newest first.",
    {"type": "string", "pattern": _ORDERINGS},
    ("-created_at", *FIELDS, "genre,-year"),
)
PAGE = Parameter("page", "query", "The page number, from 1, or `last`.", _PAGE, (1,))
PAGE_SIZE = Parameter(
    "page_size",
    "query",
    f"From 1 to {MAX_PAGE_SIZE}; larger values are reduced, invalid ones mean {DEFAULT_PAGE_SIZE}.",
    _PAGE_SIZE,
)
PAGING = (PAGE, PAGE_SIZE)
CURSOR = Parameter(
    "cursor", "query", "The cursor from the `Link` of an answer; instead of `page`.", _TEXT
)
AT_VERSION = Parameter(
    "version",
    "query",
    "The movie at this version; instead of `at`. A blank value counts as absent.",
    _WHOLE,
)
AT_TIME = Parameter(
    "at",
    "query",
    "The state at this time (RFC 3339, with an offset): the log up to the first event with a "
    "later timestamp; `Event-Position` is that position. Digits beyond microseconds are dropped, "
    "and `23:59:60Z` is the following second. A blank value counts as absent.",
    _TEXT | {"anyOf": [{"format": "date-time"}, {"pattern": r"^\s*$"}]},
)
AT_POSITION = Parameter(
    "at_position",
    "query",
    "The list at this position of the log; instead of `at`. A blank value counts as absent.",
    _WHOLE,
)
DRY_RUN = Parameter(
    "dry_run",
    "query",
    "Returns the outcome without changing the movie: `true`, `1`, `yes`, `on` or an empty value, "
    "case-insensitively. `false`, `0`, `no` and `off` revert it.",
    {"type": "boolean", "default": False},
)
AFTER = Parameter("after", "query", "Only events after this position.", _WHOLE)
LIMIT = Parameter(
    "limit",
    "query",
    f"The most events to return, from 1 to {MAX_LIMIT:,}; larger values are reduced.",
    _WHOLE | {"default": DEFAULT_LIMIT},
)


def _event_bound(name: str, relation: str) -> Parameter:
    about = (
        f"Only events stamped {relation} this time (RFC 3339, with an offset). Digits beyond "
        "microseconds are dropped. A blank value is no filter."
    )
    return Parameter(name, "query", about, AT_TIME.schema, ("2026-01-02T12:00:00Z",))


EVENT_FILTERS = (
    Parameter(
        "type",
        "query",
        "Only events of this type. A blank value is no filter.",
        {"type": "string", "enum": [*MOVIE_EVENTS]},
    ),
    Parameter(
        "movie",
        "query",
        "Only events of the movie with this id, which may be deleted. A blank value is no filter.",
        _TEXT | {"anyOf": [{"format": "uuid"}, {"pattern": r"^\s*$"}]},
    ),
    Parameter(
        "actor__username",
        "query",
        "Only events that the account with exactly this username caused, case-insensitively. A "
        "blank value is no filter.",
        _WITHOUT_NUL,
        ("ann",),
    ),
    _event_bound("at__gte", "at or after"),
    _event_bound("at__lt", "before"),
)
BY = Parameter(
    "by",
    "query",
    "What to count by. A blank value is the default.",
    {"type": "string", "enum": ["day"], "default": "day"},
)
