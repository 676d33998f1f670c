"""The read model equals a plain model in Python, for any commands and any outage.

The rules run random commands, including refused ones and ones without effect, kill projections,
wipe Redis, rebuild and change the clock. After every step the lists, movies, histories, versions,
point-in-time lists and lists at a time must equal those of the model.
"""

import asyncio
import itertools
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from uuid import UUID

import orjson
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from commands.errors import InvalidError, NotCreatorError, NotFoundError, UndoConflictError
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from commands.rfc3339 import rfc3339
from commands.text import fold
from projections.follow.subscription import Subscription
from projections.rebuild.point_in_time import build
from projections.rebuild.rebuild import rebuild
from projections.rebuild.verify import verify
from projections.redis_client import open_async_redis
from queries.log.history import history, movie_at_position, movie_at_version
from queries.log.timeline import Timeline
from queries.mirror.mirrors import Mirrors
from queries.movie_query import parse_query
from queries.movies import get_movie, read_page
from queries.pipelining import RequestBatcher
from queries.point_in_time import PointInTimeReadModel
from queries.read_model import ReadModel
from tests.controls import create, delete, new_id, register, revert, undo, update
from tests.projections.faulty import DiedError, Dying

DETAILS = ("title", "genre", "year")
ACCOUNTS = ["ann", "Bob", "Zoë"]
TITLES = st.sampled_from(["Alien", "ALIENS", "alien", "Élan", "Straße", "A\u0301", "Big Fish"])
GENRES = st.sampled_from(["Horror", "Drama", "drama"])
YEARS = st.integers(1979, 1983)
CHANGES = st.fixed_dictionaries({}, optional={"title": TITLES, "genre": GENRES, "year": YEARS})
QUERIES = [
    {},
    {"ordering": "created_at", "page_size": 2, "page": 2},
    {"ordering": "title"},
    {"ordering": "-title", "page_size": 3},
    {"ordering": "year", "page": "last", "page_size": 2},
    {"ordering": "-year"},
    {"ordering": "genre", "page_size": 2},
    {"ordering": "-creator,year", "page_size": 3, "page": "last"},
    {"ordering": "year,-id,title", "genre": "drama"},
    {"title": "ali"},
    {"genre": "DRAMA", "ordering": "title"},
    {"creator__username": "o", "year__gt": 1979, "year__lt": 1983},
    {"search": "a", "ordering": "-year", "page_size": 2},
]


def sort_key(value):
    return fold(value) if isinstance(value, str) else value


