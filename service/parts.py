"""What a request may use: one frozen bundle, wired in ``service/app.py``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sanic import Request

from commands.executor import Executor
from commands.store import Store
from queries.movies import ReadModel
from queries.past import PastLists
from queries.position import PositionFeed
from queries.slots import Slots
from queries.timeline import Timeline
from service.authorization import Authorization
from service.idempotency import InFlight
from service.limits import Limits
from service.passwords import Hasher
from service.pools import Pool
from service.sessions import Sessions
from service.settings import Settings
from service.telemetry import Telemetry
from service.tokens import Tokens

if TYPE_CHECKING:
    from service.stream import Live


@dataclass(frozen=True)
class Parts:
    """The parts of one API process."""

    settings: Settings
    store: Store
    name_of: Callable[[str], str]
    """An account's username by its id."""
    executor: Executor
    in_flight: InFlight
    reads: Pool
    """Threads for reading the log."""
    reader: ReadModel
    past: PastLists
    timeline: Timeline
    feed: PositionFeed
    live: "Live"
    tokens: Tokens
    sessions: Sessions
    authorization: Authorization
    hasher: Hasher
    limits: Limits
    telemetry: Telemetry
    slots: Slots
    threads: Pool
    """Threads for asking Redis about sessions."""


def parts_of(request: Request) -> Parts:
    """Return the parts that serve ``request``."""
    parts: Parts = request.app.ctx.parts
    return parts
