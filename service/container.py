"""What a request may use: one frozen bundle, wired in ``service/app.py``."""

from collections.abc import Callable
from dataclasses import dataclass

from sanic import Request

from commands.event_store.store import Store
from commands.executor import Executor
from queries.log.change_feed import ChangeFeed
from queries.log.timeline import Timeline
from queries.movies import ReadModel
from queries.point_in_time import PointInTimeLists
from queries.read_position import ReadPosition
from queries.slots import Slots
from service.auth.passwords import Hasher
from service.auth.server import AuthServer
from service.auth.sessions import Sessions
from service.auth.tokens import Tokens
from service.observability.telemetry import Telemetry
from service.ratelimit.limiter import RateLimiter
from service.settings import Settings
from service.thread_pool import Pool
from service.web.in_flight import InFlight


@dataclass(frozen=True)
class Container:
    """The parts of one API process."""

    settings: Settings
    store: Store
    name_of: Callable[[str], str]
    """An account's username by its id."""
    executor: Executor
    in_flight: InFlight
    log_threads: Pool
    """Threads for reading the log."""
    read_model: ReadModel
    point_in_time: PointInTimeLists
    timeline: Timeline
    read_position: ReadPosition
    change_feed: ChangeFeed
    tokens: Tokens
    sessions: Sessions
    auth_server: AuthServer
    hasher: Hasher
    rate_limiter: RateLimiter
    telemetry: Telemetry
    slots: Slots
    session_threads: Pool
    """Threads for asking Redis about sessions."""


def container_of(request: Request) -> Container:
    """Return the parts that serve ``request``."""
    container: Container = request.app.ctx.container
    return container
