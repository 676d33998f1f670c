"""The executor: coroutines get their results, and no waiting command is lost."""

import asyncio

import pytest

from commands.aggregates.movie import Movie
from commands.errors import BusyError, TokenNotValidError
from commands.execution.executor import Executor
from commands.execution.group_commit import commit
from tests.controls import ANN, BOB, MOVIE, create, register


@pytest.fixture(autouse=True)
def accounts(sqlite_store):
    commit(sqlite_store, [register(ANN)])


async def test_answers_reach_their_coroutines(sqlite_store):
    seen, before = [], sqlite_store.head()
    executor = Executor(sqlite_store, on_append=seen.append)
    executor.start()
    answers = await asyncio.gather(*(executor.run(create(year=year)) for year in range(1, 501)))
    executor.stop()
    assert [answer.aggregate.details.year for answer in answers] == list(range(1, 501))
    assert max(seen) == sqlite_store.head() == before + 500
    assert len(seen) < 500  # transactions are shared


async def test_unknown_account_writes_nothing(sqlite_store):
    """Its token may be newer than a restored log; the other commands of its batch succeed."""
    executor = Executor(sqlite_store)
    asked = [create(), create(by=BOB), create()]
    waiting = [asyncio.ensure_future(executor.run(one)) for one in asked]
    await asyncio.sleep(0)
    executor.start()
    first, refused, last = await asyncio.gather(*waiting, return_exceptions=True)
    await executor.run(register(BOB, username="bob"))
    assert (await executor.run(create(by=BOB))).appended
    executor.stop()
    assert isinstance(refused, TokenNotValidError)
    assert last.position == first.position + 1


async def test_stop_carries_out_waiting_commands(sqlite_store):
    executor = Executor(sqlite_store)
    waiting = [asyncio.ensure_future(executor.run(create())) for _ in range(20)]
    await asyncio.sleep(0)
    executor.start()
    await asyncio.to_thread(executor.stop)
    assert len(await asyncio.gather(*waiting)) == 20
    with pytest.raises(BusyError):
        await executor.run(create())


async def test_disconnected_client_does_not_undo_its_write(sqlite_store):
    executor = Executor(sqlite_store)
    gone = asyncio.ensure_future(executor.run(create(MOVIE)))
    await asyncio.sleep(0)
    gone.cancel()
    executor.start()
    await executor.run(create())
    await asyncio.to_thread(executor.stop)
    assert sqlite_store.get(Movie, MOVIE)
