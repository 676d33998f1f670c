"""What errors say, and the facts that they carry."""

from uuid import UUID

import pytest

from commands import errors

STREAM = UUID(int=7)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.InvalidError({"a": ["X.", "Y."], "b": ["Z."]}), "a: X. Y.; b: Z."),
        (errors.AccountClosedError(), "The account is closed."),
        (errors.NotFoundError(), "No Movie matches the given query."),
        (errors.NotFoundError("Invalid page."), "Invalid page."),
        (errors.PreconditionFailedError(None), "A precondition of the request does not hold."),
        (errors.PreconditionFailedError(None, "It does not."), "It does not."),
        (
            errors.VersionConflictError("3", 4),
            "Expected version 3, but the movie is at version 4.",
        ),
        (
            errors.UndoConflictError({"title": (3, "x"), "year": (4, 1979)}),
            "Later changes stand against it: title, year.",
        ),
        (
            errors.PositionUnknownError("log.1", 7, None),
            "The log log.1 has no such position; it ends at 7.",
        ),
        (
            errors.ThrottledError("login", 9),
            "Request was throttled. Expected available in 9 seconds.",
        ),
        (errors.RebuildRunningError(), "another rebuild is running"),
        (
            errors.FewerEventsError(1_000, 2_000, 3_000),
            (
                "the log has 1,000 events up to position 3,000, the live read model was built from"
                " 2,000: it stays; run cinelog check, and cinelog verify --repair where the log is"
                " right"
            ),
        ),
        (errors.UnreadableEventError(STREAM), f"An event of {STREAM} cannot be read."),
        (errors.UnavailableError(), "The service is unavailable."),
        (errors.EventStoreUnavailableError(), "The event store is unavailable."),
        (errors.BusyError("too many wait"), "The queue is unavailable: too many wait"),
        (errors.ReadModelUnavailableError("away"), "The read model is unavailable: away"),
        (
            errors.StoreDamagedError("page 3"),
            "The event store is damaged and takes no writes: page 3",
        ),
        (errors.ConfigurationError("CINELOG_X", "it is no URL"), "CINELOG_X: it is no URL"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_says(error, text):
    assert str(error) == text


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (errors.InvalidError({"a": ["X."]}), {"errors": {"a": ["X."]}}),
        (errors.TakenError({"a": ["X."]}), {"errors": {"a": ["X."]}}),
        (errors.TokenReusedError(STREAM, "s"), {"account_id": STREAM, "sid": "s"}),
        (errors.NotFoundError("Gone."), {"message": "Gone."}),
        (errors.PreconditionFailedError('"1"'), {"tag": '"1"'}),
        (errors.VersionConflictError("3", 4), {"tag": '"4"', "expected": "3", "actual": 4}),
        (errors.UndoConflictError({"year": (4, 1979)}), {"conflicts": {"year": (4, 1979)}}),
        (errors.PositionUnknownError("l", 7, 5), {"log": "l", "head": 7, "shared": 5}),
        (errors.ThrottledError("login", 9), {"limit": "login", "retry_after_s": 9}),
        (errors.UnreadableEventError(STREAM), {"stream_id": STREAM}),
        (errors.UnavailableError(), {"retry_after_s": 1}),
        (errors.UnavailableError(retry_after_s=5), {"retry_after_s": 5}),
        (errors.StoreDamagedError("page 3"), {"reason": "page 3", "retry_after_s": 60}),
        (errors.ConfigurationError("CINELOG_X", "p"), {"variable": "CINELOG_X", "problem": "p"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_carries(error, facts):
    assert {name: getattr(error, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("found", "position", "there"),
    [
        ("b.1", 2_000, "b.1 that ends at 2,000"),
        ("", 2_000, "a log that ends at 2,000"),
        ("", 0, "nothing"),
    ],
)
def test_another_log_is_named(found, position, there):
    error = errors.LogMismatchError("a.1", 1_000, found, position)
    assert error.variable == "CINELOG_EVENT_STORE_URL"
    assert error.problem == (
        "the event store is not the one that was served: expected a.1 up to position 1,000, found"
        f" {there}; put it back, or accept it with cinelog serve --accept-log"
    )
