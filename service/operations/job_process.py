"""The process of a job: ``python -m service.operations.job_process``, the order on standard input.

It ends with the worker that started it, or when that closes its standard input.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from redis.exceptions import RedisError

from commands.errors import CinelogError
from commands.event_store.store import Store
from projections.rebuild.rebuild import rebuild
from projections.rebuild.verify import verify
from projections.rebuild.worker_process import run_worker
from projections.redis_client import open_redis
from service.data_dir import STORE_DAMAGED
from service.known_log import check_served
from service.operations.jobs import REBUILD, Job, JobProgress, lease_of, write_job
from service.operations.reports import rebuild_facts, verify_facts
from service.settings import Settings

BEAT_S = 1.0
# As the command line: the service on the same machine comes first.
_NICENESS = 10


class _Heartbeat:
    """Renews the lease and writes the progress of a job, on a thread."""

    def __init__(self, client: Any, job: Job) -> None:
        self._redis = client
        self._lease = lease_of(client, job.id)
        self._written = job
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self.progress: JobProgress | None = None

    def advance(self, phase: str, done: int, total: int | None) -> None:
        """Note the progress, which the next beat writes."""
        self.progress = JobProgress(phase, done, total)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat within the context; the last beat is over when it ends."""
        self._beat()
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def release(self) -> None:
        """Give the lease back."""
        self._lease.release()

    def _run(self) -> None:
        while not self._stop.wait(BEAT_S):
            with suppress(RedisError):
                self._beat()

    def _beat(self) -> None:
        self._lease.acquire_or_renew()
        if self.progress != self._written.progress:
            self._written = replace(self._written, progress=self.progress)
            write_job(self._redis, self._written)


def _run_job(order: dict[str, Any]) -> int:
    settings = Settings.model_validate(order["settings"])
    client = open_redis(settings.redis_url_or_embedded)
    job = Job(**order["job"])
    heartbeat = _Heartbeat(client, job)
    try:
        with heartbeat.beating():
            ok, outcome = _carry_out(job, order["options"], settings, client, heartbeat)
        finished = job.finished(ok=ok, outcome=outcome)
    except (CinelogError, RedisError) as error:
        finished = job.failed(str(error))
    write_job(client, replace(finished, progress=heartbeat.progress))
    heartbeat.release()
    return 0


def _carry_out(
    job: Job, options: dict[str, Any], settings: Settings, client: Any, heartbeat: _Heartbeat
) -> tuple[bool, dict[str, Any]]:
    """Return whether nothing was wrong, and the report."""
    started = time.monotonic()
    store = Store.open(settings.event_store_url, create=False)
    store.damage.use_marker(settings.data_dir / STORE_DAMAGED)
    source = store.reader(settings.event_store_read_url)
    if job.kind == REBUILD:
        check_served(settings, store)
        built = rebuild(store, client, source=source, advance=heartbeat.advance)
        facts = rebuild_facts(built, round(time.monotonic() - started, 3))
        return not built.diff.counts, facts
    damaged = store.integrity.check_pages()
    repair = bool(options.get("repair"))
    found = verify(
        store,
        client,
        source=source,
        repair=repair and not damaged,
        advance=lambda done, total: heartbeat.advance("verify", done, total),
    )
    facts = verify_facts(found, store.head(), damaged, repair=repair)
    return not (found.diff.counts or damaged), facts


if __name__ == "__main__":
    run_worker(_run_job, niceness=_NICENESS)
