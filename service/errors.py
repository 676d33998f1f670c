"""Errors that only the service raises, of the tree in ``commands/errors.py``.

CinelogError
├── RefusedError
│   ├── MalformedError           the body cannot be parsed
│   ├── MediaTypeError           the body has an unsupported media type
│   ├── InvalidError
│   │   └── NotAnObjectError     the body is JSON, but not an object
│   ├── NotOwnPageError          a browser's page of another site sent the request
│   ├── InsufficientScopeError   a personal token may not do this
│   ├── KeyInFlightError         an idempotency key whose first request is still running
│   └── JobRunningError          one job of operators at a time
└── DamagedFileError             a file of events was changed after its export
"""

from commands.errors import CinelogError, InvalidError, RefusedError


class MalformedError(RefusedError):
    """The body does not have the format that its media type says."""


class MediaTypeError(RefusedError):
    """The body has a media type other than ``accepted``, or a content encoding."""

    def __init__(self, *accepted: str, encoded: bool = False) -> None:
        what = "content encoding" if encoded else "media type"
        super().__init__(f"Unsupported {what} in request.")
        self.accepted = accepted
        self.encoded = encoded


class NotAnObjectError(InvalidError):
    """The body is JSON, but of type ``got`` instead of an object."""

    def __init__(self, got: str) -> None:
        super().__init__({})
        self.got = got

    def __str__(self) -> str:
        return f"Invalid data. Expected a dictionary, but got {self.got}."


class NotOwnPageError(RefusedError):
    """A page of another origin sent a request that only our own page may send."""


class InsufficientScopeError(RefusedError):
    """The scope of a personal token does not include this; a session may do it."""


class KeyInFlightError(RefusedError):
    """The first request with this idempotency key is still running."""


class JobRunningError(RefusedError):
    """Another ``job`` runs; None is a rebuild that the command line started."""

    def __init__(self, job: str | None) -> None:
        super().__init__("Another job is running." if job else "A rebuild is running.")
        self.job = job


class DamagedFileError(CinelogError):
    """A file of events was changed after its export. ``line``, from 1, is where, if known."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class BackupError(CinelogError):
    """The place of backups does not answer, refuses, or does not have what is asked for."""


class DamagedBackupError(BackupError):
    """A backup is missing a file, or ``name`` is not what was written."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason
