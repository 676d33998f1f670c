"""The projection process: ``python -m service.processes.projection_worker STATUS_FD``.

The supervisor starts it. ``cinelog project`` runs the projection without a supervisor.
"""

import signal
import sys
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import structlog
from redis.exceptions import RedisError

from commands.errors import CinelogError, ConfigurationError
from commands.event_store.known_log import Accept
from commands.event_store.store import Store
from projections.rebuild.worker_process import collect_garbage_rarely
from projections.redis_client import describe_error, open_redis
from projections.worker import Projection
from service.embedded_redis.client import EmbeddedRedis
from service.known_log import KnownLogStore, KnownLogUpdater, open_served
from service.observability.tracing import Tracing
from service.processes.backup_schedule import BackupSchedule, check_schedule
from service.processes.handshake import HEARTBEAT_S, WorkerHandshake
from service.processes.integrity_checker import IntegrityChecker
from service.settings import Settings

log = structlog.get_logger(__name__)
_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main(status_fd: str) -> int:
    """Run under the supervisor."""
    handshake = WorkerHandshake(int(status_fd))
    message = handshake.receive()
    message.configure_logs()
    stop = _stop_on_signal()

    def send_heartbeats() -> None:  # from a thread: the event store or Redis may be slow
        handshake.send_heartbeat()
        while not stop.wait(HEARTBEAT_S):
            handshake.send_heartbeat()

    def ready() -> None:
        handshake.send_ready()
        Thread(target=send_heartbeats, name="heartbeat", daemon=True).start()

    # A projection that is started again accepts everything that the running service accepts.
    accept: Accept = "nothing" if message.first else "same log"
    if message.accept_log:
        accept = "any log"
    try:
        run(
            message.settings,
            stop,
            check=message.first,
            accept=accept,
            ready=ready,
            projects=message.settings.projection,
        )
    except CinelogError as error:
        return handshake.send_refusal(error)
    return 0


def run_alone(
    settings: Settings, *, accept_log: bool = False, ready: Callable[[], None] = lambda: None
) -> None:
    """Run as a command, until SIGTERM or Ctrl-C. Raises ConfigurationError like ``run``."""
    accept: Accept = "any log" if accept_log else "nothing"
    stop = _stop_on_signal()
    if settings.redis_url is not None:
        run(settings, stop, accept=accept, ready=ready)
        return
    with EmbeddedRedis.join(
        settings.data_dir, give_up=stop.is_set, on_failure=stop.set
    ) as embedded:
        run(settings, stop, accept=accept, ready=ready)
    if embedded.failure:
        raise embedded.failure


def run(  # noqa: PLR0913 - the supervisor's and the command's
    settings: Settings,
    stop: Event,
    *,
    check: bool = True,
    accept: Accept = "nothing",
    ready: Callable[[], None] = lambda: None,
    projects: bool = True,
) -> None:
    """Run the projection until ``stop`` is set; ``ready`` is called when it begins.

    Without ``projects`` it prepares the stores and leaves the rest to other processes.

    Raises ConfigurationError if the event store or its replica cannot be opened, if it is not the
    log that was served before and ``accept`` does not allow that, if scheduled backups cannot work,
    or, with ``check``, if the configured Redis does not answer. Later, the projection waits for an
    unreachable store.
    """
    check_schedule(settings)
    store = open_served(settings, accept=accept)
    if damage := store.damage.reason:
        log.error("the event store is damaged and is only read", damage=damage)
    collect_garbage_rarely()
    try:
        store.check_replica(settings.event_store_read_url)
        redis = open_redis(settings.redis_url_or_embedded)
        if check and settings.redis_url:  # the embedded one may just be starting again
            _ping(redis.ping)
        ready()
        if projects:
            _project(settings, store, redis, stop)
        else:
            stop.wait()
        redis.close()
    finally:
        store.close()


def _project(settings: Settings, store: Store, redis: Any, stop: Event) -> None:
    spans = Tracing.open("projection")
    with (
        KnownLogUpdater(store, KnownLogStore(settings)),
        IntegrityChecker(store),
        BackupSchedule(settings, redis),
    ):
        Projection(store, redis, on_shown=spans.applied if spans else None).run(stop)
    if spans:
        spans.close()


def _ping(ping: Callable[[], object]) -> None:
    try:
        ping()
    except RedisError as error:
        # Without the URL, which may contain a password.
        raise ConfigurationError(
            "CINELOG_REDIS_URL",
            f"the Redis it names {describe_error(error)}; start it, correct the URL, or"
            " unset it for the embedded one",
        ) from None


def _stop_on_signal() -> Event:
    """Return an event that SIGTERM and Ctrl-C set; they no longer interrupt this thread.

    A thread waits for them: a signal handler could run while this thread holds the event's lock.
    """
    stop = Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)

    def wait() -> None:
        signal.sigwait(_STOP_SIGNALS)
        stop.set()

    Thread(target=wait, name="signals", daemon=True).start()
    return stop


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
