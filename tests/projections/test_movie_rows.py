"""Folding: events become rows and index changes, without any Redis."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.event_types import MOVIE_EVENTS
from commands.rfc3339 import rfc3339
from projections.generation.state import ROW_FORMAT
from projections.movie_rows import (
    HANDLERS,
    ROW_FIELDS,
    PriorState,
    ReadModelChanges,
    decode_row,
    fold_batch,
    microseconds,
    required_state,
)
from tests.read_side import Story

NOTHING = PriorState({}, {}, {})
ROW_FORMATS = {
    3: ("id", "title", "genre", "year", "creator", "version", "created_at", "updated_at"),
}
"""The fields of a row in each row format. Entries are only added."""


class Kept:
    """Redis as dicts in place of hashes and sorted sets."""

    def __init__(self):
        self.keys = {
            name: {} for name in ("rows", "gone", "users", "parked", "created", "years", "titles")
        }

    def apply(self, batch, parked=()) -> ReadModelChanges:
        asked = required_state(batch, parked)
        before = PriorState(
            *(
                {k: self.keys[name][k] for k in ids if k in self.keys[name]}
                for name, ids in (
                    ("rows", asked.rows),
                    ("gone", asked.deleted),
                    ("users", asked.users),
                )
            )
        )
        changes = fold_batch(batch, before, parked)
        for command, name, args in changes.writes:
            kept, pairs = self.keys[name], list(zip(args[::2], args[1::2], strict=False))
            if command == "HSET":
                kept.update(pairs)
            elif command == "ZADD":
                kept.update({member: score for score, member in pairs})
            else:
                assert command in ("HDEL", "ZREM")
                for member in args:
                    del kept[member]
        return changes


def kept_of(story, *, batch=1000):
    kept = Kept()
    for start in range(0, len(story.events), batch):
        kept.apply(story.events[start : start + batch])
    return kept.keys


def test_a_created_movie_is_a_row_and_three_index_entries():
    """The JSON of a row is the public representation, its keys in the contract's order."""
    story = Story()
    key = story.created(story.account("Ann"), title="Élan", year=7)
    kept = kept_of(story)
    front, json = kept["rows"][key].rsplit(b"\0", 1)
    assert front.decode() == "0007\0" + "1767355202000250\0élan\0horror\0ann"
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
    assert kept["created"] == {key: 1767355202000250}
    assert kept["years"] == {key: 7}
    assert kept["titles"] == {f"élan\0{key}": 0}


def test_the_row_format_counts_up_with_the_fields():
    """Otherwise rows of an earlier release would be shown without them."""
    assert ROW_FORMATS.get(ROW_FORMAT) == ROW_FIELDS


def test_every_event_of_a_movie_has_a_handler():
    assert set(MOVIE_EVENTS) == {topic for topic in HANDLERS if topic.startswith("Movie")}


def test_an_update_moves_only_what_changes():
    """An index without a change is not written."""
    story = Story()
    key = story.created(story.account())
    kept = Kept()
    kept.apply(story.events)
    changes = kept.apply([story.updated(key, genre="Opera")])
    assert [(command, name) for command, name, _ in changes.writes] == [("HSET", "rows")]
    kept.apply([story.updated(key, title="Aliens", year=1986)])
    assert kept.keys["titles"] == {f"aliens\0{key}": 0}
    assert kept.keys["years"] == {key: 1986}
    movie = decode_row(kept.keys["rows"][key])
    assert (movie["version"], movie["genre"]) == (3, "Opera")
    assert movie["created_at"] < movie["updated_at"]


def test_a_deleted_movie_leaves_every_index():
    """Its last state stays, for the event that may restore it."""
    story = Story()
    key = story.created(story.account())
    story.deleted(key)
    for batch in (1, 10):
        kept = kept_of(story, batch=batch)
        assert {name for name, held in kept.items() if held} == {"users", "gone"}
        assert orjson.loads(kept["gone"][key])["version"] == 2


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5])
def test_a_restored_movie_keeps_creator_and_creation(batch):
    """The event carries title, genre and year only."""
    story = Story()
    key = story.created(story.account("ann"))
    story.deleted(key)
    story.restored(key, title="Alien³", year=1992)
    story.updated(key, genre="Drama")
    kept = kept_of(story, batch=batch)
    movie = decode_row(kept["rows"][key])
    assert movie["creator"] == "ann"
    assert movie["created_at"] == "2026-01-02T12:00:02.000250Z"
    assert (movie["title"], movie["year"], movie["version"]) == ("Alien³", 1992, 4)
    assert kept["gone"] == {}
    assert list(kept["titles"]) == [f"alien³\0{key}"]


