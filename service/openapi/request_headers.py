"""The headers of requests."""

from typing import Any

from commands.messages import MAX_REASON
from service.openapi.model import Parameter
from service.web.idempotency import MAX_KEY
from service.web.params import MAX_NUMBER

_TEXT: dict[str, Any] = {"type": "string"}

REQUEST_ID = Parameter(
    "X-Request-ID",
    "header",
    "The request id: 1 to 64 letters, digits, `.`, `_` and `-`. Any other value is replaced.",
    _TEXT,
)
TRACE_PARENT = Parameter(
    "Traceparent", "header", "The trace that the request belongs to (W3C Trace Context).", _TEXT
)
EVERYWHERE = (REQUEST_ID, TRACE_PARENT)
IF_MATCH = Parameter(
    "If-Match",
    "header",
    "Entity tags: change the movie only if its version is among them.",
    _TEXT,
)
IF_NONE_MATCH = Parameter(
    "If-None-Match",
    "header",
    "Entity tags of the client's copies: 304 if the current one is among them.",
    _TEXT,
)
SHOWN_MATCH = Parameter(
    "If-Match",
    "header",
    "Entity tags, compared strongly: 412 unless that of the answer is among them.",
    _TEXT,
    key="IfMatchOfARead",
)
EXCLUDED = Parameter(
    "If-None-Match",
    "header",
    "Entity tags: change nothing, and answer 412, if the current one is among them.",
    _TEXT,
    key="IfNoneMatchOfAWrite",
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "Makes a retry safe: the same key, account and request returns the first answer.",
    {
        "type": "string",
        "pattern": rf"^[!-~]([ -~]{{0,{MAX_KEY - 2}}}[!-~])?$",
    },
)
CHANGE_REASON = Parameter(
    "Change-Reason",
    "header",
    f"The reason, up to {MAX_REASON} printable characters (UTF-8), stored in the movie's history.",
    {
        "type": "string",
        "maxLength": MAX_REASON,
        # Controls, the soft hyphen, separators of lines and paragraphs.
        "pattern": r"^[^\u0000-\u001f\u007f-\u009f\u00ad\u2028\u2029]*$",
    },
)
PREFER = Parameter(
    "Prefer",
    "header",
    "`respond-async` answers without waiting for the read model.",
    _TEXT,
)
EVENT_LOG = Parameter(
    "Event-Log",
    "header",
    "The `Event-Log` received with the position. A position beyond the last one that this epoch "
    "shares with the current epoch is refused with 409 `position_unknown`.",
    {
        "type": "string",
        "pattern": r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.(0|[1-9][0-9]{0,17}))?$",
    },
)
MIN_POSITION = Parameter(
    "Min-Event-Position",
    "header",
    "An `Event-Position` that the answer must have reached, else 503; 409 if the log does not "
    "have it.",
    {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER},
)
LAST_EVENT_ID = Parameter(
    "Last-Event-ID",
    "header",
    "The `id` of the last event received. An empty value counts as absent.",
    {"type": "string", "pattern": "^(0*[0-8]?[0-9]{1,15})?$"},
)
