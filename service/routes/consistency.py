"""Event positions of requests and responses, and waiting for the read model to reach them.

A position belongs to a log and its epoch, which ``Event-Log`` names.
"""

from typing import NamedTuple, Self
from uuid import UUID

from commands.errors import (
    EventStoreUnavailableError,
    InvalidError,
    PositionUnknownError,
    ReadModelUnavailableError,
)
from commands.event_store.log.log_identity import ClaimedLog, parse_log
from commands.event_store.store import Store
from service.container import Container
from service.web.params import parse_all, parse_integer
from service.web.request import CinelogRequest


class PositionHeaders(NamedTuple):
    """``Min-Event-Position``, and the log that ``Event-Log`` names; 0 and None where not sent."""

    min_position: int
    log: ClaimedLog | None

    @classmethod
    def parse(cls, request: CinelogRequest) -> Self:
        """Parse both headers. Raises InvalidError."""
        headers = request.headers
        if "min-event-position" not in headers and "event-log" not in headers:
            return cls(0, None)  # as almost always
        return cls(*parse_all(lambda: _min_position(request), lambda: claimed_log(request)))

    async def check(self, container: Container, position: int | None = None) -> None:
        """Raise PositionUnknownError unless the log has the minimum and ``position``.

        Another node may have appended just now, so the log itself is asked before a refusal. A
        position that this process knows costs nothing.
        """
        if position is None and not self.min_position:
            return
        highest = max(self.min_position, position or 0)
        store = container.store
        if not _is_current(store, self.log) or highest > store.continuity.highest:
            await container.log_threads.run(_check, store, self.log, highest)


def _min_position(request: CinelogRequest) -> int:
    text = request.headers.get("min-event-position", "0")
    position = parse_integer(text)
    if position is None:
        raise InvalidError({"Min-Event-Position": ["A valid integer is required."]})
    return position


def claimed_log(request: CinelogRequest) -> ClaimedLog | None:
    """Return the log that ``Event-Log`` names, None where it is not sent. Raises InvalidError."""
    text = request.headers.get("event-log", "").strip()
    if not text:
        return None
    claimed = parse_log(text)
    if claimed is None:
        raise InvalidError({"Event-Log": ["Enter the value of an Event-Log header."]})
    return claimed


def _is_current(store: Store, claimed: ClaimedLog | None) -> bool:
    identity = store.continuity.identity
    return claimed is None or (
        identity is not None and claimed == ClaimedLog(identity.log, identity.epoch)
    )


def _check(store: Store, claimed: ClaimedLog | None, position: int) -> None:
    try:
        store.continuity.refresh()  # the client may know a newer epoch than this process
        head = store.head()
        store.continuity.appended(head)
    except EventStoreUnavailableError:
        if claimed is None:
            return  # the next read decides
        head = store.continuity.highest
    identity = store.continuity.identity
    if identity is None:
        return
    shared: int | None
    if claimed is None:
        known, shared = position <= head, identity.rewind_to(head)
    else:
        shared = identity.shared_with(claimed, head)
        known = shared is not None and position <= shared
    if not known:
        raise PositionUnknownError(str(identity), head, shared)


def position_headers(position: int, log: str) -> dict[str, str]:
    """Return the headers that tell a position of ``log``."""
    headers = {"Event-Position": str(position)}
    if log:
        headers["Event-Log"] = log
    return headers


def check_same_log(container: Container, log: str) -> None:
    """Raise ReadModelUnavailableError where another epoch began while an answer was made."""
    if container.log != log:
        raise ReadModelUnavailableError("the log has changed")


async def wait_until_visible(
    container: Container, position: int, changed: UUID | None = None, *, prefer: str = ""
) -> dict[str, str]:
    """Wait until the read model shows ``position``; return the headers that tell the outcome.

    Nothing is shown of a ``changed`` movie that is parked. ``respond-async`` in ``prefer`` skips
    the wait.
    """
    headers = position_headers(position, container.log)
    tracker = container.read_position
    if "respond-async" in prefer.lower():
        headers["Preference-Applied"] = "respond-async"
        shown = tracker.current[1] >= position
    else:
        shown = await tracker.wait_for(position, container.wait_s)
    if shown and changed is not None:
        try:
            shown = not await container.readers.live.is_parked(changed)
        except ReadModelUnavailableError:
            shown = False
    if not shown:
        headers["Read-Model"] = "behind"
    return headers
