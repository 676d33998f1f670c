"""Jobs: one rebuild or verification at a time, in a process of its own, told by any worker.

1. A job holds the lease ``ops:job`` from its order to its end. Its process renews the lease and
   writes its progress once a second.
2. A record that says ``running`` without the lease belongs to a process that has died: the job is
   told as failed.
3. A process writes its outcome before it gives the lease back. So a reader that looks at the lease
   first never takes a finished job for a dead one.

Keys: ``ops:job``, ``ops:job:last`` (the id of the newest) and ``ops:jobs:{id}``, JSON, kept for a
day. A lost Redis loses them: a job that runs then fails with the read model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Self

import orjson
import redis
import uuid_utils
from redis.exceptions import RedisClusterException

from commands.database.breaker import Breaker
from commands.errors import NotFoundError, ReadModelUnavailableError
from commands.rfc3339 import rfc3339
from projections.follow.lease import Lease
from projections.keys import REBUILDING
from projections.redis_client import tripping
from service.errors import JobRunningError

RUNNING, LAST = "ops:job", "ops:job:last"
Kind = Literal["rebuild", "verify"]
REBUILD: Kind = "rebuild"
VERIFY: Kind = "verify"
KEPT_S = 24 * 3600
# Until the process has started and renews the lease; afterwards as long as it may be silent.
_START_MS, SILENCE_MS = 30_000, 10_000
DIED = "Its process has ended without an outcome."


class JobProgress(NamedTuple):
    """A phase of a job: ``done`` of ``total`` steps; ``total`` is None where it is not known."""

    phase: str
    done: int
    total: int | None


@dataclass(frozen=True)
class Job:
    """A job as Redis has it; times are RFC 3339 text."""

    id: str
    kind: Kind
    by: str
    """The username of the operator."""
    started_at: str
    state: Literal["running", "done", "failed"] = "running"
    finished_at: str | None = None
    progress: JobProgress | None = None
    ok: bool | None = None
    """Whether no difference and no damage was found; None unless the job is done."""
    outcome: dict[str, Any] | None = None
    """What the command line prints with ``--json``."""
    error: str | None = None
    """Why it failed."""

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Return the job that ``to_json`` wrote."""
        fields = orjson.loads(text)
        progress = fields.pop("progress")
        return cls(**fields, progress=JobProgress(**progress) if progress else None)

    def to_json(self) -> bytes:
        """Return the job as JSON."""
        return orjson.dumps(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the public JSON."""
        return asdict(self) | {"progress": self.progress._asdict() if self.progress else None}

    def finished(self, *, ok: bool, outcome: dict[str, Any]) -> Self:
        """Return the job with its outcome."""
        return replace(self, state="done", finished_at=now(), ok=ok, outcome=outcome)

    def failed(self, error: str) -> Self:
        """Return the job with the reason why it failed."""
        return replace(self, state="failed", finished_at=now(), error=error)


def now() -> str:
    """Return the time as RFC 3339 text."""
    return rfc3339(datetime.now(UTC))


def lease_of(client: Any, job_id: str, lease_ms: int = SILENCE_MS) -> Lease:
    """Return the lease of a job."""
    return Lease(client, lease_ms, key=RUNNING, holder=job_id)


def write_job(client: Any, job: Job) -> None:
    """Store the record of a job."""
    client.execute_command("SET", f"ops:jobs:{job.id}", job.to_json(), "EX", KEPT_S)


class Jobs:
    """The records of jobs. Blocking and thread-safe.

    Raises ReadModelUnavailableError if Redis does not answer.
    """

    def __init__(self, client: Any, breaker: Breaker | None = None) -> None:
        self._redis = client
        self._breaker = breaker

    def begin(self, kind: Kind, by: str) -> Job:
        """Return a new job, whose process has to be started.

        Raises JobRunningError while another job runs, or a rebuild that the command line started.
        """
        job = Job(str(uuid_utils.uuid7()), kind, by, now())
        with self.reachable() as client:
            lease = lease_of(client, job.id, _START_MS)
            if not lease.acquire_or_renew():
                holder = _text(client.execute_command("GET", RUNNING))
                if not self._is_over(client, holder) or not lease.acquire_or_renew():
                    raise JobRunningError(holder)
            if kind == REBUILD and client.execute_command("EXISTS", REBUILDING):
                lease.release()
                raise JobRunningError(None)
            write_job(client, job)
            client.execute_command("SET", LAST, job.id, "EX", KEPT_S)
        return job

    def read(self, job_id: str) -> Job:
        """Return a job of the last day. Raises NotFoundError."""
        with self.reachable() as client:
            job = self._read(client, job_id)
        if job is None:
            raise NotFoundError("No Job matches the given query.")
        return job

    def last(self) -> Job | None:
        """Return the job that was started last, None if none was in the last day."""
        with self.reachable() as client:
            job_id = _text(client.execute_command("GET", LAST))
            return self._read(client, job_id) if job_id else None

    def give_up(self, job_id: str, error: str) -> None:
        """Record that the process of a job has ended, unless it has written its outcome."""
        with self.reachable() as client:
            text = client.execute_command("GET", f"ops:jobs:{job_id}")
            if text and (job := Job.from_json(text)).state == "running":
                write_job(client, job.failed(error))
            lease_of(client, job_id).release()

    @contextmanager
    def reachable(self) -> Iterator[Any]:
        """Yield the client; translate its errors."""
        try:
            with tripping(self._breaker):
                yield self._redis
        except (redis.RedisError, RedisClusterException) as error:
            raise ReadModelUnavailableError(f"Redis failed ({type(error).__name__})") from error

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()

    def _is_over(self, client: Any, holder: str | None) -> bool:
        """Take the lease from a job that has written its outcome; tell whether nobody has it."""
        if holder is None:
            return True
        text = client.execute_command("GET", f"ops:jobs:{holder}")
        if text is None or Job.from_json(text).state == "running":
            return False
        lease_of(client, holder).release()
        return True

    def _read(self, client: Any, job_id: str) -> Job | None:
        holder = _text(client.execute_command("GET", RUNNING))
        text = client.execute_command("GET", f"ops:jobs:{job_id}")
        if text is None:
            return None
        job = Job.from_json(text)
        if job.state == "running" and holder != job_id:
            return replace(job, state="failed", error=DIED)
        return job


def _text(value: bytes | None) -> str | None:
    return value.decode(errors="replace") if value else None
