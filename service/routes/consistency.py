"""How far the read model must be: after a write, and for a read that asks for it."""

from uuid import UUID

from sanic import Request

from commands.errors import InvalidError, ReadModelUnavailableError
from service.container import container_of
from service.routes.positions import check_position, log_param, positioned
from service.web.integers import parse_integer


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
    feed = container_of(request).feed
    if "respond-async" in request.headers.get("prefer", "").lower():
        headers["Preference-Applied"] = "respond-async"
        shown = feed.current[1] >= position
    else:
        shown = await feed.wait_for(position, wait_s(request))
    if shown and changed is not None:
        try:
            shown = not await container_of(request).reader.is_parked(changed)
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
    if position and not await container_of(request).feed.wait_for(position, wait_s(request)):
        raise ReadModelUnavailableError("it has not reached that position yet")
    return position
