"""Scheduled backups: a thread beside the projection, which starts a process for each backup.

Every machine with a projection has such a thread. Redis remembers the last backup, and a lease in
Redis lets one of them make the next one. While Redis does not answer, each goes by what it
remembers itself: two backups at once do no harm.
"""

import select
import subprocess
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import IO, Any, Self

import orjson
import structlog
from redis.exceptions import RedisError

from projections.follow.lease import Lease
from projections.subprocesses import command, environment
from service.last_backup import read_last_backup, write_failed_backup, write_last_backup
from service.settings import Settings, parse_duration

LEASE_KEY, LEASE_MS = "backup:lease", 30_000
TICK_S = 5.0
RETRY_S = 300.0
"""Pause after a failure, unless backups are due more often."""
SILENT_S = 900.0
"""A process without progress for so long is killed; one piece of a transfer takes less."""
_WAKE_S, _LAST_S = 0.2, 2.0
log = structlog.get_logger(__name__)


class BackupSchedule:
    """Makes the backups that the settings ask for; use it as a context manager.

    ``client`` is a client of Redis that threads may share.
    """

    def __init__(
        self, settings: Settings, client: Any, *, tick_s: float = TICK_S, silent_s: float = SILENT_S
    ) -> None:
        self._settings = settings
        self._redis = client
        self._lease = Lease(client, LEASE_MS, key=LEASE_KEY)
        self._every = parse_duration(settings.backup_every) or timedelta.max
        self._tick_s = min(tick_s, self._every.total_seconds() / 4)
        self._silent_s = silent_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backup schedule", daemon=True)
        self._last_at: datetime | None = None
        self._not_before = 0.0

    def __enter__(self) -> Self:
        if self._every != timedelta.max:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_S)

    def _run(self) -> None:
        while not self._stop.wait(self._tick_s):
            try:
                self._tick()
            except Exception as error:  # noqa: BLE001 - the schedule must live on
                log.warning("backup schedule", error=f"{type(error).__name__}: {error}")

    def _tick(self) -> None:
        if time.monotonic() < self._not_before or not self._is_due() or not self._has_lease():
            return
        try:
            if self._is_due():  # no other machine has made it since
                self._make()
        finally:
            with suppress(RedisError):
                self._lease.release()

    def _is_due(self) -> bool:
        with suppress(RedisError):
            self._last_at = read_last_backup(self._redis).at
        return self._last_at is None or datetime.now(UTC) - self._last_at >= self._every

    def _has_lease(self) -> bool:
        try:
            return self._lease.acquire_or_renew()
        except RedisError:
            return True

    def _make(self) -> None:
        started = time.monotonic()
        outcome = self._run_process()
        made = outcome.get("made")
        if made:
            self._last_at = datetime.fromisoformat(made["at"])
            log.info("backup", seconds=round(time.monotonic() - started, 3), **made)
            with suppress(RedisError):
                write_last_backup(self._redis, made["at"], made["position"])
        elif not self._stop.is_set():
            error = outcome.get("error", "its process ended without an outcome")
            log.error("backup failed", error=error)
            self._not_before = time.monotonic() + min(RETRY_S, self._every.total_seconds())
            with suppress(RedisError):
                write_failed_backup(self._redis, error)

    def _run_process(self) -> dict[str, Any]:
        """Return the outcome of a process: ``made`` or ``error``; empty if there is none."""
        with subprocess.Popen(  # noqa: S603 - our own module, no shell
            command("service.backup.backup_process"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            bufsize=0,
        ) as process:
            assert process.stdin is not None  # noqa: S101 - a pipe
            assert process.stdout is not None  # noqa: S101 - a pipe
            try:
                with suppress(BrokenPipeError):
                    process.stdin.write(self._settings.model_dump_json().encode() + b"\n")
                return self._outcome(process.stdout)
            finally:
                process.kill()

    def _outcome(self, output: IO[bytes]) -> dict[str, Any]:
        last, heard_at = b"", time.monotonic()
        while not self._stop.is_set():
            self._has_lease()  # renews it
            if select.select([output], [], [], _WAKE_S)[0]:
                heard_at = time.monotonic()
                if not (line := output.readline()):
                    return _parsed(last)
                last = line.strip()
            elif time.monotonic() - heard_at > self._silent_s:
                return {"error": f"no progress for {self._silent_s:.0f} s"}
        return {}


def _parsed(line: bytes) -> dict[str, Any]:
    with suppress(orjson.JSONDecodeError):
        found: dict[str, Any] = orjson.loads(line)
        return found
    return {}


def check_schedule(settings: Settings) -> None:
    """Raise ConfigurationError if scheduled backups could never work."""
    if parse_duration(settings.backup_every):
        # Loaded only where backups are made.
        from service.backup.configured import options_of  # noqa: PLC0415
        from service.backup.place import open_place  # noqa: PLC0415

        open_place(settings.backup_url)
        options_of(settings)
