"""A commit that hangs or is cut off: never a success, never shown too early, never out of order."""

import asyncio
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from commands.aggregates.claims import request_claim
from commands.database import commit_watch
from commands.database.deadline import within
from commands.errors import BusyError, EventStoreUnavailableError, OutcomeUnknownError
from commands.event_store.store import Store
from commands.execution.executor import Executor
from commands.execution.group_commit import CommandResult, commit
from commands.messages import IdempotencyToken
from tests.controls import MOVIE, create, update
from tests.postgres import hanging, missing_standby
from tests.running import eventually

TOKEN = IdempotencyToken(claim=request_claim("ann", "key"), fingerprint="f")


@contextmanager
def committing(store, *commands):
    """Carry out commands on another thread; yield a list that gets their results."""
    results = []
    thread = threading.Thread(target=lambda: results.extend(commit(store, commands)))
    thread.start()
    try:
        yield results
    finally:
        thread.join(10)


def succeeds(store, command):
    """Return the result of a command, once the store takes it."""
    return eventually(
        lambda: [one for one in commit(store, [command]) if isinstance(one, CommandResult)], 5
    )[0]


@pytest.mark.parametrize("ends", ["pg_cancel_backend", "pg_terminate_backend"])
@pytest.mark.parametrize("messages", ["notice", "error"])
def test_an_ended_wait_for_a_standby_is_no_success(pg, pg_url, ends, messages):
    """PostgreSQL reports success with a warning, which the database may be set to leave out."""
    Store.open(pg_url).close()
    with psycopg.connect(pg_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET client_min_messages = {messages}")
    store = Store.open(pg_url)
    commit(store, [create()])
    with missing_standby(pg.get_uri()) as admin, committing(store, create()) as results:
        (pid,) = eventually(lambda: hanging(admin))
        admin.execute(f"SELECT {ends}(%s)", (pid,))
        eventually(lambda: results)
    assert isinstance(results[0], OutcomeUnknownError)
    store.close()


def test_an_unconfirmed_event_is_not_shown(pg, pg_url, pg_store):
    """A failover could lose it: readers see it once a standby has it, and a retry finds it."""
    command = create().model_copy(update={"idempotency": TOKEN})
    before = pg_store.count()
    with missing_standby(pg.get_uri()):
        (answer,) = commit(pg_store, [command])
        assert isinstance(answer, OutcomeUnknownError)
        assert pg_store.count() == before
        with pytest.raises(EventStoreUnavailableError):
            pg_store.check_writable()
    again = create().model_copy(update={"idempotency": TOKEN})
    assert succeeds(pg_store, again).replayed
    assert pg_store.count() == before + 2  # the movie and the claim


def test_what_one_server_has_is_no_success_elsewhere(pg, pg_url, pg_store):
    """A retry, and a change that is there already, succeed once a standby has the first try."""
    commit(pg_store, [create(MOVIE)])
    with psycopg.connect(pg_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET client_min_messages = error")
    other = Store.open(pg_url)
    tries = [
        create().model_copy(update={"idempotency": TOKEN}),
        update(MOVIE, title="Aliens"),
    ]
    with missing_standby(pg.get_uri()) as admin:
        with committing(pg_store, *tries) as results:
            (pid,) = eventually(lambda: hanging(admin))
            admin.execute("SELECT pg_cancel_backend(%s)", (pid,))
        assert [type(one) for one in results] == [OutcomeUnknownError] * 2
        for again in tries:
            with within(0.8):
                (answer,) = commit(other, [again])
            assert isinstance(answer, EventStoreUnavailableError)
    assert succeeds(other, tries[0]).replayed
    assert not succeeds(other, tries[1]).appended
    other.close()


def test_the_lock_is_held_through_the_commit(pg, pg_url, pg_store):
    """Another writer waits, and stamps its event after the one whose commit took long."""
    other = Store.open(pg_url)
    now = datetime.now(UTC)
    first = create().model_copy(update={"at": now})
    second = create().model_copy(update={"at": now - timedelta(seconds=2)})
    with missing_standby(pg.get_uri()) as admin, committing(pg_store, first) as results:
        eventually(lambda: hanging(admin))
        # Longer than the limit of an idle transaction.
        time.sleep(2.6)
        with committing(other, second) as later:
            eventually(lambda: waits_for_a_lock(admin))
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute("SELECT pg_reload_conf()")
    assert isinstance(results[0], CommandResult)
    assert later[0].position > results[0].position
    stamps = [event.data["timestamp"] for event in other.read(results[0].position - 1)]
    assert stamps == sorted(stamps)
    other.close()


def waits_for_a_lock(connection):
    query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return connection.execute(query).fetchone()


def test_a_writer_that_lost_its_lock_appends_nothing(pg, pg_store):
    """Its decision is outdated: another one may have written since."""
    before = pg_store.count()
    with pg_store.writer_lock():
        with psycopg.connect(pg.get_uri()) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            )
        (answer,) = commit(pg_store, [create()])
    assert isinstance(answer, EventStoreUnavailableError)
    assert succeeds(pg_store, create()).appended
    assert pg_store.count() == before + 1


async def test_callers_wait_for_a_bounded_time(pg, pg_store):
    """The caller of a hanging commit gets an unknown outcome, later ones are refused at once."""
    executor = Executor(pg_store, wait_s=3)
    executor.start()
    with missing_standby(pg.get_uri()) as admin:
        began = time.monotonic()
        first = asyncio.ensure_future(executor.run(create()))
        await asyncio.to_thread(eventually, lambda: hanging(admin))
        queued = asyncio.ensure_future(executor.run(create()))
        await asyncio.sleep(commit_watch.HANGS_S)
        refused_at = time.monotonic()
        with pytest.raises(EventStoreUnavailableError, match="hangs"):
            await executor.run(create())
        assert time.monotonic() - refused_at < 0.5
        with pytest.raises(OutcomeUnknownError):
            await first
        assert time.monotonic() - began < 4
        with pytest.raises(EventStoreUnavailableError) as error:
            await queued
        assert not isinstance(error.value, OutcomeUnknownError)
        assert time.monotonic() - began < 6
    eventually(lambda: is_writable(pg_store))
    assert (await executor.run(create())).appended
    await asyncio.to_thread(executor.stop)


async def test_stop_does_not_wait_for_a_hanging_commit(pg, pg_store):
    executor = Executor(pg_store, wait_s=60)
    executor.start()
    with missing_standby(pg.get_uri()) as admin:
        waiting = asyncio.ensure_future(executor.run(create()))
        await asyncio.to_thread(eventually, lambda: hanging(admin))
        began = time.monotonic()
        await asyncio.to_thread(executor.stop)
        assert time.monotonic() - began < 3
        with pytest.raises(BusyError):
            await executor.run(create())
    assert (await waiting).appended  # the thread goes on


@pytest.mark.parametrize(("chosen", "used"), [("off", "on"), ("remote_apply", "remote_apply")])
def test_a_commit_is_durable_whatever_the_database_is_set_to(pg_url, chosen, used):
    """``synchronous_commit = off`` would lose the last writes of a crash; more is respected."""
    Store.open(pg_url).close()
    with psycopg.connect(pg_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {chosen}")
        connection.execute("CREATE TABLE seen (setting text)")
        # It runs at the commit.
        connection.execute(
            "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER see AFTER INSERT ON cinelog_events DEFERRABLE"
            " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see()"
        )
        store = Store.open(pg_url)
        commit(store, [create()])
        store.close()
        assert connection.execute("SELECT setting FROM seen").fetchall() == [(used,)]


def is_writable(store):
    try:
        store.check_writable()
    except EventStoreUnavailableError:
        return False
    return True


def test_an_epoch_that_no_standby_confirmed_has_not_begun(pg, pg_store):
    """A primary that was replaced may still answer, and lacks the end of the log."""
    before = pg_store.identity()
    with (
        missing_standby(pg.get_uri()),
        within(1.0),
        pytest.raises(EventStoreUnavailableError),
    ):
        pg_store.write_identity(before.next_epoch(1, before.epoch))
    assert pg_store.continuity.identity == before
