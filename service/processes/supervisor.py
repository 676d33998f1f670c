"""The supervisor, which ``cinelog serve`` runs: it owns every process of the service.

It opens the listening socket, starts the projection and the API workers (``managed_process.py``),
and uses the embedded Redis. It starts children that die again, with growing pauses, and ends the
service with one line when that does not help. It imports nothing that only its children need, to
stay small.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from commands.errors import ConfigurationError
from projections.subprocesses import ROOT, command
from service.backoff import Backoff, GiveUpError
from service.embedded_redis.client import EmbeddedRedis
from service.observability.logs import (
    STANDARD_ERROR,
    configure_logs,
    current,
    is_text,
    json_line,
    warn,
)
from service.processes.handshake import HEARTBEAT_S
from service.processes.listener import WAIT_S, PortLock, listen, url_of
from service.processes.managed_process import ManagedProcess, end_all
from service.processes.reloader import SourceWatcher

if TYPE_CHECKING:
    from service.settings import Settings

READY_S = 20.0
# Counted from the request to stop: when the workers, the projection, the embedded Redis must end.
WORKERS_S, PROJECTION_S, ALL_S = 3.6, 4.3, 4.8
HANGS_S = 15.0
"""A child without a heartbeat for this long is replaced."""
NEVER = float("inf")
log = structlog.get_logger(__name__)


def serve(  # noqa: PLR0913 - tests replace the parts
    settings: "Settings",
    before: Callable[[], None] | None = None,
    *,
    app: str = "service.app:create_app",
    projection: str = "service.processes.projection_worker",
    accept_log: bool = False,
    reload: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> int:
    """Serve until SIGTERM or Ctrl-C, then return the exit code. Requires the main thread.

    ``accept_log`` accepts an event store that is not the one that was served before. ``reload``
    restarts the children when a source file changes. ``before`` is called when the port is bound
    and before the first request, ``ready`` when the service answers. Raises ConfigurationError if
    a setting keeps the service from starting.
    """
    configure_logs(settings.log_format, settings.log_level)
    port_lock = PortLock(settings.data_dir, settings.port)
    # Workers of a killed supervisor hold the port until the kernel has ended them.
    wait_s = WAIT_S if port_lock.held_by_others else 0.0
    with port_lock, listen(settings.host, settings.port, wait_s=wait_s) as listener:
        supervisor = Supervisor(settings, listener, port_lock.fds, app, projection)
        supervisor.accept_log, supervisor.on_ready = accept_log, ready
        if reload:
            supervisor.sources = SourceWatcher(Path(ROOT))
        try:
            supervisor.start()
            if before is not None:
                before()
            supervisor.run()
        except GiveUpError as error:
            log.error(f"{error}; giving up")  # noqa: TRY400, G004 - one line without a stack
            return 1
        finally:
            listener.close()  # refuses new clients at once
            supervisor.end()
    return 0


class Supervisor:
    """The children, the embedded Redis, and the loop that watches them."""

    def __init__(
        self,
        settings: "Settings",
        listener: socket.socket,
        inherited_fds: Sequence[int],
        app: str,
        projection: str,
    ) -> None:
        self.accept_log = False
        self.on_ready: Callable[[], None] = lambda: None
        self.url = url_of(listener)
        self.settings = settings.served_at(self.url)
        log_fd = None if current().text else os.dup(STANDARD_ERROR)
        self.projection = ManagedProcess("the projection", command(projection), log_fd=log_fd)
        self.workers = [
            ManagedProcess(
                f"API worker {number}",
                command("service.processes.api_worker", app),
                [listener.fileno()],
                inherited_fds=inherited_fds,
                log_fd=log_fd,
            )
            for number in range(1, settings.workers + 1)
        ]
        self.children = [self.projection, *self.workers]
        self.stop_signals: list[int] = []
        self.redis: EmbeddedRedis | None = None
        self.sources: SourceWatcher | None = None
        self.projection_ready = self.announced = False
        self.ready_by = NEVER
        self.awake_at = time.monotonic()

    def start(self) -> None:
        """Start as many children as there are cores, which load their code meanwhile."""
        for child in self.children[: max(2, os.cpu_count() or 1)]:
            child.start()

    def run(self) -> None:
        """Watch all parts until a signal asks to stop. Raises GiveUpError, ConfigurationError."""
        wakeup_fd = _handle_signals(self.stop_signals.append)
        if self.settings.redis_url is None:
            self.redis = EmbeddedRedis.join(self.settings.data_dir, give_up=self._stopping)
        self.ready_by = time.monotonic() + READY_S
        # The projection creates the event store and checks the settings first, so that a refusal
        # is one line and not one a process.
        self._send_startup_message(self.projection)
        while not self._stopping():
            self._sleep(wakeup_fd)
            now = time.monotonic()
            # A longer sleep than planned means that this process was stopped or starved, and
            # perhaps its children too: at most one interval counts as their silence.
            passed_s, self.awake_at = min(now - self.awake_at, HEARTBEAT_S), now
            if self.sources is not None and (changed := self.sources.changed(now)):
                self._reload(changed, now)
            for child in self.children:
                child.silent_s += passed_s
                self._read_status(child)
                self._check_child(child, now)
            if self.redis is not None and self.redis.failure:
                raise GiveUpError(self.redis.failure.problem)
            if not self.announced and now > self.ready_by:
                raise GiveUpError(f"nothing answers after {READY_S:.0f} s")

    def end(self) -> None:
        """End the workers, which finish their requests, then the projection, then the Redis."""
        asked_at = time.monotonic()
        end_all(self.workers, asked_at + WORKERS_S, self._second_interrupt)
        end_all([self.projection], asked_at + PROJECTION_S, self._second_interrupt)
        if self.redis is not None:
            self.redis.close(max(0.5, asked_at + ALL_S - time.monotonic()))

    def _stopping(self) -> bool:
        return bool(self.stop_signals)

    def _second_interrupt(self) -> bool:
        # A second Ctrl-C does not wait for requests in flight.
        return self.stop_signals.count(signal.SIGINT) > 1

    def _sleep(self, wakeup_fd: int) -> None:
        """Wait for a child's status, a signal or the next deadline."""
        poll = select.poll()
        poll.register(wakeup_fd, select.POLLIN)
        for child in self.children:
            if child.status_fd is not None:
                poll.register(child.status_fd, select.POLLIN)
        deadline = min(self.awake_at + HEARTBEAT_S, *(c.next_deadline for c in self.children))
        if self.sources is not None:
            deadline = min(deadline, self.sources.next_deadline)
        poll.poll(max(0.0, deadline - time.monotonic()) * 1000 + 1)
        with suppress(BlockingIOError):
            os.read(wakeup_fd, 4096)

    def _send_startup_message(self, child: ManagedProcess) -> None:
        settings = json.loads(self.settings.model_dump_json())
        first = not self.announced
        message = {"parent": os.getpid(), "first": first, "settings": settings}
        child.send(message | {"accept_log": self.accept_log and first})
        child.ready_by = time.monotonic() + READY_S

    def _read_status(self, child: ManagedProcess) -> None:
        status = child.read_status()
        if not status:
            return
        if not child.ready:
            if not self.announced:
                raise ConfigurationError(status["variable"], status["problem"])
            warn(f"{child.name}: {status['variable']}: {status['problem']}")
        elif child is self.projection:
            self._on_projection_ready()
        elif not self.announced:
            self._on_first_worker_ready()

    def _on_projection_ready(self) -> None:
        if not self.settings.projection:  # it has prepared the stores
            self.projection.signal(signal.SIGTERM)
        if not self.projection_ready:
            self.projection_ready = True
            for worker in self.workers:
                if worker.is_running:
                    self._send_startup_message(worker)

    def _on_first_worker_ready(self) -> None:
        self.announced = True
        for worker in self.workers:
            if not worker.is_running:
                worker.start_at = min(worker.start_at, time.monotonic())
        _announce(self.settings, self.url, len(self.workers))
        self.on_ready()

    def _reload(self, changed: str, now: float) -> None:
        """Restart all children; running ones get SIGTERM first."""
        warn(f"{changed} changed; the workers and the projection are started again")
        for child in self.children:
            child.backoff = Backoff(child.name)
            if child.is_running:
                child.reloading = True
                child.signal(signal.SIGTERM)
            elif self.announced:
                child.start_at = now

    def _check_child(self, child: ManagedProcess, now: float) -> None:
        if (reason := child.poll()) is not None:
            if child.reloading:
                child.reloading, child.start_at = False, now
                return
            if child is self.projection and self.projection_ready and not self.settings.projection:
                return
            if child.hung:
                reason = f"no heartbeat for {HANGS_S:.0f} s, {reason}"
            if self.sources is not None and self.announced and child.ready_at == NEVER:
                warn(f"{child.name} ended ({reason}); started again when a source file changes")
                return
            child.start_at = now + child.backoff.after(
                reason, now - child.started_at, now - child.ready_at
            )
        elif child.is_running and not child.ready and now > child.ready_by:
            warn(f"{child.name} is not ready after {READY_S:.0f} s")
            child.signal(signal.SIGKILL)
            child.ready_by = NEVER
        elif child.is_running and child.heartbeat_seen and child.silent_s > HANGS_S:
            child.hung, child.silent_s = True, 0.0
            child.signal(signal.SIGKILL)
        elif now >= child.start_at:
            child.start()
            if self.projection_ready or child is self.projection:
                self._send_startup_message(child)


def _announce(settings: "Settings", url: str, number: int) -> None:
    """Write to standard output that the service is ready; scripts wait for this line."""
    line = f"Cinelog serves on {url} ({number} worker{'s' * (number > 1)})"
    if not is_text(settings.log_format, 1):
        line = json_line(line, url=url, workers=number)
    with suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _handle_signals(on_stop: Callable[[int], object]) -> int:
    """Return a descriptor that is readable after a signal to stop or the end of a child.

    ``on_stop`` is called with the number of each SIGTERM, SIGINT and SIGHUP, except for signals
    that the process ignored from its start.
    """
    wakeup_fd, write_fd = os.pipe()
    os.set_blocking(wakeup_fd, False)
    os.set_blocking(write_fd, False)
    signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: on_stop(number))
    return wakeup_fd
