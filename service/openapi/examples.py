"""Example values of the description."""

from typing import Any

from commands.aggregates.movie import Movie

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
REGISTERED = {"id": ACCOUNT_ID} | ANN
OWN_ACCOUNT = REGISTERED | {"operator": False}
LINK_TOKEN = "AZoLbB9gelSKUm0KHHpPEbU0…"  # noqa: S105 - an example
PERSONAL_TOKEN = {
    "id": "019a0b6c-6a10-7b1e-b5a4-9c0d4e2f7a31",
    "name": "backup",
    "scope": "read",
    "created_at": AT,
    "expires_at": "2026-04-02T12:00:00.000250Z",
}
PERSONAL_TOKEN_TEXT = "cinelog_" + "AZoLbB9g" * 11
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
    "backup": {"state": "ok", "position": 40, "age_seconds": 1_800.5},
}
UNREADY = READY | {"status": "unavailable", "read_model": {"state": "unavailable"}}

JOB: dict[str, Any] = {
    "id": "019a0b6c-9d10-7c21-b0d3-7f5a2f7f0a11",
    "kind": "rebuild",
    "by": "ann",
    "started_at": AT,
    "state": "running",
    "finished_at": None,
    "progress": None,
    "ok": None,
    "outcome": None,
    "error": None,
}
JOB_DONE = JOB | {
    "state": "done",
    "finished_at": "2026-01-02T12:00:04.120250Z",
    "progress": {"phase": "compare", "done": 9_600, "total": 9_600},
    "ok": True,
    "outcome": {
        "generation": 3,
        "position": 42,
        "events": 42,
        "movies": 40,
        "parked": 0,
        "compared": 84,
        "seconds": 0.112,
        "differing": {},
        "differences": [],
    },
}
STATUS = {
    "event_store": {
        "kind": "sqlite",
        "version": "SQLite 3.51.3",
        "state": "ok",
        "position": 42,
        "events": 42,
        "log": "0f8fad5b-d9cb-469f-a165-70867728950e.1",
    },
    "read_model": {
        "state": "live",
        "generation": 2,
        "format": 2,
        "format_expected": 2,
        "position": 42,
        "events_applied": 42,
        "parked": 0,
        "dropped": 0,
        "events_missing": 0,
        "lag_events": 0,
        "lag_seconds": 0.0,
        "mirror_bytes": 115_000_000,
    },
    "projection": {"active": True},
    "rebuild": {"phase": "rebuild", "done": 12, "total": 42},
    "backup": {"age_seconds": 1_800.5, "position": 40, "failed": False},
    "job": JOB,
}
PARKED = {
    "movie_id": MOVIE_ID,
    "position": 7,
    "type": Movie.Updated.TOPIC,
    "error": "ValueError: the timestamp has another format",
    "dropped": False,
}
ACCOUNT = {
    "id": ACCOUNT_ID,
    "username": "ann",
    "created_at": AT,
    "operator": False,
    "closed": False,
}
PASSWORD_LINK = {
    "url": f"https://movies.example.org/#/reset?token={LINK_TOKEN}",
    "expires_at": "2026-01-02T13:00:00.000250Z",
}
