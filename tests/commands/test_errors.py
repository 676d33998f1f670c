"""What errors say, and the facts that they carry."""

from uuid import UUID

import pytest

from commands import errors

STREAM = UUID(int=7)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: errors.InvalidError({"a": ["X.", "Y."], "b": ["Z."]}), "a: X. Y.; b: Z."),
        (errors.AccountClosedError, "The account is closed."),
        (errors.NotFoundError, "No Movie matches the given query."),
        (lambda: errors.NotFoundError("Invalid page."), "Invalid page."),
        (
            lambda: errors.PreconditionFailedError(None),
            "A precondition of the request does not hold.",
        ),
        (lambda: errors.PreconditionFailedError(None, "It does not."), "It does not."),
        (
            lambda: errors.VersionConflictError("3", 4),
            "Expected version 3, but the movie is at version 4.",
        ),
        (
            lambda: errors.UndoConflictError({"title": (3, "x"), "year": (4, 1979)}),
            "Later changes stand against it: title, year.",
        ),
        (
            lambda: errors.PositionUnknownError("log.1", 7, None),
            "The log log.1 has no such position; it ends at 7.",
        ),
        (
            lambda: errors.ThrottledError("login", 9),
            "Request was throttled. Expected available in 9 seconds.",
        ),
        (errors.RebuildRunningError, "another rebuild is running"),
        (
            lambda: errors.FewerEventsError(1_000, 2_000, 3_000),
            (
                "the log has 1,000 events up to position 3,000, the live read model was built from"
                " 2,000: it stays; run cinelog check, and cinelog verify --repair where the log is"
                " right"
            ),
        ),
        (lambda: errors.UnreadableEventError(STREAM), f"An event of {STREAM} cannot be read."),
        (errors.UnavailableError, "The service is unavailable."),
        (errors.EventStoreUnavailableError, "The event store is unavailable."),
        (lambda: errors.BusyError("too many wait"), "The queue is unavailable: too many wait"),
        (lambda: errors.ReadModelUnavailableError("away"), "The read model is unavailable: away"),
        (
            lambda: errors.StoreDamagedError("page 3"),
            "The event store is damaged and takes no writes: page 3",
        ),
        (lambda: errors.ConfigurationError("CINELOG_X", "it is no URL"), "CINELOG_X: it is no URL"),
    ],
)
def test_an_error_says(make, text):
    assert str(make()) == text


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: errors.InvalidError({"a": ["X."]}), {"errors": {"a": ["X."]}}),
        (lambda: errors.TakenError({"a": ["X."]}), {"errors": {"a": ["X."]}}),
        (lambda: errors.TokenReusedError(STREAM, "s"), {"account_id": STREAM, "sid": "s"}),
        (lambda: errors.NotFoundError("Gone."), {"message": "Gone."}),
        (lambda: errors.PreconditionFailedError('"1"'), {"tag": '"1"'}),
        (lambda: errors.VersionConflictError("3", 4), {"tag": '"4"', "expected": "3", "actual": 4}),
        (lambda: errors.UndoConflictError({"year": (4, 1979)}), {"conflicts": {"year": (4, 1979)}}),
        (lambda: errors.PositionUnknownError("l", 7, 5), {"log": "l", "head": 7, "shared": 5}),
        (lambda: errors.ThrottledError("login", 9), {"limit": "login", "retry_after_s": 9}),
        (lambda: errors.UnreadableEventError(STREAM), {"stream_id": STREAM}),
        (errors.UnavailableError, {"retry_after_s": 1}),
        (lambda: errors.UnavailableError(retry_after_s=5), {"retry_after_s": 5}),
        (lambda: errors.StoreDamagedError("page 3"), {"reason": "page 3", "retry_after_s": 60}),
        (
            lambda: errors.ConfigurationError("CINELOG_X", "p"),
            {"variable": "CINELOG_X", "problem": "p"},
        ),
    ],
)
def test_an_error_carries(make, facts):
    error = make()
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
