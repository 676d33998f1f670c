"""Example values of the description."""

from typing import Any

from commands.movie import Movie

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}
MOVIE_ID = "019a0b6c-57e4-7d31-9d4c-2f1d3f0a6b58"
MOVIE = {
    "id": MOVIE_ID,
    **ALIEN,
    "creator": "ann",
    "version": 1,
    "created_at": "2026-01-02T12:00:00.000250Z",
    "updated_at": "2026-01-02T12:00:00.000250Z",
}
ENTRY = {
    "id": 7,
    "version": 2,
    "position": 7,
    "type": Movie.Updated.TOPIC,
    "at": "2026-01-02T12:05:00.000250Z",
    "actor": {"id": "019a0b6c-1f60-7a54-8a52-6d0a1c7a4f11", "username": "ann"},
    "changes": {"year": {"from": 1978, "to": 1979}},
    "request_id": "019a0b6c-57e4-7d31-9d4c-2f1d3f0a6b58",
    "reason": None,
}
EVENT = {"movie_id": "019a0b6c-57e4-7d31-9d4c-2f1d3f0a6b58", **ENTRY}
ACCOUNT_ID = "019a0b6c-1f60-7a54-8a52-6d0a1c7a4f11"
AT = "2026-01-02T12:00:00.000250Z"
ANN = {"username": "ann", "email": "ann@example.org", "first_name": "Ann", "last_name": ""}
LINK_TOKEN = "AZoLbB9gelSKUm0KHHpPEbU0…"  # noqa: S105 - an example
PASSWORD = "correct-horse-7"  # noqa: S105 - an example


def page_of(result: dict[str, Any]) -> dict[str, Any]:
    """Return a page with one result."""
    return {"count": 1, "next": None, "previous": None, "results": [result]}


TOKEN_PAIR = {"access": "eyJ…", "refresh": "eyJ…", "token_type": "Bearer", "expires_in": 300}
READY = {
    "status": "ready",
    "event_store": {
        "state": "ok",
        "log": "0f8fad5b-d9cb-469f-a165-70867728950e.1",
        "position": 42,
    },
    "read_model": {"state": "live", "position": 42, "parked": 0, "format": 2, "format_expected": 2},
    "projection": {"state": "active", "lag_events": 0, "lag_seconds": 0.0},
}
UNREADY = READY | {"status": "unavailable", "read_model": {"state": "unavailable"}}
