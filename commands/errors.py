"""The errors of Cinelog, in one tree.

    CinelogError
    ├── RefusedError                 the request was understood and is refused
    │   ├── InvalidError             fields break rules; lists all of them
    │   │   └── TakenError           another account has this username or e-mail
    │   ├── NotAuthenticatedError    no credentials
    │   ├── TokenNotValidError       invalid credentials
    │   │   └── TokenReusedError     a refresh token that was used before
    │   ├── NoActiveAccountError     wrong username or password
    │   ├── NotCreatorError          the movie belongs to another account
    │   ├── NotOperatorError         the account is not an operator
    │   ├── AccountClosedError       the account is closed
    │   ├── NotFoundError            no such movie, page or position
    │   ├── PreconditionFailedError  the resource has another state than the caller expects
    │   │   └── VersionConflictError the movie has another version
    │   ├── UndoConflictError        later versions changed what is to be undone
    │   ├── KeyReusedError           an idempotency key with another body
    │   ├── PositionUnknownError     a position that this log does not have
    │   ├── ThrottledError           too many requests in too short a time
    │   ├── RebuildRunningError      one rebuild at a time
    │   └── FewerEventsError         the log has lost events that the read model shows
    ├── UnreadableEventError         this release cannot read an event in the log
    ├── UnavailableError             a part is unavailable; try again later
    │   ├── EventStoreUnavailableError
    │   │   ├── DiskFullError        its file system has no space
    │   │   ├── StoreDamagedError    its pages are corrupt: it takes no writes
    │   │   └── OutcomeUnknownError  a write may or may not have happened
    │   ├── ReadModelUnavailableError
    │   └── BusyError                a bounded queue is full
    └── ConfigurationError           a setting cannot work
        └── LogMismatchError         the event store is not the one that was served

Errors that only the service raises are in ``service/errors.py``. Each carries its facts as
attributes. The domain raises, routes do not catch, ``service/web/problems.py`` translates to HTTP.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID


class CinelogError(Exception):
    """The base class of all errors of Cinelog."""


class RefusedError(CinelogError):
    """A request that is refused; repeating it changes nothing."""


class InvalidError(RefusedError):
    """Fields break rules. ``errors`` maps each field to its messages; no value is in them."""

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        super().__init__(
            "; ".join(f"{field}: {' '.join(texts)}" for field, texts in errors.items())
        )
        self.errors = errors


class TakenError(InvalidError):
    """Another account has this unique value."""


class NotAuthenticatedError(RefusedError):
    """The request has no credentials."""


class TokenNotValidError(RefusedError):
    """The token is malformed, expired, revoked or of another issuer."""


class TokenReusedError(TokenNotValidError):
    """A refresh token of session ``sid`` was used before: the session may be stolen."""

    def __init__(self, account_id: UUID, sid: str) -> None:
        super().__init__()
        self.account_id = account_id
        self.sid = sid


class NoActiveAccountError(RefusedError):
    """No account has this username and password; the error does not say which is wrong."""


class NotCreatorError(RefusedError):
    """The movie belongs to another account."""


class NotOperatorError(RefusedError):
    """The account is not an operator."""


class AccountClosedError(RefusedError):
    """The account is closed, which is final."""

    def __init__(self) -> None:
        super().__init__("The account is closed.")


class NotFoundError(RefusedError):
    """The resource does not exist. ``message`` is the text for clients."""

    def __init__(self, message: str = "No Movie matches the given query.") -> None:
        super().__init__(message)
        self.message = message


class PreconditionFailedError(RefusedError):
    """The resource has another state than the caller expects; ``tag`` is its entity tag."""

    def __init__(
        self, tag: str | None, message: str = "A precondition of the request does not hold."
    ) -> None:
        super().__init__(message)
        self.tag = tag


class VersionConflictError(PreconditionFailedError):
    """The caller expected version ``expected`` of a movie that is at ``actual``."""

    def __init__(self, expected: str, actual: int) -> None:
        message = f"Expected version {expected}, but the movie is at version {actual}."
        super().__init__(f'"{actual}"', message)
        self.expected = expected
        self.actual = actual


class UndoConflictError(RefusedError):
    """Later versions changed fields that are to be undone.

    ``conflicts`` maps each field to the version that changed it last and its value now.
    """

    def __init__(self, conflicts: Mapping[str, tuple[int, str | int]]) -> None:
        super().__init__(f"Later changes stand against it: {', '.join(conflicts)}.")
        self.conflicts = conflicts


class KeyReusedError(RefusedError):
    """An idempotency key was used before, with another body."""


class PositionUnknownError(RefusedError):
    """A position beyond the ``head`` of the ``log``, or of another log or epoch.

    ``shared`` is the last position that the caller's epoch and the current one have in common, None
    for another log.
    """

    def __init__(self, log: str, head: int, shared: int | None) -> None:
        super().__init__(f"The log {log} has no such position; it ends at {head}.")
        self.log = log
        self.head = head
        self.shared = shared


class ThrottledError(RefusedError):
    """Too many requests. ``limit`` names the limit, ``retry_after_s`` says when to try again."""

    def __init__(self, limit: str, retry_after_s: int) -> None:
        super().__init__(f"Request was throttled. Expected available in {retry_after_s} seconds.")
        self.limit = limit
        self.retry_after_s = retry_after_s


class RebuildRunningError(RefusedError):
    """Another process is rebuilding the read model."""

    def __init__(self) -> None:
        super().__init__("another rebuild is running")


class FewerEventsError(RefusedError):
    """Up to ``position``, the log has fewer events than the live read model was built from."""

    def __init__(self, in_log: int, in_read_model: int, position: int) -> None:
        super().__init__(
            f"the log has {in_log:,} events up to position {position:,}, the live read model was"
            f" built from {in_read_model:,}: it stays; run cinelog check, and cinelog verify"
            " --repair where the log is right"
        )


class UnreadableEventError(CinelogError):
    """An event of the stream ``stream_id`` cannot be read, so its aggregate cannot be loaded."""

    def __init__(self, stream_id: UUID) -> None:
        super().__init__(f"An event of {stream_id} cannot be read.")
        self.stream_id = stream_id


class UnavailableError(CinelogError):
    """A part is unavailable. ``retry_after_s`` says when to try again."""

    part = "service"
    detail = "The service is unavailable."
    """The text for clients."""

    def __init__(self, reason: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(f"The {self.part} is unavailable{': ' + reason if reason else '.'}")
        self.retry_after_s = retry_after_s


class EventStoreUnavailableError(UnavailableError):
    """The event store does not answer: nothing can be written."""

    part = "event store"
    detail = "The event store is unavailable."


class DiskFullError(EventStoreUnavailableError):
    """The event store's file system has no space: events can be read, but not appended."""

    detail = "The event store has no room on disk."


