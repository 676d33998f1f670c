"""Scripts that read lists and movies."""

from types import SimpleNamespace
from uuid import UUID

import orjson
import pytest

from projections.records import DEAD, HEADER, RECORDS_SINCE, unpack
from tests.read_side import Story, apply, make_live
from tests.scripts import call

GONE = [b"gone"]


@pytest.fixture
def movies(redis):
    """Seven movies; two share a year and two a title."""
    story = Story()
    ann = story.account("Ann")
    years = [1979, 1986, 1986, 1992, 1997, 2012, 2017]
    titles = ["Alien", "Aliens", "Aliens", "Alien 3", "Resurrection", "Prometheus", "Covenant"]
    ids = [
        story.created(ann, title, "Horror", year) for title, year in zip(titles, years, strict=True)
    ]
    view = make_live(redis, story)
    return SimpleNamespace(
        ids=ids, keys=view.keys, position=len(story.events), story=story, view=view
    )


def ids_of(rows):
    return [orjson.loads(row)["id"] for row in rows]


def test_get_movies(redis, movies):
    name = "queries.lua.get_movies"
    answer = call(
        redis, name, [movies.keys.state, movies.keys.rows], movies.ids[1], "x", movies.ids[0]
    )
    assert answer[:2] == [b"movies", movies.position]
    assert ids_of(answer[2:]) == [movies.ids[1], movies.ids[0]]
    assert call(redis, name, [movies.keys.state, movies.keys.rows]) == [b"movies", movies.position]


def test_count_days(redis, movies):
    name, keys = "queries.lua.count_days", movies.keys
    taken = [keys.state, keys.rows, keys.days]
    kind, position, version, counts = call(redis, name, taken, "")
    assert (kind, position) == (b"days", movies.position)
    assert counts == [b"2026-01-02:MovieCreated", b"7"]
    assert call(redis, name, taken, version) == [b"same", movies.position]
    redis.hincrby(keys.state, "mends", 1)
    assert call(redis, name, taken, version)[0] == b"days"
    redis.hset(keys.days, "2026-01-03:MovieCreated", 1)
    assert call(redis, name, taken, "") == GONE
    redis.delete(keys.days)
    redis.set(keys.days, "x")
    assert call(redis, name, taken, "") == GONE
    redis.delete(keys.state)
    assert call(redis, name, taken, "") == GONE


FOLLOW, READ_RECORDS = "queries.lua.follow", "queries.lua.read_records"


def follow(redis, movies, epoch="0", position=None, name=None, *, ids=()):
    if position is None:
        position, name = redis.hmget(movies.keys.state, "position", "last")
    keys = [movies.keys.state, movies.keys.rows, movies.keys.changes]
    return call(redis, FOLLOW, keys, epoch, position, name, *ids)


def records(packed):
    return [[decoded(one) for one in unpack(change)] for change in packed]


def decoded(record):
    _, year, movie_id = HEADER.unpack_from(record)
    return (year, str(UUID(bytes=movie_id)), record[HEADER.size :])


def test_follow_tells_that_nothing_changed(redis, movies):
    name = redis.hget(movies.keys.state, "last")
    known = [b"changes", movies.position, b"0", name, []]
    assert follow(redis, movies) == [*known, []]
    answer = follow(redis, movies, ids=[movies.ids[0], "x"])
    assert answer[:5] == known
    assert ids_of(answer[5][:1]) == movies.ids[:1]
    assert answer[5][1] is None


def test_follow_tells_what_changed(redis, movies):
    """Changes are those of each batch, in order; a deleted movie has a dead record."""
    known = redis.hmget(movies.keys.state, "position", "last")
    movies.story.updated(movies.ids[0], title="Alien!")
    movies.story.deleted(movies.ids[1])
    apply(movies.view, movies.story, batch=1)
    kind, position, epoch, name, packed, rows = follow(redis, movies, "0", *known)
    assert (kind, position, epoch, rows) == (b"changes", movies.position + 2, b"0", [])
    assert name == redis.hget(movies.keys.state, "last")
    assert records(packed) == [
        [(1979, movies.ids[0], b"alien!\0horror\0ann")],
        [(DEAD, movies.ids[1], b"")],
    ]
    assert follow(redis, movies, "0", movies.position + 1, "x")[4] == packed[1:]


@pytest.mark.parametrize(
    "fault",
    ["another epoch", "another name", "later", "lost", "another type", "trimmed", "nothing"],
)
def test_follow_says_that_all_must_be_read_again(redis, movies, fault):
    epoch, (position, name) = "0", redis.hmget(movies.keys.state, "position", "last")
    if fault not in ("another name", "nothing"):
        for _ in range(2):
            movies.story.updated(movies.ids[0], title="Alien!")
        apply(movies.view, movies.story, batch=1)
    if fault == "another epoch":
        epoch = "1"
    elif fault == "another name":
        name = b"x"
    elif fault == "later":
        position = movies.position + 9
    elif fault == "lost":
        redis.delete(movies.keys.changes)
    elif fault == "another type":
        redis.set(movies.keys.changes, "x")
    elif fault == "trimmed":
        redis.xtrim(movies.keys.changes, maxlen=1, approximate=False)
    else:
        epoch = position = name = ""
    answer = follow(redis, movies, epoch, position, name, ids=movies.ids[:1])
    assert (answer[0], answer[4]) == (b"unknown", [])
    assert answer[1:4] == [
        int(redis.hget(movies.keys.state, "position")),
        b"0",
        redis.hget(movies.keys.state, "last"),
    ]


@pytest.mark.parametrize("count", [1, 1000])
def test_read_records_reads_every_movie(redis, count):
    story = Story()
    ann = story.account("Ann")
    ids = {story.created(ann, "Alien", "Horror", 1979) for _ in range(600)}
    keys = make_live(redis, story).keys
    cursor, found, calls = b"0", set(), 0
    while not calls or cursor != b"0":
        cursor, *some = call(
            redis, READ_RECORDS, [keys.state, keys.rows], cursor, count, RECORDS_SINCE
        )
        found |= set(map(decoded, some))
        calls += 1
    assert found == {(1979, one, b"alien\0horror\0ann") for one in ids}
    assert calls > 1 or count > 1


def test_rows_without_records_are_not_read(redis, movies):
    """Those of later formats are: they have the same records."""
    keys = [movies.keys.state, movies.keys.rows]
    redis.hset(movies.keys.state, "format", RECORDS_SINCE + 1)
    assert len(call(redis, READ_RECORDS, keys, "0", 10, RECORDS_SINCE)) == 8
    redis.hset(movies.keys.state, "format", RECORDS_SINCE - 1)
    assert call(redis, READ_RECORDS, keys, "0", 10, RECORDS_SINCE) == GONE
    redis.hdel(movies.keys.state, "format")
    assert call(redis, READ_RECORDS, keys, "0", 10, RECORDS_SINCE) == GONE


@pytest.mark.parametrize("fault", ["retired", "damaged", "missing", "position"])
def test_an_unusable_generation_is_reported_as_gone(redis, movies, fault):
    head = movies.keys.state
    if fault == "retired":
        redis.hset(head, "state", "retired")
    elif fault == "damaged":
        redis.delete(movies.keys.rows)
    elif fault == "missing":
        redis.delete(head)
    else:
        redis.hset(head, "position", "-1")
    keys = [movies.keys.state, movies.keys.rows]
    assert call(redis, "queries.lua.get_movies", keys, movies.ids[0]) == GONE
    assert call(redis, READ_RECORDS, keys, "0", 10, RECORDS_SINCE) == GONE
    assert follow(redis, movies, "0", "7", "x") == [b"gone", 0]
