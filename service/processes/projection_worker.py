"""The projection process.

``python -m service.processes.projection_worker SAID``, or ``cinelog project`` alone.
"""

import signal
import sys
from collections.abc import Callable
from functools import partial
from threading import Event, Thread

import structlog
from redis.exceptions import RedisError

from commands.errors import CinelogError, ConfigurationError
from commands.event_store.known_log import Accept
from projections.rebuild.replay import collect_garbage_rarely
from projections.redis_client import describe_error, open_redis
from projections.worker import Projection
from service.embedded_redis.client import EmbeddedRedis
from service.known_log import KnownLogStore, KnownLogUpdater, open_served
from service.observability.tracing import Tracing
from service.processes.handshake import HEARTBEAT_S, WorkerHandshake
from service.processes.integrity_checker import IntegrityChecker
from service.settings import Settings

log = structlog.get_logger(__name__)
STOPS = {signal.SIGTERM, signal.SIGINT}


def main(said: str) -> int:
    """Run under the supervisor."""
    handshake = WorkerHandshake(int(said))
    message = handshake.receive()
    message.configure_logs()
    try:
        stop = _stop_on_signal()
        run(
            message.settings,
            stop,
            check=message.first,
            accept=_accepted(accept_log=message.accept_log, first=message.first),
            ready=partial(_ready, handshake, stop),
        )
    except CinelogError as error:
        return handshake.send_refusal(error)
    return 0


def _ready(handshake: WorkerHandshake, stop: Event) -> None:
    handshake.send_ready()
    Thread(target=_beat, args=[handshake, stop], name="heartbeat", daemon=True).start()


def _beat(handshake: WorkerHandshake, stop: Event) -> None:
    """Let the parent know that this process runs, also while the event store or Redis is slow."""
    handshake.send_heartbeat()
    while not stop.wait(HEARTBEAT_S):
        handshake.send_heartbeat()


def _accepted(*, accept_log: bool, first: bool) -> Accept:
    """Return which log may take the place of the one that was served.

    What a running service would go on with does not stop its projection from starting again.
    """
    if accept_log:
        return "any log"
    return "nothing" if first else "same log"


def run_alone(
    settings: Settings, *, accept_log: bool = False, ready: Callable[[], None] = lambda: None
) -> None:
    """Run as a command of its own, until SIGTERM or Ctrl-C. Raises what ``run`` does."""
    accept = _accepted(accept_log=accept_log, first=True)
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


def run(
    settings: Settings,
    stop: Event,
    *,
    check: bool = True,
    accept: Accept = "nothing",
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Follow the log until ``stop``; ``ready`` is called when that begins.

    Raises ConfigurationError where the event store cannot be opened or is not the log that was
    served before (unless that may be: ``accept``) and, asked to ``check``, where
    Redis does not answer; later on neither stops it.
    """
    store = open_served(settings, accept=accept)
    if damage := store.damage.reason:
        log.error("the event store is damaged and is only read", damage=damage)
    collect_garbage_rarely()
    try:
        redis = open_redis(settings.redis_url_or_embedded)
        if check and settings.redis_url:  # the embedded one may be between two owners
            _ping(redis.ping)
        ready()
        spans = Tracing.open("projection")
        with KnownLogUpdater(store, KnownLogStore(settings)), IntegrityChecker(store):
            Projection(store, redis, on_shown=spans.applied if spans else None).run(stop)
        if spans:
            spans.close()
        redis.close()
    finally:
        store.close()


def _ping(ping: Callable[[], object]) -> None:
    try:
        ping()
    except RedisError as error:
        # Not the URL: it may hold a password.
        raise ConfigurationError(
            "CINELOG_REDIS_URL",
            f"the Redis it names {describe_error(error)}; start it, correct the URL, or"
            " unset it for the embedded one",
        ) from None


def _stop_on_signal() -> Event:
    """Return what is set on SIGTERM or Ctrl-C, which then no longer interrupt this thread.

    A thread waits for them: a handler could come in the middle of the event's own lock.
    """
    stop = Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)

    def wait() -> None:
        signal.sigwait(STOPS)
        stop.set()

    Thread(target=wait, name="signals", daemon=True).start()
    return stop


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
