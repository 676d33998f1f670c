"""What requests carry in their path, query and header.

Schemas say what a client should send. Filters and pages accept more: blank filters are ignored,
and a page size that is no number is the default.
"""

from typing import Any

from queries.log.history import DEFAULT_LIMIT, MAX_LIMIT
from queries.movie_query import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, NUMBERS, TEXTS
from queries.orderings import FIELDS
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
SESSION_ID = Parameter("sid", "path", "The session.", _TEXT, ("jQ1mC0r1c7v3sYkS",), key="SessionId")


def _filter(name: str, field: str) -> Parameter:
    what = "title or genre contains" if field == "search" else f"{field} contains"
    about = f"Only movies whose {what} this, without regard to case. Blank is no filter."
    return Parameter(name, "query", about, _WITHOUT_NUL)


def _bound(name: str) -> Parameter:
    relation = {"gt": "after", "lt": "before", "gte": "in or after", "lte": "in or before"}
    said = relation.get(name.partition("__")[2], "in")
    return Parameter(name, "query", f"Only movies {said} this year. Blank is no filter.", _YEAR)


_ORDER = rf"-?({'|'.join(FIELDS)})"
_ORDERINGS = rf"^{_ORDER}(,{_ORDER})*$"
FILTERS = (*(_filter(name, field) for name, field in TEXTS.items()), *map(_bound, NUMBERS))
ORDERING = Parameter(
    "ordering",
    "query",
    f"Any of `{'`, `'.join(FIELDS)}`, with commas between, each also with `-` before it for "
    "descending; texts without regard to case. Of those that are equal the newest comes first. "
    "Unknown ones are ignored beside known ones. Blank is newest first.",
    {"type": "string", "pattern": _ORDERINGS},
    ("-created_at", *FIELDS, "genre,-year"),
)
PAGE = Parameter("page", "query", "The page, from 1; or `last`.", _PAGE, (1,))
PAGE_SIZE = Parameter(
    "page_size",
    "query",
    f"From 1 to {MAX_PAGE_SIZE}; more is cut to that, nonsense is {DEFAULT_PAGE_SIZE}.",
    _PAGE_SIZE,
)
PAGING = (PAGE, PAGE_SIZE)
CURSOR = Parameter(
    "cursor", "query", "Where to go on, from the `Link` of an answer; instead of `page`.", _TEXT
)
AT_VERSION = Parameter(
    "version",
    "query",
    "The movie as it was at this version; instead of `at`. Blank is none.",
    _WHOLE,
)
AT_TIME = Parameter(
    "at",
    "query",
    "What there was at this time (RFC 3339, with an offset): the log up to the first event that is "
    "stamped later; `Event-Position` tells how far that is. Digits beyond microseconds are cut "
    "off, and `23:59:60Z` is the second that follows. Blank is none.",
    _TEXT | {"anyOf": [{"format": "date-time"}, {"pattern": r"^\s*$"}]},
)
AT_POSITION = Parameter(
    "at_position",
    "query",
    "What was shown at this place in the log; instead of `at`. Blank is none.",
    _WHOLE,
)
DRY_RUN = Parameter(
    "dry_run",
    "query",
    "Only answers what the movie would become: `true`, `1`, `yes`, `on`, or nothing behind the "
    "name. The others revert it. Without regard to case.",
    {"type": "boolean", "default": False},
)
AFTER = Parameter("after", "query", "Only what stands behind this place in the log.", _WHOLE)
LIMIT = Parameter(
    "limit",
    "query",
    f"How many at most, from 1 to {MAX_LIMIT:,}; more is cut to that.",
    _WHOLE | {"default": DEFAULT_LIMIT},
)
