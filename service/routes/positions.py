"""Positions that clients send, and those that answers tell: each belongs to a log and an epoch."""

from sanic import Request

from commands.errors import (
    EventStoreUnavailableError,
    InvalidError,
    PositionUnknownError,
    ReadModelUnavailableError,
)
from commands.event_store.log_identity import ClaimedLog, parse_log
from commands.event_store.store import Store
from service.container import container_of


def log_of(request: Request) -> str:
    """Return ``<uuid>.<epoch>`` of the log, "" as long as nobody could read it."""
    return container_of(request).store.continuity.text


def positioned(request: Request, position: int, log: str | None = None) -> dict[str, str]:
    """Return the headers that tell a position, of the log as it is now or as ``log`` says."""
    headers = {"Event-Position": str(position)}
    if log is None:
        log = log_of(request)
    if log:
        headers["Event-Log"] = log
    return headers


def check_same_log(request: Request, log: str) -> None:
    """Raise ReadModelUnavailableError where another epoch began while an answer was made."""
    if log_of(request) != log:
        raise ReadModelUnavailableError("the log has changed")


def log_param(request: Request) -> ClaimedLog | None:
    """Return what ``Event-Log`` says, None where it is not sent. Raises InvalidError."""
    given = request.headers.get("event-log", "").strip()
    if not given:
        return None
    claimed = parse_log(given)
    if claimed is None:
        raise InvalidError({"Event-Log": ["Enter the value of an Event-Log header."]})
    return claimed


async def check_position(request: Request, position: int | None) -> None:
    """Raise PositionUnknownError for a position that is not one of this log and epoch.

    Asks the log itself before it refuses: another node may have appended just now. Costs nothing
    for what this process knows to be there.
    """
    if position is None:
        return
    parts = container_of(request)
    claimed = log_param(request)
    if _is_current(parts.store, claimed) and position <= parts.store.continuity.highest:
        return
    await parts.reads.run(_check, parts.store, claimed, position)


def _is_current(store: Store, claimed: ClaimedLog | None) -> bool:
    identity = store.continuity.identity
    return claimed is None or (
        identity is not None and claimed == ClaimedLog(identity.log, identity.epoch)
    )


def _check(store: Store, claimed: ClaimedLog | None, position: int) -> None:
    try:
        store.continuity.look()  # the client may know of a newer epoch than this process
        head = store.head()
        store.continuity.appended(head)
    except EventStoreUnavailableError:
        if claimed is None:
            return  # what comes next decides; nothing is known against it
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
