"""CORS: pages of the configured origins may call the API with a token, never with cookies."""

from typing import Any

ALLOWED = (
    "Authorization",
    "Content-Type",
    "Change-Reason",
    "Event-Log",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Min-Event-Position",
    "Prefer",
    "Traceparent",
    "X-Request-ID",
)
EXPOSED = (
    "ETag",
    "Event-Log",
    "Event-Position",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Read-Model",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
_MAX_AGE_S = 600


def cross_origin(origins: str) -> dict[str, Any]:
    """Return the configuration of sanic-ext for comma-separated ``origins``."""
    if not origins:
        return {"CORS": False}
    return {
        "CORS": True,
        "CORS_ORIGINS": origins,
        "CORS_ALLOW_HEADERS": ",".join(ALLOWED),
        "CORS_EXPOSE_HEADERS": ",".join(EXPOSED),
        "CORS_MAX_AGE": _MAX_AGE_S,
    }