def test_other_events_change_nothing():
    """They count as applied."""
    story = Story()
    story.claimed()
    story.tell("ReviewAdded", "some-review", stars=5)
    changes = fold_batch(story.events, NOTHING)
    assert (changes.writes, changes.applied, changes.refused) == ([], 2, {})


@pytest.mark.slow
@given(st.data())
def test_the_size_of_batches_makes_no_difference(data):
    """Any batches leave the same rows and indexes."""
    story, alive, dead = Story(), [], []
    by = [story.account("ann"), story.account("bob")]
    for _ in range(data.draw(st.integers(1, 25))):
        what = data.draw(st.sampled_from(["create", "update", "delete", "restore"]))
        title = data.draw(st.sampled_from(["Alien", "alien", "Élan", "E\u0301lan", "ß", ""]))
        year = data.draw(st.integers(1, 9999))
        if what == "create":
            alive.append(story.created(data.draw(st.sampled_from(by)), title, "g", year))
        elif what == "update" and alive:
            story.updated(data.draw(st.sampled_from(alive)), title=title, year=year)
        elif what == "delete" and alive:
            dead.append(alive.pop(data.draw(st.integers(0, len(alive) - 1))))
            story.deleted(dead[-1])
        elif what == "restore" and dead:
            alive.append(dead.pop())
            story.restored(alive[-1], title, "g", year)
    whole = kept_of(story)
    assert kept_of(story, batch=data.draw(st.integers(1, 10))) == whole
    assert set(whole["rows"]) == set(whole["created"]) == set(whole["years"]) == set(alive)
    assert sorted(member[-36:] for member in whole["titles"]) == sorted(alive)


@pytest.mark.parametrize(
    "bad",
    [
        {"title": 5},
        {"title": "a\0b"},
        {"year": "1979"},
        {"year": 10_000},
        {"genre": None},
        {"by": "nobody"},
        {"timestamp": "2026-01-02"},
    ],
)
def test_an_event_that_cannot_be_applied_stops_only_its_movie(bad):
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
    assert changes.refused[poison]["error"]
    assert changes.applied == 2
    rows = next(args for command, name, args in changes.writes if name == "rows")
    assert rows[0::2] == [other]


def test_the_state_before_a_refused_event_stays():
    """The movie is shown as it was before that event."""
    story = Story()
    key = story.created(story.account())
    story.updated(key, title="Aliens")
    story.updated(key, year="nonsense")
    kept = Kept()
    assert kept.apply(story.events).refused[key]["position"] == 4
    assert decode_row(kept.keys["rows"][key])["title"] == "Aliens"


def test_a_movie_event_of_an_unknown_type_is_refused():
    """As are all later ones of its movie: a later release may apply them."""
    story = Story()
    movie = story.created(story.account())
    story.tell("MovieExploded", movie)
    story.tell("SessionOpened", "someone")
    changes = fold_batch(story.events, NOTHING)
    assert set(changes.refused) == {movie}
    assert changes.applied == 3


@pytest.mark.parametrize("kind", ["MovieUpdated", "MovieDeleted", "MovieRestored"])
def test_an_event_of_an_unknown_movie_is_refused(kind):
    """A change does not create a movie."""
    story = Story()
    story.tell(kind, "unknown", title="t", genre="g", year=1)
    assert set(fold_batch(story.events, NOTHING).refused) == {"unknown"}


def test_a_movie_is_created_once():
    story = Story()
    key = story.created(story.account())
    again = story.events[1]._replace(position=3, version=2)
    assert set(fold_batch([*story.events, again], NOTHING).refused) == {key}


def test_an_old_version_is_refused():
    """A row never goes back."""
    story = Story()
    key = story.created(story.account())
    again = story.updated(key, title="x")._replace(version=1)
    assert set(fold_batch([*story.events[:2], again], NOTHING).refused) == {key}


def test_parked_movies_are_skipped():
    """They count as not applied."""
    story = Story()
    key = story.created(story.account())
    changes = fold_batch(story.events, NOTHING, {key})
    assert changes.applied == 1
    assert not changes.refused
    assert [name for _, name, _ in changes.writes] == ["users"]


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1)))  # noqa: DTZ001 - made aware below
def test_microseconds_agree_with_datetime(time):
    """The fast conversion gives the same result."""
    aware = time.replace(tzinfo=UTC)
    exact = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)
    assert microseconds(rfc3339(aware)) == exact
