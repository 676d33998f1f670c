"""Reads of the log at a streaming replica of PostgreSQL, which may be behind.

1. A read says what it must show: a position, or what the log has now, for which the primary is
   asked (as in the ReadIndex of Raft: one cheap query there, the read itself at the replica).
2. It goes to the replica once that has applied so much, and has the same event as this process at
   the last position that is known; it waits a moment for it. Otherwise it goes to the primary.
3. It uses one connection from then on: behind one URL there may be several replicas, of which some
   are further than others, while a single server only moves forward.
4. Whatever fails at the replica is done at the primary, as is the rest of that read. The primary is
   never behind.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import structlog
from eventsourcing.persistence import PersistenceError
from eventsourcing.postgres import PostgresFactory
from eventsourcing.utils import Environment, EnvType

from commands.database.damage import Damage
from commands.database.postgres.pool import BoundedPool
from commands.errors import ConfigurationError, EventStoreUnavailableError
from commands.event_store.application import CinelogApplication, open_postgres, refusal_of
from commands.event_store.event_codec import Row
from commands.event_store.log.continuity import Continuity
from commands.event_store.log_reader import LogReader
from commands.event_store.postgres.rows import PostgresRows

REPLICA, PRIMARY = "replica", "primary"
OnRead = Callable[[str], object]
"""Called with the server at which a read ended, on the thread that read."""
VARIABLE = "CINELOG_EVENT_STORE_READ_URL"
PART = "read replica"
# A replica that is behind is waited for, then left alone, so that not every read waits.
WAIT_S, REST_S = 0.05, 0.25
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.001, 0.02
# A replica that hangs is given up sooner than the primary.
_CHECK_S = 1.0
log = structlog.get_logger(__name__)


def _routed(name: str) -> Any:
    """Return a method that reads at the replica, and at the primary if that fails."""
    at_replica = getattr(PostgresRows, name)

    def read(self: "ReplicaRecorder", *args: Any, **kwargs: Any) -> Any:
        if self.is_at_replica:
            try:
                return at_replica(self, *args, **kwargs)
            except (PersistenceError, EventStoreUnavailableError):
                self.leave()
        return getattr(self.primary, name)(*args, **kwargs)

    return read


class ReplicaRecorder(PostgresRows):
    """Reads at the replica within ``at_replica``, until that fails; else at the primary."""

    primary: Any
    """The recorder of the primary."""
    select_types = _routed("select_types")
    select_types_of = _routed("select_types_of")
    select_stream = _routed("select_stream")
    select_existing = _routed("select_existing")
    select_by_stream = _routed("select_by_stream")
    select_events = _routed("select_events")
    select_epochs = _routed("select_epochs")
    max_notification_id = _routed("max_notification_id")
    count_rows = _routed("count_rows")
    count_both = _routed("count_both")
    _select_rows = _routed("select_rows")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._here = threading.local()
        self.damage = Damage()
        """Damage that was found by these reads; the store's own is not affected."""

    @property
    def is_at_replica(self) -> bool:
        """Whether this thread reads at the replica."""
        return getattr(self._here, "is_at_replica", False)

    @contextmanager
    def at_replica(self) -> Iterator[None]:
        """Read at the replica, on one connection, unless it is unreachable."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._pool.pinned())
            except (psycopg.Error, EventStoreUnavailableError):
                yield
                return
            self._here.is_at_replica = True
            try:
                yield
            finally:
                self._here.is_at_replica = False

    def leave(self) -> None:
        """Read at the primary for the rest of ``at_replica``."""
        self._here.is_at_replica = False

    def select_rows(self, after: int, limit: int, until: int | None) -> list[Row]:
        """Return the rows after a position in log order; a replica out of order is not trusted."""
        rows: list[Row] = self._select_rows(after, limit, until)
        positions = [row[0] for row in rows]
        if self.is_at_replica and positions != sorted({*positions}):
            self.leave()
            rows = self._select_rows(after, limit, until)
        return rows

    def select_continuity(self, position: int) -> Any:
        """Return what the replica has, whoever else may have more."""
        with self._pool.connection() as connection:
            connection.timeout_s = _CHECK_S
            return super().select_continuity(position)


class ReplicaFactory(PostgresFactory):
    """Builds a ReplicaRecorder without connecting."""

    application_recorder_class = ReplicaRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        self.datastore.register_type_adapters = lambda: None  # type: ignore[method-assign]
        url = self.env.get("POSTGRES_URL") or ""
        self.datastore.pool = BoundedPool.of_url(url, part=PART)  # type: ignore[assignment]


class ReplicaReader(LogReader):
    """Reads the log at a replica where that shows enough. Safe to share between threads."""

    def __init__(
        self,
        application: CinelogApplication,
        continuity: Continuity,
        primary_head: Callable[[], int],
        on_read: OnRead,
    ) -> None:
        super().__init__(application)
        self._continuity = continuity
        self._primary_head = primary_head
        self._here = threading.local()
        self._rests_until = 0.0
        self._on_read = on_read
        self._is_foreign = False

    @classmethod
    def open(
        cls,
        url: str,
        continuity: Continuity,
        primary_head: Callable[[], int],
        primary: Any,
        on_read: OnRead = lambda _: None,
    ) -> "ReplicaReader":
        """Return a reader that connects on its first read; ``primary`` is the other recorder."""
        factory = f"{__name__}:{ReplicaFactory.__name__}"
        application = open_postgres(url, factory=factory, variable=VARIABLE)
        recorder: Any = application.recorder
        recorder.primary = primary
        return cls(application, continuity, primary_head, on_read)

    def check(self, url: str) -> None:
        """Raise ConfigurationError if the replica refuses this process, or is one of another log.

        One that does not answer now is only logged: its reads go to the primary.
        """
        problem, is_away = refusal_of(url)
        if problem and not is_away:
            raise ConfigurationError(VARIABLE, problem)
        if problem:
            log.warning("the read replica does not answer; the primary is read", error=problem)
            return
        with self._recorder.at_replica():
            epoch = self._epoch()
        identity = self._continuity.identity
        if epoch and identity and epoch[0] != identity.log:
            problem = f"it is a replica of another log ({epoch[0]}, not {identity.log})"
            raise ConfigurationError(VARIABLE, problem)

    @contextmanager
    def reading(
        self, least: int = 0, *, current: bool = True, wait_s: float = WAIT_S
    ) -> Iterator[None]:
        """Read at the replica if it shows at least a position, and what the log has now.

        Without ``current`` only the position counts, and the primary is not asked. The replica is
        given ``wait_s`` for that position, and a moment for later ones. May be nested in a thread.
        """
        if getattr(self._here, "is_reading", False):
            self.require(least)
            yield
            return
        if current:
            least = max(least, self._known_head())
        with ExitStack() as stack:
            if time.monotonic() >= self._rests_until:
                stack.enter_context(self._recorder.at_replica())
            self._here.is_reading, self._here.reached, self._here.wait_s = True, -1, wait_s
            try:
                self.require(least)
                self._here.wait_s = WAIT_S
                yield
            finally:
                self._here.is_reading = False
                self._on_read(REPLICA if self._recorder.is_at_replica else PRIMARY)

    def require(self, position: int) -> None:
        """Go to the primary unless the replica shows the log up to a position."""
        if not self._recorder.is_at_replica or position <= self._here.reached:
            return
        ends = time.monotonic() + self._here.wait_s
        pause_s = _FIRST_PAUSE_S
        while not self._has(position):
            if self._recorder.is_at_replica and time.monotonic() + pause_s < ends:
                time.sleep(pause_s)
                pause_s = min(_MAX_PAUSE_S, 2 * pause_s)
                continue
            self._rests_until = time.monotonic() + REST_S
            self._recorder.leave()
            return

    def clear_cache(self) -> None:
        """Drop all cached aggregates."""
        self._application.clear_cache()

    def close(self) -> None:
        """Close every connection to the replica."""
        self._application.close()

    def _known_head(self) -> int:
        """Return the log's last position, or the last one known while the primary is away."""
        try:
            head = self._primary_head()
        except EventStoreUnavailableError:
            return self._continuity.highest
        return max(head, self._continuity.highest)

    def _has(self, position: int) -> bool:
        """Return whether the replica has a position of the same log; leave it if it cannot say."""
        try:
            if self._continuity.identity is None:
                self._continuity.refresh()
            identity, marks = self._continuity.identity, self._continuity.marks
            mark = marks[-1] if marks else None
            seen = self.snapshot(mark.position if mark else 0)
        except EventStoreUnavailableError:
            self._recorder.leave()
            return False
        reached = seen.last.position if seen.last else 0
        if seen.epoch is None or identity is None:
            return False
        is_same = seen.epoch[0] == identity.log and (seen.mark in (None, mark))
        if self._is_foreign != (not is_same):
            self._is_foreign = not is_same
            if is_same:
                log.info("the read replica has the log again")
            else:
                log.error("the read replica has another log", expected=str(identity))
        needed = max(position, mark.position if mark else 0)
        if not is_same or seen.epoch[1] != identity.epoch or reached < needed:
            return False
        self._here.reached = reached
        return True

    def _epoch(self) -> tuple[str, int] | None:
        try:
            return self.snapshot().epoch
        except EventStoreUnavailableError:
            return None
