"""What ``cinelog serve`` runs: the one place that owns every process.

It opens the socket, runs the projection and the API workers (``managed_process.py``),
and uses the embedded Redis. It starts again what dies, with growing pauses, and ends all with one
line when that does not help. It imports none of what its children need, so as to stay small.
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
from service.signals import wake_on_signals

if TYPE_CHECKING:
    from service.settings import Settings

READY_S = 20.0
# From the wish to end: when the workers, the projection and the embedded Redis have ended.
WORKERS_S, PROJECTION_S, ALL_S = 3.6, 4.3, 4.8
# A child whose heartbeat was not heard for so long is replaced.
HANGS_S = 15.0
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
    """Serve until SIGTERM or Ctrl-C, then return the exit code. Only for the main thread.

    To ``accept_log`` goes on with an event store that is not the one that was served before.
    To ``reload`` starts the children again when a source file changes.
    ``before`` is called once the port is ours and before anything is served, ``ready`` once the
    service answers. Raises ConfigurationError where the service cannot start because of a setting.
    """
    configure_logs(settings.log_format, settings.log_level)
    mark = PortLock(settings.data_dir, settings.port)
    # Workers of a root that was killed hold the port until the kernel has ended them.
    wait_s = WAIT_S if mark.others else 0.0
    with mark, listen(settings.host, settings.port, wait_s=wait_s) as listening:
        supervisor = Supervisor(settings, listening, mark.fds, app, projection)
        supervisor.accept_log, supervisor.on_ready = accept_log, ready
        if reload:
            supervisor.sources = SourceWatcher(Path(ROOT))
        try:
            supervisor.start()
            if before is not None:
                before()
            supervisor.run(wake_on_signals(supervisor.stop_signals.append))
        except GiveUpError as error:
            log.error(str(error))  # noqa: TRY400 - one line says it all
            return 1
        finally:
            listening.close()  # new clients are refused rather than left waiting
            supervisor.end()
    return 0


class Supervisor:
    """The children, the embedded Redis, and the loop that minds them."""

    def __init__(
        self,
        settings: "Settings",
        listening: socket.socket,
        kept: Sequence[int],
        app: str,
        projection: str,
    ) -> None:
        self.accept_log = False
        self.on_ready: Callable[[], None] = lambda: None
        self.url = url_of(listening)
        self.settings = settings.served_at(self.url)
        log_fd = None if current().text else os.dup(STANDARD_ERROR)
        self.projection = ManagedProcess("the projection", command(projection), log_fd=log_fd)
        self.workers = [
            ManagedProcess(
                f"API worker {number}",
                command("service.processes.api_worker", app),
                [listening.fileno()],
                kept=kept,
                log_fd=log_fd,
            )
            for number in range(1, settings.workers + 1)
        ]
        self.children = [self.projection, *self.workers]
        self.stop_signals: list[int] = []
        self.redis: EmbeddedRedis | None = None
        self.sources: SourceWatcher | None = None
        self.open = self.announced = False
        self.ready_by = NEVER
        self.awake_at = time.monotonic()

    def start(self) -> None:
        """Start the processes, so that they load while the rest gets ready.

        As many as there are cores: more would only make the first answer come later.
        """
        for child in self.children[: max(2, os.cpu_count() or 1)]:
            child.start()

    def run(self, wakeup_fd: int) -> None:
        """Mind them all until a signal asks to end. ``wakeup_fd`` is readable after a signal."""
        if self.settings.redis_url is None:
            self.redis = EmbeddedRedis.join(self.settings.data_dir, give_up=self._stopping)
        self.ready_by = time.monotonic() + READY_S
        # It makes what is missing in the event store, and refuses what cannot work: one line, not
        # one a process.
        self._send_startup_message(self.projection)
        while not self._stopping():
            self._sleep(wakeup_fd)
            now = time.monotonic()
            # Asleep for longer than planned, we were stopped or starved, and so were the children
            # perhaps: only a little of that counts as their silence.
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
                raise GiveUpError(f"nothing answers after {READY_S:.0f} s; giving up")

    def end(self) -> None:
        """End the workers, which finish what is in flight, then the projection, then the Redis."""
        asked_at = time.monotonic()
        end_all(self.workers, asked_at + WORKERS_S, self._second_interrupt)
        end_all([self.projection], asked_at + PROJECTION_S, self._second_interrupt)
        if self.redis is not None:
            self.redis.close(max(0.5, asked_at + ALL_S - time.monotonic()))

    def _stopping(self) -> bool:
        return bool(self.stop_signals)

    def _second_interrupt(self) -> bool:
        # A second Ctrl-C does not wait for what is in flight.
        return self.stop_signals.count(signal.SIGINT) > 1

    def _sleep(self, wakeup_fd: int) -> None:
        """Return when a child or the Redis has something to say, a signal came, or work is due."""
        poll = select.poll()
        poll.register(wakeup_fd, select.POLLIN)
        for child in self.children:
            if child.status_fd is not None:
                poll.register(child.status_fd, select.POLLIN)
        due = min(child.next_deadline for child in self.children)
        if self.sources is not None:
            due = min(due, self.sources.next_deadline)
        if not self.announced:
            due = min(due, self.ready_by)
        if any(child.heartbeat_seen for child in self.children):
            due = min(due, self.awake_at + HEARTBEAT_S)
        wait_s = max(0.0, due - time.monotonic())
        poll.poll(None if due == NEVER else wait_s * 1000 + 1)
        with suppress(BlockingIOError):
            os.read(wakeup_fd, 4096)

    def _send_startup_message(self, child: ManagedProcess) -> None:
        settings = json.loads(self.settings.model_dump_json())
        first = not self.announced
        order = {"parent": os.getpid(), "first": first, "settings": settings}
        child.send(order | {"accept_log": self.accept_log and first})
        child.ready_by = time.monotonic() + READY_S

    def _read_status(self, child: ManagedProcess) -> None:
        said = child.read_status()
        if not said:
            return
        if not child.ready:
            if not self.announced:
                raise ConfigurationError(said["variable"], said["problem"])
            warn(f"{child.name}: {said['variable']}: {said['problem']}")
        elif child is self.projection and not self.open:
            self.open = True
            for worker in self.workers:
                if worker.is_running:
                    self._send_startup_message(worker)
        elif child is not self.projection and not self.announced:
            self.announced = True
            for worker in self.workers:
                if not worker.is_running:
                    worker.start_at = min(worker.start_at, time.monotonic())
            _announce(self.settings, self.url, len(self.workers))
            self.on_ready()

    def _reload(self, changed: str, now: float) -> None:
        """Start all children again: those that run are asked to end first."""
        warn(f"{changed} changed; the workers and the projection are started again")
        for child in self.children:
            child.backoff = Backoff(child.name)
            if child.is_running:
                child.reloads = True
                child.signal(signal.SIGTERM)
            elif self.announced:
                child.start_at = now

    def _check_child(self, child: ManagedProcess, now: float) -> None:
        if (how := child.poll()) is not None:
            if child.reloads:
                child.reloads, child.start_at = False, now
                return
            if child.hung:
                how = f"no heartbeat for {HANGS_S:.0f} s, {how}"
            if self.sources is not None and self.announced and child.ready_at == NEVER:
                warn(f"{child.name} ended ({how}); started again when a source file changes")
                return
            child.start_at = now + child.backoff.after(
                how, now - child.started_at, now - child.ready_at
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
            if self.open or child is self.projection:
                self._send_startup_message(child)


def _announce(settings: "Settings", url: str, number: int) -> None:
    """Tell on standard output that the service serves; scripts wait for it there."""
    line = f"Cinelog serves on {url} ({number} worker{'s' * (number > 1)})"
    if not is_text(settings.log_format, 1):
        line = json_line(line, url=url, workers=number)
    with suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
