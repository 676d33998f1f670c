"""Group commit on PostgreSQL beside its bare rate: ``python -m benchmarks.group_commit --help``.

Both sides commit batches of as many events to one table, one transaction after the other, under the
same locks. The bare side sends prepared statements with rows that were made before. The write path
(``commands.execution.group_commit.commit``) creates movies: decided, encoded, stamped, checked.
HTTP, the queue before the commit and the read model are left out.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pgserver
import psycopg
import uuid_utils.compat

from commands.event_store.store import Store
from commands.execution.group_commit import commit
from commands.messages import CreateMovie, MovieFields

from .contest import report

WORK = Path("var/bench")
FIELDS = MovieFields.of({"title": "Alien", "genre": "Horror", "year": 1979})
BY = uuid_utils.compat.uuid7()
LOCK = 0x43494E454C4F47 + 1
INSERT = (
    "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
    " SELECT * FROM unnest(%s::uuid[], %s::int8[], %s::text[], %s::bytea[])"
    " RETURNING notification_id"
)


class Run(NamedTuple):
    """What one run found."""

    rate: float
    """Events/s."""
    client_us: float
    """Processor time of the client for an event."""


class Bare:
    """Appends rows that were made before."""

    def __init__(self, url, batch):
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(
            "CREATE TABLE stored_events (originator_id uuid NOT NULL,"
            " originator_version bigint NOT NULL, notification_id bigserial, topic text,"
            " state bytea, PRIMARY KEY (originator_id, originator_version));"
            "CREATE UNIQUE INDEX ON stored_events (notification_id)"
        )
        with tempfile.TemporaryDirectory() as folder:
            store = Store.open(f"sqlite:///{folder}/events.db")
            commit(store, [new_command()])
            (event,) = store.read_raw(0, 1, 1)
            store.close()
        self._columns = [1] * batch, [event.type] * batch, [event.state] * batch

    def append(self):
        connection = self._connection
        ids = [uuid_utils.compat.uuid7() for _ in self._columns[0]]
        connection.execute(f"BEGIN; SELECT pg_advisory_xact_lock({LOCK})")
        connection.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
        with connection.cursor(binary=True) as cursor:
            cursor.execute(INSERT, (ids, *self._columns), prepare=True)
            cursor.fetchall()
        connection.execute("COMMIT")

    def close(self):
        self._connection.close()


class WritePath:
    """Creates movies as the service does."""

    def __init__(self, url, batch):
        self._store, self._batch = Store.open(url), batch
        self._store.identity()

    def append(self):
        for answer in commit(self._store, [new_command() for _ in range(self._batch)]):
            if isinstance(answer, Exception):
                raise answer

    def close(self):
        self._store.close()


def new_command():
    """Return a command that creates a movie."""
    return CreateMovie(
        by=BY,
        request_id="bench",
        at=datetime.now(UTC),
        movie_id=uuid_utils.compat.uuid7(),
        fields=FIELDS,
    )


def run(side, url, batch, seconds):
    """Append for some seconds."""
    one = side(url, batch)
    for _ in range(20):
        one.append()
    events, began, before = 0, time.perf_counter(), time.process_time()
    while (took := time.perf_counter() - began) < seconds:
        one.append()
        events += batch
    used = time.process_time() - before
    one.close()
    return Run(events / took, used * 1e6 / events)


def main():
    """Measure both sides in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    found = {}
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        for number in range(options.rounds):
            for batch in options.batches:
                for side in (Bare, WritePath):
                    name = f"{side.__name__.lower()}_{batch}_{number}"
                    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                        connection.execute(f"CREATE DATABASE {name}")
                    result = run(side, server.get_uri(database=name), batch, options.seconds)
                    found.setdefault((batch, side), []).append(result)
        server.cleanup()
    print(report.machine())
    print(shlex.join(["python", "-m", "benchmarks.group_commit", *sys.argv[1:]]), end="\n\n")
    print("| events a transaction | bare events/s | write path | share | us an event: bare, path |")
    print("|---|---|---|---|---|")
    for batch in options.batches:
        bare, path = (
            [statistics.median(column) for column in zip(*found[batch, side], strict=True)]
            for side in (Bare, WritePath)
        )
        print(
            f"| {batch} | {bare[0]:,.0f} | {path[0]:,.0f} | {path[0] / bare[0]:.2f} |"
            f" {bare[1]:.0f}, {path[1]:.0f} |"
        )


if __name__ == "__main__":
    main()
