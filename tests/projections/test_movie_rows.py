"""Folding: events become rows and index changes, without any Redis."""

from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.aggregates.event_types import MOVIE_EVENTS
from commands.event_store.event_codec import UNREADABLE
from commands.rfc3339 import rfc3339
from projections.generation.state import ROW_FORMAT
from projections.movie_rows import (
    HANDLERS,
    PriorState,
    ReadModelChanges,
    fold_batch,
    required_state,
)
from projections.records import (
    DEAD,
    HEADER,
    dead_record,
    encode_record,
    first_record,
    is_dead,
    pack,
    unpack,
)
from projections.row import ROW_FIELDS, decode_row, microseconds, row_json
from tests.read_side import Story

NOTHING = PriorState({}, {}, {})
ROW_FORMATS = {
    3: ("id", "title", "genre", "year", "creator", "version", "created_at", "updated_at"),
    4: ("id", "title", "genre", "year", "creator", "version", "created_at", "updated_at"),
}
"""The fields of a row in each row format. Entries are only added."""


class FakeReadModel:
    """The read model as dicts in place of hashes, and the records of those who follow it."""

    def __init__(self):
        self.keys = {name: {} for name in ("rows", "gone", "users", "parked")}
        self.records = {}

    def apply(self, batch, parked=()) -> ReadModelChanges:
        required = required_state(batch, parked)
        before = PriorState(
            *(
                {k: self.keys[name][k] for k in ids if k in self.keys[name]}
                for name, ids in (
                    ("rows", required.rows),
                    ("gone", required.deleted),
                    ("users", required.users),
                )
            )
        )
        changes = fold_batch(batch, before, parked)
        for record in unpack(changes.records):
            movie_id = str(UUID(bytes=HEADER.unpack_from(record)[2]))
            if is_dead(record):
                del self.records[movie_id]
            else:
                self.records[movie_id] = record
        for command, name, args in changes.writes:
            entries, pairs = self.keys[name], list(zip(args[::2], args[1::2], strict=False))
            if command == "HSET":
                entries.update(pairs)
            else:
                assert command == "HDEL"
                for member in args:
                    del entries[member]
        assert self.records == {key: first_record(row) for key, row in self.keys["rows"].items()}
        return changes


def fold_story(story, *, batch=1000):
    model = FakeReadModel()
    for start in range(0, len(story.events), batch):
        model.apply(story.events[start : start + batch])
    return model.keys


def test_a_created_movie_is_a_record_and_json():
    """The JSON of a row is the public representation, its keys in the contract's order."""
    story = Story()
    key = story.created(story.account("Ann"), title="Élan", year=7)
    model = fold_story(story)
    record, json = first_record(model["rows"][key]), row_json(model["rows"][key])
    assert HEADER.unpack_from(record) == (1767355202000250, 7, UUID(key).bytes)
    assert record[HEADER.size :].decode() == "élan\0horror\0ann"
    assert list(orjson.loads(json).items()) == [
        ("id", key),
        ("title", "Élan"),
        ("genre", "Horror"),
        ("year", 7),
        ("creator", "Ann"),
        ("version", 1),
        ("created_at", "2026-01-02T12:00:02.000250Z"),
        ("updated_at", "2026-01-02T12:00:02.000250Z"),
    ]
    assert tuple(orjson.loads(json)) == ROW_FIELDS


def test_a_new_row_field_needs_a_new_row_format():
    """Otherwise rows of an earlier release would be shown without it."""
    assert ROW_FORMATS.get(ROW_FORMAT) == ROW_FIELDS


def test_every_event_of_a_movie_has_a_handler():
    assert set(MOVIE_EVENTS) == {topic for topic in HANDLERS if topic.startswith("Movie")}


def test_an_update_writes_only_the_row():
    story = Story()
    key = story.created(story.account())
    model = FakeReadModel()
    model.apply(story.events)
    changes = model.apply([story.updated(key, genre="Opera")])
    assert [(command, name) for command, name, _ in changes.writes] == [("HSET", "rows")]
    model.apply([story.updated(key, title="Aliens", year=1986)])
    assert model.records[key][HEADER.size :] == b"aliens\0opera\0ann"
    movie = decode_row(model.keys["rows"][key])
    assert (movie["version"], movie["genre"]) == (3, "Opera")
    assert movie["created_at"] < movie["updated_at"]


