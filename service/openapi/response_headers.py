"""The headers of answers."""

from typing import Any

from service.openapi.model import Header

_TEXT: dict[str, Any] = {"type": "string"}
_URI = {"type": "string", "format": "uri-reference"}

REQUEST_ID = Header(
    "X-Request-ID",
    "Names the request, here, in the log lines and in the events it caused.",
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
    "Where the caller stands: `r` calls are left for `t` seconds.",
    _TEXT | {"examples": ['"api";r=5999;t=60']},
    always=False,
)
MOVIE_TAG = Header(
    "ETag",
    "The movie's version, for `If-Match` and `If-None-Match`.",
    {"type": "string", "pattern": '^"[0-9]+"$', "examples": ['"3"']},
    key="MovieETag",
)
LIST_TAG = Header(
    "ETag",
    "Changes with whatever the list shows; for `If-None-Match`.",
    {
        "type": "string",
        "pattern": '^W/"p[0-9]+(@[0-9a-f.-]+)?"$',
        "examples": ['W/"p42@0f8fad5b-d9cb-469f-a165-70867728950e.1"'],
    },
    key="ListETag",
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
    "The place in the log that the answer shows, or that the write ended at; for "
    "`Min-Event-Position`.",
    {"type": "integer", "minimum": 0},
)
EVENT_LOG = Header(
    "Event-Log",
    "The log that the position belongs to, and its epoch. A new epoch begins when a backup is "
    "imported or an older state is accepted. Left out while the event store cannot be read.",
    _TEXT
    | {
        "pattern": r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9]+$",
        "examples": ["0f8fad5b-d9cb-469f-a165-70867728950e.1"],
    },
    always=False,
)
BEGINNING = Header(
    "Event-Position",
    "The place in the log behind which the stream begins.",
    {"type": "integer", "minimum": 0},
    key="StreamPosition",
)
READ_MODEL = Header(
    "Read-Model",
    "`behind` where the write is stored but not shown yet.",
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
    "`true` where this is the answer to an earlier request with the same `Idempotency-Key`.",
    {"const": "true"},
    always=False,
)
LOCATION = Header("Location", "Link to the new movie.", _URI)
LINK = Header(
    "Link",
    'Where more follows, a link with `rel="next"` that pages by cursor: stable while movies are '
    "added.",
    _TEXT,
    always=False,
)
CACHE_CONTROL = Header("Cache-Control", "Who may keep the answer, and for how long.", _TEXT)
VARY = Header("Vary", "The request headers that the answer depends on.", _TEXT)
CONTENT_ENCODING = Header(
    "Content-Encoding", "`gzip` where `Accept-Encoding` takes it.", {"const": "gzip"}, always=False
)
RETRY_AFTER = Header(
    "Retry-After", "Seconds after which to ask again.", {"type": "integer", "minimum": 0}
)
CHALLENGE = Header("WWW-Authenticate", "How to prove who asks.", _TEXT, always=False)
ACCEPT = Header("Accept", "The media types that are taken.", _TEXT)
ACCEPT_PATCH = Header("Accept-Patch", "The media types that `PATCH` takes.", _TEXT)
ACCEPT_ENCODING = Header(
    "Accept-Encoding", "`identity`: a body with a content coding is refused.", _TEXT
)
ALLOW = Header("Allow", "The methods that the path takes.", _TEXT)

CACHED = (CACHE_CONTROL,)
BEHIND_A_TOKEN = (CACHE_CONTROL, VARY)
EVERYWHERE = (REQUEST_ID, RATE_LIMIT_POLICY, RATE_LIMIT)
_REFUSED = (RETRY_AFTER, CHALLENGE, ACCEPT, ACCEPT_PATCH, ACCEPT_ENCODING, ALLOW, CURRENT_TAG)
WITH_REFUSALS = {header.name: header for header in _REFUSED}
POSITIONED = (EVENT_POSITION, EVENT_LOG)
AFTER_WRITE = (*POSITIONED, READ_MODEL, PREFERENCE_APPLIED)
