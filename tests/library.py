"""A log with all kinds of events, and ways to corrupt it."""

import sqlite3
from contextlib import closing
from types import SimpleNamespace

import orjson

from commands.execution.group_commit import commit
from projections.follow.subscription import Subscription
from projections.generation import lifecycle
from projections.generation.writer import GenerationWriter
from tests.controls import ANN, BOB, create, delete, new_id, register, revert, update
from tests.read_side import contents


def library(store, *, movies=6):
    """Write two accounts and their movies: created, changed, deleted, restored."""
    ids = [new_id() for _ in range(movies)]
    write(store, register(ANN, username="ann"), register(BOB, username="Zoë"))
    write(
        store,
        *(
            create(key, by=(ANN, BOB)[number % 2], title=f"Alien {number}", year=1979 + number)
            for number, key in enumerate(ids)
        ),
    )
    write(store, update(ids[0], by=ANN, title="Élan", genre="Drama"), delete(ids[1], by=BOB))
    write(store, update(ids[0], by=ANN, year=2018), delete(ids[2], by=ANN))
    write(store, revert(ids[1], by=BOB, version=1))
    return SimpleNamespace(ids=ids, deleted=str(ids[2]), changed=str(ids[0]), back=str(ids[1]))


def write(store, *commands):
    """Execute commands that must succeed; return the last result."""
    answers = commit(store, commands)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers[-1]


def caught_up(store, redis, **settings):
    """Apply the whole log with a new subscription, and return it."""
    subscription = Subscription(store, redis, **settings)
    catch_up(subscription)
    return subscription


def catch_up(subscription):
    """Apply the rest of the log."""
    while not subscription.process_batch():
        pass


def live(redis):
    return GenerationWriter(redis, lifecycle.live_number(redis))


def generation_contents(redis, generation=None):
    """Return the contents of a generation without cached results, by default the live one."""
    found = contents(redis, lifecycle.live_number(redis) if generation is None else generation)
    found["head"] = {
        name: value
        for name, value in found["head"].items()
        if value and name not in (b"mends", b"hold", b"log")
    }
    return {name: value for name, value in found.items() if name != "kept"}


def expected_contents(store, redis):
    """Return the contents of a generation that batches built; Redis is empty afterwards."""
    redis.flushall()
    caught_up(store, redis, limit=7)
    found = generation_contents(redis)
    redis.flushall()
    return found


def corrupt_event(path, movie_id, version=1):
    """Corrupt an event of a movie so that it cannot be applied."""
    _replace(path, movie_id, version, '"timestamp":', '"pmatsemit":')


def repair_event(path, movie_id, version=1):
    """Undo ``corrupt_event``, like a release that can apply the event."""
    _replace(path, movie_id, version, '"pmatsemit":', '"timestamp":')


def rewrite(path, stream_id, version=1, **fields):
    """Replace fields of an event; None removes one."""
    with closing(sqlite3.connect(path)) as connection, connection:
        where = "WHERE originator_id = ? AND originator_version = ?"
        key = (stream_id.replace("-", ""), version)
        (state,) = connection.execute(f"SELECT state FROM stored_events {where}", key).fetchone()
        merged = {k: v for k, v in (orjson.loads(state) | fields).items() if v is not None}
        connection.execute(
            f"UPDATE stored_events SET state = ? {where}", (orjson.dumps(merged), *key)
        )


def _replace(path, movie_id, version, old, new):
    with closing(sqlite3.connect(path)) as connection, connection:
        changed = connection.execute(
            "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), ?, ?) AS BLOB)"
            " WHERE originator_id = ? AND originator_version = ?",
            (old, new, movie_id.replace("-", ""), version),
        ).rowcount
    assert changed == 1
