"""Event positions of requests and responses, and waiting for the read model to reach them."""

from uuid import UUID

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
from service.web.params import parse_integer


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
    container = container_of(request)
    claimed = log_param(request)
    if _is_current(container.store, claimed) and position <= container.store.continuity.highest:
        return
    await container.log_threads.run(_check, container.store, claimed, position)


def _is_current(store: Store, claimed: ClaimedLog | None) -> bool:
    identity = store.continuity.identity
    return claimed is None or (
        identity is not None and claimed == ClaimedLog(identity.log, identity.epoch)
    )


def _check(store: Store, claimed: ClaimedLog | None, position: int) -> None:
    try:
        store.continuity.refresh()  # the client may know of a newer epoch than this process
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


def wait_s(request: Request) -> float:
    """Return how long a request waits for the read model."""
    return container_of(request).settings.write_wait_ms / 1000


async def wait_until_visible(
    request: Request, position: int, changed: UUID | None = None
) -> dict[str, str]:
    """Wait until the read model shows ``position``; return the headers that say what came of it.

    Of a movie that was ``changed`` and is put aside, nothing later is shown however far that is.
    """
    headers = positioned(request, position)
    feed = container_of(request).read_position
    if "respond-async" in request.headers.get("prefer", "").lower():
        headers["Preference-Applied"] = "respond-async"
        shown = feed.current[1] >= position
    else:
        shown = await feed.wait_for(position, wait_s(request))
    if shown and changed is not None:
        try:
            shown = not await container_of(request).read_model.is_parked(changed)
        except ReadModelUnavailableError:
            shown = False
    if not shown:
        headers["Read-Model"] = "behind"
    return headers


def min_position_param(request: Request) -> int:
    """Return ``Min-Event-Position``, 0 where it is not sent.

    Raises InvalidError for nonsense, also in ``Event-Log``, which says what log it belongs to.
    """
    log_param(request)
    given = request.headers.get("min-event-position")
    if given is None:
        return 0
    position = parse_integer(given)
    if position is None:
        raise InvalidError({"Min-Event-Position": ["A valid integer is required."]})
    return position


async def require_known_position(request: Request) -> int:
    """Return ``Min-Event-Position``, 0 where it is not sent; the log has that position.

    Raises PositionUnknownError.
    """
    position = min_position_param(request)
    await check_position(request, position or None)
    return position


async def require_position(request: Request) -> int:
    """Wait until the read model shows what ``Min-Event-Position`` asks for, and return that.

    Raises ReadModelUnavailableError rather than show less.
    """
    position = min_position_param(request)
    if position and not await container_of(request).read_position.wait_for(
        position, wait_s(request)
    ):
        raise ReadModelUnavailableError("it has not reached that position yet")
    return position
