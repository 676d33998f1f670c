"""A store that does not answer: calls fail fast, and an unknown outcome is reported as such."""

import asyncio
import fcntl
import os
import signal
import sqlite3
import threading
import time
from contextlib import contextmanager

import psycopg
import pytest

from commands.aggregates.claims import request_claim
from commands.errors import EventStoreUnavailableError, OutcomeUnknownError
from commands.event_store.store import Store
from commands.execution.executor import Executor
from commands.execution.group_commit import CommandResult, commit
from commands.messages import IdempotencyToken
from tests.commands.tcp_proxy import Proxy
from tests.controls import ANN, create, register
from tests.postgres import locked
from tests.running import eventually


def backends(pg):
    with psycopg.connect(pg.get_uri()) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname IS NOT NULL AND pid<>pg_backend_pid()"
        ).fetchall()
    return [pid for (pid,) in rows]


@contextmanager
def stopped(pg):
    """Stop the server and its processes by SIGSTOP."""
    pids = [pg.get_pid(), *backends(pg)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def timed(call):
    began = time.monotonic()
    try:
        answer = call()
    except EventStoreUnavailableError as error:
        answer = error
    return answer, time.monotonic() - began


def tried(store):
    (answer,), took_s = timed(lambda: commit(store, [create()]))
    return answer, took_s


def serves_again(store):
    """Return the seconds until a write succeeds."""
    began = time.monotonic()
    eventually(lambda: isinstance(tried(store)[0], CommandResult), 5)
    return time.monotonic() - began


async def together(store, number=8):
    """Return the results of successive writes, and how long each waits."""
    executor = Executor(store)
    executor.start()

    async def one(delay_s):
        await asyncio.sleep(delay_s)
        began = time.monotonic()
        (answer,) = await asyncio.gather(executor.run(create()), return_exceptions=True)
        return answer, time.monotonic() - began

    answers = await asyncio.gather(*(one(n / 10) for n in range(number)))
    await asyncio.to_thread(executor.stop)
    return answers


def test_stopped_server_delays_the_first_caller_only(pg, pg_store):
    """The first failure fails all waiting calls; later ones fail at once until the server is back."""
    before = pg_store.count()
    with stopped(pg):
        answers = asyncio.run(together(pg_store))
        assert all(isinstance(answer, EventStoreUnavailableError) for answer, _ in answers)
        assert not any(isinstance(answer, OutcomeUnknownError) for answer, _ in answers)
        assert max(took_s for _, took_s in answers) < 5
        for call in (pg_store.head, lambda: tried(pg_store)[0]):
            error, took_s = timed(call)
            assert isinstance(error, EventStoreUnavailableError)
            assert took_s < 0.2
    assert serves_again(pg_store) < 2
    assert pg_store.count() == before + 1  # refused commands are not carried out later


def test_locked_table_delays_the_first_caller_only(pg_url, pg_store):
    with locked(pg_url, "ACCESS EXCLUSIVE"):
        answers = asyncio.run(together(pg_store))
        assert all(isinstance(answer, EventStoreUnavailableError) for answer, _ in answers)
        assert max(took_s for _, took_s in answers) < 5
        assert timed(pg_store.head)[1] < 0.2
    assert serves_again(pg_store) < 2
    assert pg_store.count() == 4


@pytest.mark.parametrize("what", ["table", "writer lock"])
def test_lock_against_writers_does_not_affect_readers(pg_url, pg_store, what):
    """Another session keeps the table or the writer lock: reads succeed, writes fail at once."""
    statement = {
        "table": "LOCK TABLE cinelog_events IN SHARE MODE",
        "writer lock": f"SELECT pg_advisory_lock({0x43494E454C4F47 + 1})",
    }[what]
    with psycopg.connect(pg_url) as connection:
        connection.execute(statement)
        answer, took_s = tried(pg_store)
        assert isinstance(answer, EventStoreUnavailableError)
        assert took_s < 5
        with pytest.raises(EventStoreUnavailableError):
            pg_store.check_writable()
        assert tried(pg_store)[1] < 0.2
        assert pg_store.head() == 3
    assert serves_again(pg_store) < 2


def test_ended_session_is_replaced(pg, pg_store):
    for pid in backends(pg):
        with psycopg.connect(pg.get_uri()) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    assert serves_again(pg_store) < 2


@pytest.mark.parametrize(
    ("then", "forward", "there"), [("cut", True, 1), ("cut", False, 0), ("stall", True, 1)]
)
def test_unanswered_commit_has_an_unknown_outcome(pg_url, then, forward, there):
    """A retry with the same key leaves one event."""
    Store.open(pg_url).close()
    proxy = Proxy(pg_url)
    store = Store.open(proxy.url, create=False)
    try:
        token = IdempotencyToken(claim=request_claim("ann", "key"), fingerprint="f")
        command = create().model_copy(update={"idempotency": token})
        commit(store, [create()])
        proxy.when, proxy.then, proxy.forward = b"COMMIT", then, forward
        answers, took_s = timed(lambda: commit(store, [command]))
        assert isinstance(answers[0], OutcomeUnknownError)
        assert took_s < 5
        proxy.when = None
        again = create().model_copy(update={"idempotency": token})
        found = eventually(
            lambda: [one for one in commit(store, [again]) if isinstance(one, CommandResult)], 5
        )
        assert found[0].replayed == bool(there)
        assert store.count() == 3  # two movies, one claim
    finally:
        store.close()
        proxy.close()


def test_connection_lost_before_the_commit_is_a_failure(pg_url):
    Store.open(pg_url).close()
    proxy = Proxy(pg_url)
    store = Store.open(proxy.url, create=False)
    try:
        commit(store, [create()])
        proxy.when = b"INSERT"
        (answer,) = commit(store, [create()])
        # The message of a prepared statement does not contain its text.
        if isinstance(answer, CommandResult):
            proxy.when = b"cinelog_events"
            (answer,) = commit(store, [create()])
        assert isinstance(answer, EventStoreUnavailableError)
        assert not isinstance(answer, OutcomeUnknownError)
    finally:
        store.close()
        proxy.close()


def test_writer_lock_kept_by_another_process(sqlite_store, tmp_path):
    """Writers wait for a bounded time, then fail at once; reads succeed."""
    commit(sqlite_store, [register(ANN)])
    with (tmp_path / "events.db-turn").open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        answers = asyncio.run(together(sqlite_store))
        assert all(isinstance(answer, EventStoreUnavailableError) for answer, _ in answers)
        assert max(took_s for _, took_s in answers) < 5
        assert tried(sqlite_store)[1] < 0.2
        assert sqlite_store.head() == 3
    assert serves_again(sqlite_store) < 2
    assert sqlite_store.count() == 4


def test_database_locked_by_another_process(sqlite_store, tmp_path):
    commit(sqlite_store, [register(ANN)])
    other = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    answers = asyncio.run(together(sqlite_store))
    assert all(isinstance(answer, EventStoreUnavailableError) for answer, _ in answers)
    assert max(took_s for _, took_s in answers) < 5
    assert tried(sqlite_store)[1] < 0.2
    assert sqlite_store.head() == 3
    other.execute("ROLLBACK")
    other.close()
    assert serves_again(sqlite_store) < 2
    assert sqlite_store.count() == 4


def test_writers_wait_for_the_writer_lock(sqlite_store):
    """Each of them gets it if it is released in time."""
    entered, done = threading.Event(), []

    def hold():
        with sqlite_store.writer_lock():
            entered.set()
            time.sleep(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait()
    writers = [
        threading.Thread(target=lambda: done.extend(commit(sqlite_store, [create()])))
        for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in (holder, *writers):
        writer.join(5)
    assert len([one for one in done if isinstance(one, CommandResult)]) == 4
