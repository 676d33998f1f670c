"""The parts of one API process, wired in ``service/app.py`` and handed to the routes."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sanic import Request

from commands.errors import UnavailableError
from commands.event_store.log_reader import LogReader
from commands.event_store.store import Store
from commands.execution.executor import Executor
from queries.admission.slots import Slots
from queries.event_summary import EventSummary
from queries.log.accounts import AccountList
from queries.log.change_feed import ChangeFeed
from queries.log.movie_events import MovieEvents
from queries.log.timeline import Timeline
from queries.movies import Readers
from queries.position.read_position import ReadPosition
from service.auth.passwords import Hasher
from service.auth.personal_tokens import PersonalTokens
from service.auth.server import AuthServer
from service.auth.sessions import Sessions
from service.auth.tokens import Tokens
from service.observability.telemetry import Telemetry
from service.operations.job_runner import JobRunner
from service.ratelimit.limiter import RateLimiter
from service.settings import Settings
from service.thread_pool import Pool
from service.web.idempotency import InFlight

T = TypeVar("T")


@dataclass(frozen=True)
class Container:
    """The parts that the requests of a process share."""

    settings: Settings
    store: Store
    reader: LogReader
    """Reads the log, at a replica if one is configured; within ``read_log``."""
    username_of: Callable[[str], str]
    """The username of an account id."""
    executor: Executor
    in_flight: InFlight
    log_threads: Pool
    """Threads that read the log."""
    readers: Readers
    timeline: Timeline
    movie_events: MovieEvents
    event_summary: EventSummary
    read_position: ReadPosition
    change_feed: ChangeFeed
    tokens: Tokens
    personal_tokens: PersonalTokens
    sessions: Sessions
    auth_server: AuthServer
    hasher: Hasher
    rate_limiter: RateLimiter
    telemetry: Telemetry
    slots: Slots
    session_threads: Pool
    """Threads that read and write sessions in Redis."""
    job_runner: JobRunner
    account_list: AccountList

    @property
    def log(self) -> str:
        """Identity and epoch of the log, ``<uuid>.<epoch>``; "" until it was read."""
        return self.store.continuity.text

    async def read_log(self, read: Callable[[], T], least: int = 0) -> T:
        """Return what ``read`` does on a thread that reads the log.

        It sees at least the log up to a position, and what the log has now.
        """

        def read_within() -> T:
            with self.reader.reading(least):
                return read()

        return await self.log_threads.run(read_within)

    async def end_sessions(self, account_id: UUID, *, spared: str = "") -> None:
        """End an account's sessions in Redis, if that answers; the log has ended them before."""
        with suppress(UnavailableError):
            await self.session_threads.run(self.sessions.end_all, account_id, spared)

    @property
    def wait_s(self) -> float:
        """How long a request waits for the read model, in seconds."""
        return self.settings.write_wait_ms / 1000


def container_of(request: Request) -> Container:
    """Return the container of the process that serves ``request``."""
    container: Container = request.app.ctx.container
    return container