def test_a_deleted_movie_leaves_the_rows():
    """Its last state is kept for an event that may restore it."""
    story = Story()
    key = story.created(story.account())
    story.deleted(key)
    for batch in (1, 10):
        model = fold_story(story, batch=batch)
        assert {name for name, held in model.items() if held} == {"users", "gone"}
        assert orjson.loads(model["gone"][key])["version"] == 2


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5])
def test_a_restored_movie_keeps_creator_and_creation(batch):
    """The event carries title, genre and year only."""
    story = Story()
    key = story.created(story.account("ann"))
    story.deleted(key)
    story.restored(key, title="Alien³", year=1992)
    story.updated(key, genre="Drama")
    model = fold_story(story, batch=batch)
    movie = decode_row(model["rows"][key])
    assert movie["creator"] == "ann"
    assert movie["created_at"] == "2026-01-02T12:00:02.000250Z"
    assert (movie["title"], movie["year"], movie["version"]) == ("Alien³", 1992, 4)
    assert model["gone"] == {}


def test_other_events_change_nothing():
    """They count as applied."""
    story = Story()
    story.claimed()
    story.append("ReviewAdded", "some-review", stars=5)
    changes = fold_batch(story.events, NOTHING)
    assert (changes.writes, changes.applied, changes.refused) == ([], 2, {})


@pytest.mark.slow
@given(st.data())
def test_batches_of_any_size_give_the_same_rows(data):
    story, alive, dead = Story(), [], []
    by = [story.account("ann"), story.account("bob")]
    for _ in range(data.draw(st.integers(1, 25))):
        change = data.draw(st.sampled_from(["create", "update", "delete", "restore"]))
        title = data.draw(st.sampled_from(["Alien", "alien", "Élan", "E\u0301lan", "ß", ""]))
        year = data.draw(st.integers(1, 9999))
        if change == "create":
            alive.append(story.created(data.draw(st.sampled_from(by)), title, "g", year))
        elif change == "update" and alive:
            story.updated(data.draw(st.sampled_from(alive)), title=title, year=year)
        elif change == "delete" and alive:
            dead.append(alive.pop(data.draw(st.integers(0, len(alive) - 1))))
            story.deleted(dead[-1])
        elif change == "restore" and dead:
            alive.append(dead.pop())
            story.restored(alive[-1], title, "g", year)
    whole = fold_story(story)
    assert fold_story(story, batch=data.draw(st.integers(1, 10))) == whole
    assert set(whole["rows"]) == set(alive)


A_YEAR = "CannotApplyError: the year is not an integer of four digits"


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"title": 5}, "TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
        ({"title": "a\0b"}, "CannotApplyError: a text contains NUL"),
        ({"year": "1979"}, A_YEAR),
        ({"year": -1}, A_YEAR),
        ({"year": 10_000}, A_YEAR),
        ({"genre": None}, 'TypeError: can only concatenate str (not "NoneType") to str'),
        ({"by": "unknown"}, "KeyError: 'unknown'"),
        (
            {"timestamp": "2026-01-02"},
            "CannotApplyError: the time is not RFC 3339 in UTC with microseconds",
        ),
        ({"year": "1979", UNREADABLE: "ValueError: no JSON"}, "ValueError: no JSON"),
    ],
)
def test_an_event_that_cannot_be_applied_stops_only_its_movie(bad, error):
    """It is refused with position, type and reason, as are later events of its movie."""
    story = Story()
    by = story.account()
    poison = story.created(by, **bad) if "by" not in bad else story.created(bad["by"])
    other = story.created(by)
    story.updated(poison, title="Later")
    changes = fold_batch(story.events, NOTHING)
    assert set(changes.refused) == {poison}
    assert changes.refused[poison]["position"] == 2
    assert changes.refused[poison]["type"] == "MovieCreated"
    assert changes.refused[poison]["error"] == error
    assert changes.applied == 2
    written = {name: args for command, name, args in changes.writes}
    assert written["rows"][0::2] == [other]
    movie, reason = written["parked"]
    assert (movie, orjson.loads(reason)) == (poison, changes.refused[poison])


@pytest.mark.parametrize("year", [0, 9999])
def test_a_year_of_four_digits_is_listed(year):
    """Zero, too: no request can set it, but a log may have it."""
    story = Story()
    key = story.created(story.account(), year=year)
    assert decode_row(fold_story(story)["rows"][key])["year"] == year


def test_days_count_the_applied_events_of_movies():
    """Neither those of accounts and claims nor what is refused or parked."""
    story = Story()
    by = story.account()
    movie, parked = story.created(by), story.created(by)
    story.created("unknown")
    story.updated(movie, year=1980)
    story.updated(movie, year=1981)
    story.append("MovieDeleted", movie, timestamp="2026-01-03T00:00:00.000000Z")
    changes = fold_batch(story.events, NOTHING, {parked})
    assert changes.days == {
        "2026-01-02:MovieCreated": 1,
        "2026-01-02:MovieUpdated": 2,
        "2026-01-03:MovieDeleted": 1,
    }