class StoreDamagedError(EventStoreUnavailableError):
    """The event store is damaged: it takes no writes, and some of it cannot be read.

    ``reason`` is the message of the database or of a check; it contains nothing stored.
    """

    detail = "The event store is damaged: it takes no writes, and not all can be read."

    def __init__(self, reason: str) -> None:
        super().__init__(retry_after_s=60)
        self.reason = reason

    def __str__(self) -> str:
        return f"The event store is damaged and takes no writes: {self.reason}"


class OutcomeUnknownError(EventStoreUnavailableError):
    """A requested commit was not confirmed: the events may or may not be in the log."""

    detail = (
        "The event store did not confirm the write, which may have been carried out."
        " Retry with the same Idempotency-Key, or read first."
    )


class ReadModelUnavailableError(UnavailableError):
    """The read model does not answer, or has not reached the requested position."""

    part = "read model"
    detail = "The read model is unavailable."


class BusyError(UnavailableError):
    """A bounded queue is full; a longer queue would only make all its requests wait longer."""

    part = "queue"
    detail = "The queue is unavailable."


class ConfigurationError(CinelogError):
    """A setting cannot work. ``variable`` is its name in the environment."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable
        self.problem = problem


class LogMismatchError(ConfigurationError):
    """The event store is not an extension of the log that was served before.

    ``expected`` and ``found`` are log identities, ``found`` is "" for a log without one.
    """

    def __init__(
        self, expected: str, expected_position: int, found: str, found_position: int
    ) -> None:
        there = (
            f"{found or 'a log'} that ends at {found_position:,}" if found_position else "nothing"
        )
        super().__init__(
            "CINELOG_EVENT_STORE_URL",
            f"the event store is not the one that was served: expected {expected} up to position"
            f" {expected_position:,}, found {there}; put it back, or accept it with"
            " cinelog serve --accept-log",
        )
