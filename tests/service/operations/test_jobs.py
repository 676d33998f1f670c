"""Records of jobs: one job at a time, and a dead process is told from a running one."""

import pytest

from commands.errors import NotFoundError, ReadModelUnavailableError
from projections.follow.lease import Lease
from projections.keys import REBUILDING
from projections.redis_client import open_redis
from service.errors import JobRunningError
from service.operations.jobs import (
    DIED,
    LAST,
    RUNNING,
    Job,
    JobProgress,
    Jobs,
    lease_of,
    write_job,
)


@pytest.fixture
def jobs(redis):
    return Jobs(redis)


def test_one_job_runs_at_a_time(jobs, redis):
    first = jobs.begin("rebuild", "ann")
    with pytest.raises(JobRunningError) as refused:
        jobs.begin("verify", "bob")
    assert refused.value.job == first.id
    write_job(redis, first.finished(ok=True, outcome={}))
    lease_of(redis, first.id).release()
    second = jobs.begin("verify", "bob")
    assert jobs.last() == second
    assert jobs.read(first.id).state == "done"


def test_the_next_job_may_begin_once_the_outcome_of_the_last_is_told(jobs, redis):
    """Its process gives the lease back a moment later."""
    first = jobs.begin("verify", "ann")
    write_job(redis, first.finished(ok=True, outcome={}))
    second = jobs.begin("verify", "ann")
    lease_of(redis, first.id).release()
    with pytest.raises(JobRunningError):
        jobs.begin("verify", "ann")
    assert jobs.read(second.id).state == "running"


def test_no_rebuild_begins_beside_one_of_the_command_line(jobs, redis):
    lease = Lease(redis, key=REBUILDING)
    assert lease.acquire_or_renew()
    with pytest.raises(JobRunningError) as refused:
        jobs.begin("rebuild", "ann")
    assert refused.value.job is None
    assert jobs.begin("verify", "ann").state == "running"


def test_a_job_whose_process_died_is_failed(jobs, redis):
    """Nobody renews its lease."""
    job = jobs.begin("verify", "ann")
    assert jobs.read(job.id).state == "running"
    assert redis.pttl(RUNNING) > 0
    redis.delete(RUNNING)
    died = jobs.read(job.id)
    assert (died.state, died.error, died.finished_at) == ("failed", DIED, None)
    assert jobs.last() == died
    assert jobs.begin("verify", "ann").state == "running"
    assert jobs.read(job.id).state == "failed"


def test_the_outcome_of_a_process_is_kept_when_it_ends(jobs, redis):
    job = jobs.begin("verify", "ann")
    write_job(redis, job.finished(ok=False, outcome={"compared": 7}))
    jobs.give_up(job.id, "exit code 0")
    done = jobs.read(job.id)
    assert (done.state, done.ok, done.outcome, done.error) == ("done", False, {"compared": 7}, None)
    assert not redis.exists(RUNNING)


def test_a_process_that_ends_without_an_outcome_has_failed(jobs, redis):
    job = jobs.begin("verify", "ann")
    jobs.give_up(job.id, "exit code 1")
    failed = jobs.read(job.id)
    assert (failed.state, failed.error, failed.ok) == ("failed", "exit code 1", None)
    assert failed.finished_at
    assert not redis.exists(RUNNING)


def test_giving_up_a_job_spares_the_lease_of_the_next(jobs, redis):
    first = jobs.begin("verify", "ann")
    redis.delete(RUNNING)
    second = jobs.begin("verify", "ann")
    jobs.give_up(first.id, "late")
    assert jobs.read(second.id).state == "running"


def test_records_are_kept_for_a_day(jobs, redis):
    job = jobs.begin("verify", "ann")
    for key in (f"ops:jobs:{job.id}", LAST):
        assert 86_000 < redis.ttl(key) <= 86_400
    with pytest.raises(NotFoundError):
        jobs.read("nonsense")
    redis.delete(LAST)
    assert jobs.last() is None


def test_a_job_is_stored_as_it_is():
    job = Job("j-1", "verify", "ann", "2026-01-02T12:00:00.000000Z")
    for one in (job, job.failed("x"), job.finished(ok=True, outcome={"a": 1})):
        assert Job.from_json(one.to_json()) == one
    (progress,) = [JobProgress("verify", 1, None)]
    moved = Job(**(job.to_dict() | {"progress": progress}))
    assert Job.from_json(moved.to_json()) == moved


def test_an_unreachable_redis_is_said_so():
    jobs = Jobs(open_redis("redis://127.0.0.1:1/0", retries=0))
    for call in (jobs.last, lambda: jobs.begin("verify", "ann"), lambda: jobs.read("x")):
        with pytest.raises(ReadModelUnavailableError):
            call()