def test_registered_accounts_are_told():
    story = Story()
    ann, bob = story.account("ann"), story.account("bob")
    assert fold_batch(story.events, NOTHING).users == {ann: "ann", bob: "bob"}


def test_the_state_that_a_batch_needs():
    """Whatever stands between: other streams, parked movies, an account that is no text."""
    story = Story()
    by = story.account()
    new = story.created(by)
    story.created(by=5)
    story.claimed()
    story.updated("changed", year=1)
    story.updated("parked", year=1)
    story.deleted("deleted")
    story.restored("restored")
    story.updated("restored", year=2)
    story.updated(new, year=3)
    assert required_state(story.events, {"parked"}) == (
        ["changed", "deleted"],
        ["restored"],
        [by],
    )


def test_a_change_keeps_the_time_of_creation_in_the_record():
    """Lists are ordered by it."""
    story = Story()
    key = story.created(story.account())
    model = FakeReadModel()
    model.apply(story.events)
    created = HEADER.unpack_from(model.records[key])[0]
    model.apply([story.updated(key, year=1980)])
    assert HEADER.unpack_from(model.records[key])[:2] == (created, 1980)


def test_the_state_before_a_refused_event_stays():
    """The movie is shown as it was before that event."""
    story = Story()
    key = story.created(story.account())
    story.updated(key, title="Aliens")
    story.updated(key, year="nonsense")
    model = FakeReadModel()
    assert model.apply(story.events).refused[key]["position"] == 4
    assert decode_row(model.keys["rows"][key])["title"] == "Aliens"


def test_a_movie_event_of_an_unknown_type_is_refused():
    """As are all later ones of its movie: a later release may apply them."""
    story = Story()
    movie = story.created(story.account())
    story.append("MovieExploded", movie)
    story.append("SessionOpened", "someone")
    changes = fold_batch(story.events, NOTHING)
    assert set(changes.refused) == {movie}
    assert changes.refused[movie]["error"] == "CannotApplyError: an event of a later release"
    assert changes.applied == 3


@pytest.mark.parametrize("kind", ["MovieUpdated", "MovieDeleted", "MovieRestored"])
def test_an_event_of_an_unknown_movie_is_refused(kind):
    """A change does not create a movie."""
    story = Story()
    story.append(kind, "unknown", title="t", genre="g", year=1)
    assert set(fold_batch(story.events, NOTHING).refused) == {"unknown"}


def test_a_movie_is_created_once():
    story = Story()
    key = story.created(story.account())
    again = story.events[1]._replace(position=3, version=2)
    refused = fold_batch([*story.events, again], NOTHING).refused
    assert refused[key]["error"] == "CannotApplyError: created twice"


def test_an_old_version_is_refused():
    """A row never goes back."""
    story = Story()
    key = story.created(story.account())
    again = story.updated(key, title="x")._replace(version=1)
    refused = fold_batch([*story.events[:2], again], NOTHING).refused
    assert refused[key]["error"] == "CannotApplyError: version 1 after version 1"


def test_an_account_needs_a_name():
    story = Story()
    key = story.account(username=5)
    refused = fold_batch(story.events, NOTHING).refused
    assert refused[key]["error"] == "CannotApplyError: the username is not a text"


def test_parked_movies_are_skipped():
    """They count as not applied; what follows is applied."""
    story = Story()
    by = story.account()
    key = story.created(by)
    story.updated(key, year=1980)
    other = story.created(by)
    changes = fold_batch(story.events, NOTHING, {key})
    assert changes.applied == 2
    assert not changes.refused
    written = {name: args for _, name, args in changes.writes}
    assert set(written) == {"users", "rows"}
    assert written["rows"][0::2] == [other]


def test_no_record_is_read_beyond_its_end():
    """Nor a part of one."""
    record = encode_record(5, 1979, bytes(16), "alien\0horror\0ann")
    packed = pack(record) + pack(dead_record(bytes(16)))
    assert list(unpack(packed)) == [record, dead_record(bytes(16))]
    assert HEADER.unpack(dead_record(bytes(16))) == (0, DEAD, bytes(16))
    for cut_off in (b"", b"\0\0", packed[:1], packed[: len(record)], pack(record[:25])):
        with pytest.raises(ValueError, match=r"^it is no packed record$"):
            first_record(cut_off)
    with pytest.raises(ValueError, match="no packed record"):
        list(unpack(packed[:-1]))


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1)))  # noqa: DTZ001 - made aware below
def test_microseconds_agree_with_datetime(time):
    """The fast conversion gives the same result."""
    aware = time.replace(tzinfo=UTC)
    exact = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)
    assert microseconds(rfc3339(aware)) == exact