class Model:
    """All states of each movie, and the rows shown at each position."""

    def __init__(self):
        self.states = {}
        self.entries = {}
        self.shown = {}

    def now(self, key):
        return self.states[key][-1]

    def details_at(self, key, version):
        """Return the fields at a version; of a deleted movie those before its deletion."""
        state = [state for state in self.states[key][:version] if state][-1]
        return {name: state[name] for name in DETAILS}

    def changed_at(self, key, name):
        """Return the version that changed a field last."""
        values = [self.details_at(key, one + 1)[name] for one in range(len(self.states[key]))]
        return max(
            (at for at, (one, two) in enumerate(pairwise(values), start=2) if one != two), default=1
        )

    def append(self, result, type_, username, state):
        movie = result.aggregate
        key, before = str(movie.id), self.states.get(str(movie.id), [None])[-1]
        at = rfc3339(movie.modified_on)
        self.states.setdefault(key, []).append(
            state
            and {
                "id": key,
                **state,
                "creator": username,
                "version": movie.version,
                "created_at": rfc3339(movie.created_on),
                "updated_at": at,
            }
        )
        known = before or (self.states[key][-3] if type_ == "MovieRestored" else None)
        changes = {
            name: ((known or {}).get(name), value)
            for name, value in (state or {}).items()
            if (known or {}).get(name) != value
        }
        entry = (type_, movie.version, result.position, at, changes)
        self.entries.setdefault(key, []).append(entry)
        self.shown[result.position] = [one[-1] for one in self.states.values() if one[-1]]

    def expected_page(self, position, params):
        """Return the expected count and rows of a page at a position; None for an invalid page."""
        query = parse_query({name: [str(value)] for name, value in params.items()})
        rows = [
            row
            for row in self.shown[position]
            if query.title in fold(row["title"])
            and query.genre in fold(row["genre"])
            and query.creator in fold(row["creator"])
            and any(query.search in fold(row[name]) for name in ("title", "genre"))
            and query.year_from <= row["year"] <= query.year_to
        ]
        rows.sort(key=lambda row: row["id"], reverse=True)
        for field, descending in reversed(query.orderings):
            rows.sort(key=lambda row: sort_key(row[field]), reverse=descending)
        last = max(1, -(-len(rows) // query.page_size))
        page = last if query.page is None else query.page
        if page > last:
            return None
        return len(rows), rows[(page - 1) * query.page_size : page * query.page_size]


def state_machine(client, loop, new_reader, new_store):  # noqa: C901 - the rules of one machine
    """Return a state machine that uses this Redis and new stores."""

    class Library(RuleBasedStateMachine):
        movies = Bundle("movies")

        def __init__(self):
            super().__init__()
            client.flushall()
            self.store = new_store()
            self.reader = new_reader()
            self.model = Model()
            self.model.shown[0] = []
            self.accounts = {name: new_id() for name in ACCOUNTS}
            commands = [register(one, username=name) for name, one in self.accounts.items()]
            commit(self.store, commands)
            self.subscription = Subscription(self.store, client, limit=3)
            self.timeline = Timeline(self.store, stretch=3)
            self.clock_ahead = timedelta()

        def teardown(self):
            self.store.close()

        def run(self, command):
            at = command.at + self.clock_ahead
            (answer,) = commit(self.store, [command.model_copy(update={"at": at})])
            return answer

        @rule(
            target=movies,
            username=st.sampled_from(ACCOUNTS),
            title=TITLES,
            genre=GENRES,
            year=YEARS,
        )
        def create(self, username, **fields):
            result = self.run(create(by=self.accounts[username], **fields))
            self.model.append(result, "MovieCreated", username, fields)
            return SimpleNamespace(
                id=result.aggregate.id, key=str(result.aggregate.id), owner=username
            )

        @rule(movie=movies, username=st.sampled_from([*ACCOUNTS, None]), changes=CHANGES)
        def update(self, movie, username, changes):
            username = username or movie.owner
            answer = self.run(update(movie.id, by=self.accounts[username], **changes))
            now = self.model.now(movie.key)
            if now is None:
                assert isinstance(answer, NotFoundError)
            elif username != movie.owner:
                assert isinstance(answer, NotCreatorError)
            elif changes.items() <= now.items():
                assert not answer.appended
            else:
                fields = {name: now[name] for name in DETAILS} | changes
                self.model.append(answer, "MovieUpdated", username, fields)

        @rule(movie=movies, username=st.sampled_from([*ACCOUNTS, None]))
        def delete(self, movie, username):
            username = username or movie.owner
            answer = self.run(delete(movie.id, by=self.accounts[username]))
            if self.model.now(movie.key) is None:
                assert isinstance(answer, NotFoundError)
            elif username != movie.owner:
                assert isinstance(answer, NotCreatorError)
            else:
                self.model.append(answer, "MovieDeleted", username, None)

        @rule(movie=movies, version=st.integers(1, 5))
        def revert(self, movie, version):
            answer = self.run(revert(movie.id, by=self.accounts[movie.owner], version=version))
            states = self.model.states[movie.key]
            then = states[version - 1] if version <= len(states) else None
            if then is None:
                assert isinstance(answer, Exception)
                return
            fields = {name: then[name] for name in DETAILS}
            now = states[-1]
            if now is None:
                self.model.append(answer, "MovieRestored", movie.owner, fields)
            elif fields.items() <= now.items():
                assert not answer.appended
            else:
                self.model.append(answer, "MovieUpdated", movie.owner, fields)

        @rule(movie=movies, changes=st.lists(CHANGES, max_size=3), ago=st.integers(-1, 3))
        def undo(self, movie, changes, ago):
            """Undo one of the last changes, after some more."""
            for one in changes:
                self.update(movie, None, one)
            states = self.model.states[movie.key]
            version = max(1, len(states) - ago)
            answer = self.run(undo(movie.id, by=self.accounts[movie.owner], version=version))
            if version == 1 or version > len(states):
                assert isinstance(answer, InvalidError)
                return
            before, then = (self.model.details_at(movie.key, one) for one in (version - 1, version))
            if states[version - 1] is None and version == len(states):
                self.model.append(answer, "MovieRestored", movie.owner, before)
            elif states[-1] is None:
                assert isinstance(answer, NotFoundError)
            else:
                self.undo_fields(answer, movie, version, before, then)

        def undo_fields(self, answer, movie, version, before, then):
            now = self.model.now(movie.key)
            fields = [name for name in DETAILS if before[name] not in (then[name], now[name])]
            changed_at = {name: self.model.changed_at(movie.key, name) for name in fields}
            conflicts = {name: (at, now[name]) for name, at in changed_at.items() if at > version}
            if conflicts:
                assert isinstance(answer, UndoConflictError)
                assert answer.conflicts == conflicts
            elif fields:
                undone = {name: before[name] for name in fields}
                details = {name: now[name] for name in DETAILS} | undone
                self.model.append(answer, "MovieUpdated", movie.owner, details)
            else:
                assert not answer.appended

        @rule(at=st.integers(1, 12), after=st.booleans())
        def kill_projection(self, at, after):
            dying = Dying(client, at, after=after)
            with suppress(DiedError):
                Subscription(self.store, dying, limit=2).process_batch()

        @rule()
        def wipe_redis(self):
            client.flushall()

        @rule()
        def rebuild_generation(self):
            assert not rebuild(self.store, client).diff.counts

        @precondition(lambda self: len(self.model.shown) > 1)
        @rule(data=st.data())
        def build_point_in_time_list(self, data):
            position = data.draw(st.sampled_from(sorted(self.model.shown)))
            assert build(self.store, client, position)
            past = PointInTimeReadModel(self.reader, position)
            self.check_lists(past, position)

        @rule(minutes=st.sampled_from([-60, 0, 60]))
        def set_clock(self, minutes):
            self.clock_ahead = timedelta(minutes=minutes)

        @precondition(lambda self: self.model.entries)
        @rule(data=st.data())
        def read_movies_at_a_time(self, data):
            times = sorted({entry[3] for of in self.model.entries.values() for entry in of})
            at = data.draw(st.sampled_from(times))
            position = self.timeline.position_at(datetime.fromisoformat(at))
            stamps = [(event.position, event.data["timestamp"]) for event in self.store.read(0)]
            first_later = min((position for position, time in stamps if time > at), default=None)
            assert position == (self.store.head() if first_later is None else first_later - 1)
            shown = self.model.shown[max(one for one in self.model.shown if one <= position)]
            for key in self.model.states:
                then = next((row for row in shown if row["id"] == key), None)
                try:
                    movie = movie_at_position(self.store, UUID(key), position)
                except NotFoundError:
                    assert then is None
                else:
                    assert movie.version == then["version"]

        def check_lists(self, shown_by, position):
            for params in QUERIES:
                query = parse_query({name: [str(value)] for name, value in params.items()})
                expected = self.model.expected_page(position, params)
                try:
                    page = loop.run_until_complete(read_page(shown_by, query))
                except NotFoundError:
                    assert expected is None
                else:
                    assert (page.count, [orjson.loads(row) for row in page.rows]) == expected

        @invariant()
        def read_model_equals_the_model(self):
            while not self.subscription.process_batch():
                pass
            self.check_lists(self.reader, max(self.model.shown))
            for key, states in self.model.states.items():
                self.check_movie(UUID(key), states)
            verified = verify(self.store, client)
            assert not verified.diff.counts
            assert verified.position == self.store.head()

        def check_movie(self, movie_id, states):
            row, _ = loop.run_until_complete(get_movie(self.reader, movie_id))
            assert (row and orjson.loads(row)) == states[-1]
            page = history(self.store, movie_id, 1, 100)
            entries = [(e.type, e.version, e.position, e.at, e.changes) for e in page.items]
            assert entries == self.model.entries[str(movie_id)]
            for version, state in enumerate(states, start=1):
                try:
                    movie = movie_at_version(self.store, movie_id, version)
                except NotFoundError:
                    assert state is None
                else:
                    assert movie.details._asdict().items() <= state.items()

    return Library


def test_the_read_model_equals_the_model(valkey, redis, tmp_path):
    loop = asyncio.new_event_loop()
    client = open_async_redis(valkey.url)
    batcher = RequestBatcher(client)
    mirrors = Mirrors(batcher)
    numbers = itertools.count()

    def new_store():
        return Store.open(f"sqlite:///{tmp_path}/{next(numbers)}.db")

    try:
        run_state_machine_as_test(
            state_machine(redis, loop, lambda: ReadModel(batcher, mirrors), new_store),
            settings=settings(
                max_examples=25,
                stateful_step_count=20,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        loop.run_until_complete(mirrors.close())
        loop.run_until_complete(batcher.close())
        loop.run_until_complete(client.aclose())
        loop.close()
