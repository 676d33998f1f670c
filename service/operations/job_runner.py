"""Starts the processes of jobs, for one event loop, and notices their end."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog

from commands.errors import UnavailableError
from projections.rebuild.worker_process import order_work
from projections.subprocesses import command, environment
from service.operations.jobs import Job, Jobs, Kind
from service.settings import Settings
from service.thread_pool import Pool

STOPPED = "The API process that started it was stopped."
log = structlog.get_logger(__name__)


class JobRunner:
    """Starts jobs; each ends with this process at the latest.

    ``threads`` run the calls that block, on the log and on Redis.
    """

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self.jobs = jobs
        self.threads = Pool("operations", threads=2, waiting=32)
        self._settings = settings
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, kind: Kind, by: str, options: Mapping[str, Any]) -> Job:
        """Start a job. Raises JobRunningError, ReadModelUnavailableError."""
        job = await self.threads.run(self.jobs.begin, kind, by)
        task = asyncio.get_running_loop().create_task(self._run(job, options))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))
        return job

    async def close(self) -> None:
        """Kill the processes of jobs that run, and end the threads."""
        stopped = dict(self._tasks)
        for task in stopped.values():
            task.cancel()
        if stopped:
            await asyncio.wait(stopped.values())
        for job_id in stopped:
            with suppress(UnavailableError):
                await asyncio.to_thread(self.jobs.give_up, job_id, STOPPED)
        self.threads.close()

    async def _run(self, job: Job, options: Mapping[str, Any]) -> None:
        code = await self._run_process(job, options)
        log.info("job ended", job=job.id, kind=job.kind, code=code)
        with suppress(UnavailableError):
            error = f"Its process has ended with exit code {code}."
            await self.threads.run(self.jobs.give_up, job.id, error)

    async def _run_process(self, job: Job, options: Mapping[str, Any]) -> int | None:
        order = {
            "job": job.to_dict(),
            "options": dict(options),
            "settings": self._settings.model_dump(mode="json"),
        }
        return await order_work(command("service.operations.job_process"), environment(), order)
