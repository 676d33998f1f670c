"""What a request may use: one frozen bundle, wired in ``service/app.py``."""

from dataclasses import dataclass

from queries.movies import ReadModel
from queries.position import PositionFeed
from sanic import Request

from commands.executor import Executor
from commands.store import Store
from service.passwords import Hasher
from service.sessions import Sessions
from service.settings import Settings
from service.tokens import Tokens


@dataclass(frozen=True)
class Parts:
    """The parts of one API process."""

    settings: Settings
    store: Store
    executor: Executor
    reader: ReadModel
    feed: PositionFeed
    tokens: Tokens
    sessions: Sessions
    hasher: Hasher


def parts_of(request: Request) -> Parts:  # type: ignore[type-arg]
    """Return the parts that serve ``request``."""
    parts: Parts = request.app.ctx.parts
    return parts
