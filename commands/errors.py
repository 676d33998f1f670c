"""Everything Cinelog refuses or cannot do.

    CinelogError
    ├── RefusedError                 the request was understood and is refused
    │   ├── MalformedError           a body that cannot be read
    │   ├── MediaTypeError           a body of a kind that is not taken
    │   ├── InvalidError             fields that break a rule, every one of them at once
    │   │   ├── NotAnObjectError     a body that is JSON but no object
    │   │   └── TakenError           a username or e-mail another account holds
    │   ├── NotAuthenticatedError    no credentials
    │   ├── TokenNotValidError       credentials that prove nothing
    │   │   └── TokenReusedError     a refresh token that was used before
    │   ├── NoActiveAccountError     wrong username or password
    │   ├── NotCreatorError          the movie belongs to another account
    │   ├── NotFoundError            no such movie, page or position
    │   ├── PreconditionFailedError  the state is not the one that the caller has
    │   │   └── VersionConflictError the movie has moved on
    │   ├── KeyReusedError           an idempotency key with another body
    │   ├── PositionUnknownError     a position that this log does not have
    │   ├── KeyInFlightError         an idempotency key whose first request still runs
    │   ├── ThrottledError           too many requests in too short a time
    │   ├── RebuildRunningError      one rebuild at a time
    │   └── FewerEventsError         the log lost events that the read model shows
    ├── UnreadableEventError         an event in the log that this release cannot read
    ├── UnavailableError             a part is away; try again later
    │   ├── EventStoreUnavailableError
    │   │   ├── DiskFullError          its file system has no room
    │   │   ├── StoreDamagedError    its pages are not what was written: it takes no writes
    │   │   └── OutcomeUnknownError  a write that may or may not have been carried out
    │   ├── ReadModelUnavailableError
    │   └── BusyError                a bounded queue is full
    ├── DamagedFileError                 a file of events that is not what was exported
    └── ConfigurationError           a setting that cannot work
        └── LogMismatchError         an event store that is not the one that was served

Each carries its facts as attributes. The domain raises, routes do not catch,
``service/web/problems.py`` turns them into answers.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID


class CinelogError(Exception):
    """The root: catch it to catch everything of ours."""


class RefusedError(CinelogError):
    """The request was understood and is refused."""


class MalformedError(RefusedError):
    """The body cannot be read as what it says it is."""


class MediaTypeError(RefusedError):
    """The body is of a kind that is not taken here; ``accepted`` are those that are.

    Or it is ``encoded``: no content coding is taken.
    """

    def __init__(self, *accepted: str, encoded: bool = False) -> None:
        what = "content encoding" if encoded else "media type"
        super().__init__(f"Unsupported {what} in request.")
        self.accepted = accepted
        self.encoded = encoded


class InvalidError(RefusedError):
    """Fields that break a rule. ``errors`` maps a field to its messages, never to its value."""

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        super().__init__("; ".join(f"{field}: {' '.join(said)}" for field, said in errors.items()))
        self.errors = errors


class NotAnObjectError(InvalidError):
    """The body is JSON, but a ``got`` where an object was expected."""

    def __init__(self, got: str) -> None:
        super().__init__({})
        self.got = got

    def __str__(self) -> str:
        return f"Invalid data. Expected a dictionary, but got {self.got}."


class TakenError(InvalidError):
    """A unique value that another account holds."""


class NotAuthenticatedError(RefusedError):
    """The call came without credentials."""


class TokenNotValidError(RefusedError):
    """A token that is bad, expired, revoked or not ours."""


class TokenReusedError(TokenNotValidError):
    """A refresh token of session ``sid`` was used before, so that two hold the session."""

    def __init__(self, account_id: UUID, sid: str) -> None:
        super().__init__()
        self.account_id = account_id
        self.sid = sid


class NoActiveAccountError(RefusedError):
    """No account has this username and password; which of the two is wrong is not told."""


class NotCreatorError(RefusedError):
    """Only the account that created a movie changes or deletes it."""


class NotFoundError(RefusedError):
    """Nothing is there. ``message`` is what the caller is told."""

    def __init__(self, message: str = "No Movie matches the given query.") -> None:
        super().__init__(message)
        self.message = message


class PreconditionFailedError(RefusedError):
    """The caller has another state than there is; ``tag`` is the entity tag of the latter."""

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


class KeyReusedError(RefusedError):
    """An idempotency key came again with another body."""


class KeyInFlightError(RefusedError):
    """The first request with this idempotency key is still running."""


class PositionUnknownError(RefusedError):
    """A position that the log does not have, or that belongs to another log or epoch.

    The log is ``log`` and ends at ``head``. ``shared`` is the last position that the caller's epoch
    and this one have in common, None for another log.
    """

    def __init__(self, log: str, head: int, shared: int | None) -> None:
        super().__init__(f"The log {log} has no such position; it ends at {head}.")
        self.log = log
        self.head = head
        self.shared = shared


class ThrottledError(RefusedError):
    """Too many requests. ``limit`` names what was passed, ``retry_after_s`` says when to ask."""

    def __init__(self, limit: str, retry_after_s: int) -> None:
        super().__init__(f"Request was throttled. Expected available in {retry_after_s} seconds.")
        self.limit = limit
        self.retry_after_s = retry_after_s


class RebuildRunningError(RefusedError):
    """The read model is being rebuilt by someone else."""

    def __init__(self) -> None:
        super().__init__("another rebuild is running")


class FewerEventsError(RefusedError):
    """The log has ``there`` events where the live read model was built from ``shown`` of them.

    Both are counted up to ``position``.
    """

    def __init__(self, there: int, shown: int, position: int) -> None:
        super().__init__(
            f"the log has {there:,} events up to position {position:,}, the live read model was"
            f" built from {shown:,}: it stays; run cinelog check, and cinelog verify --repair where"
            " the log is right"
        )
        self.there = there
        self.shown = shown
        self.position = position


class UnreadableEventError(CinelogError):
    """An event of the stream ``stream_id`` cannot be read, so nothing can be decided on it."""

    def __init__(self, stream_id: UUID) -> None:
        super().__init__(f"An event of {stream_id} cannot be read.")
        self.stream_id = stream_id


class UnavailableError(CinelogError):
    """A part is away. ``part`` names it, ``retry_after_s`` says when to ask again."""

    part = "service"

    @property
    def detail(self) -> str:
        """What a client is told."""
        return f"The {self.part} is unavailable."

    def __init__(self, reason: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(f"The {self.part} is unavailable{': ' + reason if reason else '.'}")
        self.retry_after_s = retry_after_s


class EventStoreUnavailableError(UnavailableError):
    """The event store does not answer: nothing can be written."""

    part = "event store"


class DiskFullError(EventStoreUnavailableError):
    """The file system of the event store takes no more: events can be read, but not appended."""

    @property
    def detail(self) -> str:
        """What a client is told."""
        return "The event store has no room on disk."


class StoreDamagedError(EventStoreUnavailableError):
    """The event store is damaged: it takes no writes, and some of it cannot be read.

    ``reason`` is what its database, or a check, says; nothing that is stored stands in it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(retry_after_s=60)
        self.reason = reason

    @property
    def detail(self) -> str:
        """What a client is told."""
        return "The event store is damaged: it takes no writes, and not all can be read."

    def __str__(self) -> str:
        return f"The event store is damaged and takes no writes: {self.reason}"


class OutcomeUnknownError(EventStoreUnavailableError):
    """The commit was asked for and not confirmed: the events may or may not be in the log."""

    @property
    def detail(self) -> str:
        """What a client is told."""
        return (
            "The event store did not confirm the write, which may have been carried out."
            " Retry with the same Idempotency-Key, or read first."
        )


class ReadModelUnavailableError(UnavailableError):
    """The read model does not answer, or shows less than was asked for."""

    part = "read model"


class BusyError(UnavailableError):
    """A bounded queue is full; taking more would only make everyone wait longer."""

    part = "queue"


class DamagedFileError(CinelogError):
    """A file of events is not what was exported. ``line`` is where that shows, from 1, or None."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class ConfigurationError(CinelogError):
    """A setting that cannot work. ``variable`` is its name in the environment."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable
        self.problem = problem


class LogMismatchError(ConfigurationError):
    """The event store is not an extension of the log that was served before.

    ``expected`` and ``found`` are identities, ``""`` where the log has none; with each stands the
    last position.
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
        self.expected = expected
        self.expected_position = expected_position
        self.found = found
        self.found_position = found_position
