"""The headers of answers."""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Header:
    """What an answer carries in its header, ``always`` or only sometimes."""

    name: str
    about: str
    schema: dict[str, Any]
    always: bool = True
    key: str = ""

    def sometimes(self) -> "Header":
        """Return the header as one that not every such answer carries."""
        return replace(self, always=False)


_TEXT: dict[str, Any] = {"type": "string"}
_URI = {"type": "string", "format": "uri-reference"}

REQUEST_ID = Header(
    "X-Request-ID",
    "The request id, also in log lines and in the events that the request caused.",
    {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
)
RATE_LIMIT_POLICY = Header(
    "RateLimit-Policy",
    "The limits that counted this call: `q` calls in `w` seconds.",
    _TEXT | {"examples": ['"api";q=6000;w=60']},
    always=False,
)
RATE_LIMIT = Header(
    "RateLimit",
    "The caller's quota: `r` calls remain for `t` seconds.",
    _TEXT | {"examples": ['"api";r=5999;t=60']},
    always=False,
)
SET_COOKIE = Header(
    "Set-Cookie",
    "Two of them: the access token for all paths, the refresh token for the calls of the session.",
    _TEXT,
)
MOVIE_TAG = Header(
    "ETag",
    "The movie's version, for `If-Match` and `If-None-Match`.",
    {"type": "string", "pattern": '^"[0-9]+"$', "examples": ['"3"']},
    key="MovieETag",
)
LIST_TAG = Header(
    "ETag",
    "Changes whenever the list may have changed; for `If-None-Match`.",
    {
        "type": "string",
        "pattern": '^W/"p[0-9]+(@[0-9a-f.-]+)?"$',
        "examples": ['W/"p42@0f8fad5b-d9cb-469f-a165-70867728950e.1"'],
    },
    key="ListETag",
)
SUMMARY_TAG = Header(
    "ETag",
    "Changes with the summary; for `If-None-Match`.",
    {
        "type": "string",
        "pattern": '^W/"s[0-9a-f]+"$',
        "examples": ['W/"s8f14e45fceea167a5a36dedd"'],
    },
    key="SummaryETag",
)
FILE_TAG = Header(
    "ETag",
    "Changes with the content; for `If-None-Match`.",
    {"type": "string", "pattern": '^"[^"]+"$'},
    key="FileETag",
)
CURRENT_TAG = Header(
    "ETag",
    "The current entity tag.",
    {"type": "string", "pattern": '^(W/)?"[^"]*"$', "examples": ['"3"']},
    key="CurrentETag",
)
EVENT_POSITION = Header(
    "Event-Position",
    "The position of the log that the answer reflects, or of the write; for `Min-Event-Position`.",
    {"type": "integer", "minimum": 0},
)
EVENT_LOG = Header(
    "Event-Log",
    "The log and epoch of the position. A new epoch begins when a backup is imported or an older "
    "state is accepted. Missing while the event store cannot be read.",
    _TEXT
    | {
        "pattern": r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9]+$",
        "examples": ["0f8fad5b-d9cb-469f-a165-70867728950e.1"],
    },
    always=False,
)
BEGINNING = Header(
    "Event-Position",
    "The position after which the stream begins.",
    {"type": "integer", "minimum": 0},
    key="StreamPosition",
)
READ_MODEL = Header(
    "Read-Model",
    "`behind` if the write is stored but not yet visible in lists.",
    {"const": "behind"},
    always=False,
)
PREFERENCE_APPLIED = Header(
    "Preference-Applied",
    "The preference that was followed.",
    {"const": "respond-async"},
    always=False,
)
REPLAYED = Header(
    "Idempotent-Replayed",
    "`true` if this is the answer to an earlier request with the same `Idempotency-Key`.",
    {"const": "true"},
    always=False,
)
LOCATION = Header("Location", "Link to the new movie.", _URI)
JOB_LOCATION = Header("Location", "Link to the job.", _URI, key="JobLocation")
LINK = Header(
    "Link",
    'With more results, a link with `rel="next"` that pages by cursor, stable while movies are '
    "added.",
    _TEXT,
    always=False,
)
CACHE_CONTROL = Header("Cache-Control", "Caching rules of the answer.", _TEXT)
VARY = Header("Vary", "The request headers that the answer depends on.", _TEXT)
CONTENT_ENCODING = Header(
    "Content-Encoding", "`gzip` if `Accept-Encoding` allows it.", {"const": "gzip"}, always=False
)
RETRY_AFTER = Header(
    "Retry-After", "Seconds to wait before a retry.", {"type": "integer", "minimum": 0}
)
CHALLENGE = Header("WWW-Authenticate", "The authentication scheme.", _TEXT, always=False)
ACCEPT = Header("Accept", "The accepted media types.", _TEXT)
ACCEPT_PATCH = Header("Accept-Patch", "The media types that `PATCH` accepts.", _TEXT)
ACCEPT_ENCODING = Header(
    "Accept-Encoding", "`identity`: a body with a content coding is refused.", _TEXT
)
ALLOW = Header("Allow", "The methods of the path.", _TEXT)

CACHED = (CACHE_CONTROL,)
BEHIND_A_TOKEN = (CACHE_CONTROL, VARY)
EVERYWHERE = (REQUEST_ID, RATE_LIMIT_POLICY, RATE_LIMIT)
_REFUSED = (RETRY_AFTER, CHALLENGE, ACCEPT, ACCEPT_PATCH, ACCEPT_ENCODING, ALLOW, CURRENT_TAG)
WITH_REFUSALS = {header.name: header for header in _REFUSED}
POSITIONED = (EVENT_POSITION, EVENT_LOG)
AFTER_WRITE = (*POSITIONED, READ_MODEL, PREFERENCE_APPLIED)
