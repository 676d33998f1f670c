"""Lists and single movies, as the read model returns them."""

import random
import unicodedata
from dataclasses import replace
from uuid import UUID

import orjson
import pytest

from commands.errors import NotFoundError, ReadModelUnavailableError
from projections.generation import lifecycle
from projections.generation.writer import GenerationWriter
from queries.movie_query import MovieQuery, parse_query
from queries.movies import get_movie, read_page
from queries.orderings import FIELDS, seek_key
from tests.read_side import Story, apply, make_live

pytestmark = pytest.mark.anyio


@pytest.fixture
def library(redis, story):
    """Two accounts and five movies, in a live generation."""
    ann, bob = story.account("Ann"), story.account("Zoë")
    story.created(ann, "Alien", "Horror", 1979)
    story.created(bob, "ALIENS", "Action", 1986)
    story.created(ann, "Élan vital", "Drama", 1986)
    story.created(bob, "Straße", "Drama", 2018)
    story.created(ann, "alien", "Science Fiction", 2018)
    story.view = make_live(redis, story)
    return story


async def listed_titles(reader, **params):
    page = await read_page(reader, parse_query({k: [str(v)] for k, v in params.items()}))
    assert page.count == len(page.rows) or page.last_page > 1
    return [orjson.loads(row)["title"] for row in page.rows]


async def test_an_empty_list_has_page_one(redis, reader, story):
    make_live(redis, story)
    for query in (MovieQuery(), MovieQuery(page=None), MovieQuery(title="x")):
        page = await read_page(reader, query)
        assert (page.count, page.rows, page.page, page.last_page) == (0, [], 1, 1)


async def test_rows_are_the_public_json(reader, library):
    """A row is sent as it is stored; a page has the position of its generation."""
    page = await read_page(reader, MovieQuery())
    assert page.position == 7
    assert page.rows[0].startswith(b'{"id":"')
    assert list(orjson.loads(page.rows[0])) == [
        "id",
        "title",
        "genre",
        "year",
        "creator",
        "version",
        "created_at",
        "updated_at",
    ]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ["alien", "Straße", "Élan vital", "ALIENS", "Alien"]),
        ({"title": "ALIEN"}, ["alien", "ALIENS", "Alien"]),
        ({"title": "lie"}, ["alien", "ALIENS", "Alien"]),
        ({"title": "éLAN"}, ["Élan vital"]),
        ({"title": "E\u0301lan"}, ["Élan vital"]),
        ({"title": "strasse"}, ["Straße"]),
        ({"title": "elan"}, []),
        ({"title": "drama"}, []),
        ({"title": "%"}, []),
        ({"genre": "drama"}, ["Straße", "Élan vital"]),
        ({"genre": "alien"}, []),
        ({"creator__username": "ZOË"}, ["Straße", "ALIENS"]),
        ({"creator__username": "n"}, ["alien", "Élan vital", "Alien"]),
        ({"creator__username": "drama"}, []),
        ({"search": "A"}, ["alien", "Straße", "Élan vital", "ALIENS", "Alien"]),
        ({"search": "fiction"}, ["alien"]),
        ({"search": "vital"}, ["Élan vital"]),
        ({"search": "zoë"}, []),
        ({"year": 1986}, ["Élan vital", "ALIENS"]),
        ({"year": "1986.5"}, []),
        ({"year__gt": 1986}, ["alien", "Straße"]),
        ({"year__gte": 1986}, ["alien", "Straße", "Élan vital", "ALIENS"]),
        ({"year__lt": 1986}, ["Alien"]),
        ({"year__lte": 1986}, ["Élan vital", "ALIENS", "Alien"]),
        ({"year__gt": 1979, "year__lt": 2018, "genre": "drama"}, ["Élan vital"]),
        ({"title": "alien", "search": "action", "creator__username": "zo"}, ["ALIENS"]),
        ({"ordering": "created_at"}, ["Alien", "ALIENS", "Élan vital", "Straße", "alien"]),
        ({"ordering": "-created_at"}, ["alien", "Straße", "Élan vital", "ALIENS", "Alien"]),
        ({"ordering": "title"}, ["alien", "Alien", "ALIENS", "Straße", "Élan vital"]),
        ({"ordering": "-title"}, ["Élan vital", "Straße", "ALIENS", "alien", "Alien"]),
        ({"ordering": "year"}, ["Alien", "Élan vital", "ALIENS", "alien", "Straße"]),
        ({"ordering": "-year"}, ["alien", "Straße", "Élan vital", "ALIENS", "Alien"]),
        ({"ordering": "genre"}, ["ALIENS", "Straße", "Élan vital", "Alien", "alien"]),
        ({"ordering": "-genre"}, ["alien", "Alien", "Straße", "Élan vital", "ALIENS"]),
        ({"ordering": "creator"}, ["alien", "Élan vital", "Alien", "Straße", "ALIENS"]),
        ({"ordering": "-creator,title"}, ["ALIENS", "Straße", "alien", "Alien", "Élan vital"]),
        ({"ordering": "id"}, ["Alien", "ALIENS", "Élan vital", "Straße", "alien"]),
        ({"ordering": "-id"}, ["alien", "Straße", "Élan vital", "ALIENS", "Alien"]),
        ({"ordering": "-year,title"}, ["alien", "Straße", "ALIENS", "Élan vital", "Alien"]),
        (
            {"ordering": "year,genre", "search": "a"},
            ["Alien", "ALIENS", "Élan vital", "Straße", "alien"],
        ),
        ({"ordering": "genre", "page_size": 2, "page": 2}, ["Élan vital", "Alien"]),
        ({"ordering": "genre", "page_size": 2, "page": "last"}, ["alien"]),
        ({"ordering": "title", "title": "alien"}, ["alien", "Alien", "ALIENS"]),
        ({"ordering": "-title", "title": "alien"}, ["ALIENS", "alien", "Alien"]),
        ({"ordering": "year", "search": "a", "page_size": 2}, ["Alien", "Élan vital"]),
        ({"ordering": "year", "page_size": 2, "page": 2}, ["ALIENS", "alien"]),
        ({"ordering": "year", "page_size": 2, "page": "last"}, ["Straße"]),
    ],
)
async def test_filters_and_orderings_combine(reader, library, params, expected):
    """Text filters ignore case, Unicode included; ties come newest first."""
    assert await listed_titles(reader, **params) == expected


async def test_a_page_beyond_the_last_is_invalid(reader, library):
    """``page=None`` is the last page."""
    for filters in ({}, {"search": "a"}):
        page = await read_page(reader, MovieQuery(page_size=2, page=None, **filters))
        assert (page.count, len(page.rows), page.page, page.last_page) == (5, 1, 3, 3)
        with pytest.raises(NotFoundError, match=r"^Invalid page\.$"):
            await read_page(reader, MovieQuery(page_size=2, page=4, **filters))
        with pytest.raises(NotFoundError):
            await read_page(reader, MovieQuery(page=10**14, **filters))


async def test_a_movie_is_found_by_its_id(reader, library):
    key = library.events[2].stream_id
    row, position = await get_movie(reader, UUID(key))
    assert (orjson.loads(row)["id"], position) == (key, 7)
    assert await get_movie(reader, UUID(int=1)) == (None, 7)


async def test_a_restored_movie_returns_to_its_place(redis, reader, library):
    """A deleted movie is not listed; a restored one is ordered by its creation."""
    key = library.events[3].stream_id
    library.deleted(key)
    apply(library.view, library)
    assert await get_movie(reader, UUID(key)) == (None, 8)
    assert await listed_titles(reader, title="alien") == ["alien", "Alien"]
    library.restored(key, title="Aliens!", genre="Action", year=1987)
    apply(library.view, library)
    assert await listed_titles(reader) == ["alien", "Straße", "Élan vital", "Aliens!", "Alien"]
    assert await listed_titles(reader, year=1987) == ["Aliens!"]
    row, position = await get_movie(reader, UUID(key))
    assert (orjson.loads(row)["creator"], position) == ("Zoë", 9)


async def test_a_change_invalidates_cached_pages(reader, library):
    """A cached page is used only at the position at which it was made."""
    for number in range(3):
        assert len(await listed_titles(reader, title="alien")) == 3 + number
        library.created(library.events[0].stream_id, f"Alien {number}")
        apply(library.view, library)


async def test_invalid_unicode_matches_no_movie(reader, library):
    assert (await read_page(reader, MovieQuery(title="\udc80"))).count == 0


async def test_a_generation_behind_the_required_position_is_refused(reader, library):
    for query in (MovieQuery(), MovieQuery(title="a")):
        assert (await read_page(reader, query, min_position=7)).count
        with pytest.raises(ReadModelUnavailableError):
            await read_page(reader, query, min_position=8)
    with pytest.raises(ReadModelUnavailableError):
        await get_movie(reader, UUID(int=1), min_position=8)


async def test_an_unfinished_generation_is_not_shown(redis, reader, library):
    """Neither an empty nor a partial list is returned, even to a reader of the lost generation."""
    assert await listed_titles(reader, year=1979)
    redis.flushall()
    building = lifecycle.begin(redis, above=library.view.number)
    building.apply(library.events[:4], 0)
    for query in (MovieQuery(), MovieQuery(title="a")):
        with pytest.raises(ReadModelUnavailableError):
            await read_page(reader, query)
    with pytest.raises(ReadModelUnavailableError):
        await get_movie(reader, UUID(int=1))
    apply(building, library)
    lifecycle.go_live(redis, building)
    assert await listed_titles(reader, year=1979) == ["Alien"]


async def test_a_reader_follows_a_switch_of_generations(redis, reader, library):
    """A reader that knows the dropped generation reads again from the live one."""
    assert await listed_titles(reader, year=1979)
    new = GenerationWriter(redis, library.view.number + 1)
    new.create()
    apply(new, library)
    redis.sadd("movies:generations", new.number)
    lifecycle.go_live(redis, new)
    lifecycle.drop(redis, library.view.number)
    assert await listed_titles(reader, title="straße") == ["Straße"]
    assert await listed_titles(reader) == ["alien", "Straße", "Élan vital", "ALIENS", "Alien"]


async def test_flushed_scripts_are_sent_again(redis, reader, library):
    for _ in range(2):
        redis.script_flush()
        assert await listed_titles(reader, year=1979) == ["Alien"]
        assert await listed_titles(reader, page_size=1) == ["alien"]
        assert (await get_movie(reader, UUID(int=1)))[0] is None


def model_of(story):
    """Return the movies that a plain model has: id to fields."""
    users, alive, deleted = {}, {}, {}
    for _, key, version, kind, data in story.events:
        fields = {name: data[name] for name in ("title", "genre", "year") if name in data}
        if kind == "UserRegistered":
            users[key] = data["username"]
        elif kind == "MovieCreated":
            alive[key] = fields | {"creator": users[data["by"]], "created": data["timestamp"]}
        elif kind == "MovieDeleted":
            deleted[key] = alive.pop(key)
        elif kind == "MovieRestored":
            alive[key] = deleted.pop(key)
        if kind.startswith("Movie") and key in alive:
            alive[key] |= fields | {"version": version}
    return alive


def fold_text(text):
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def expected_ids(alive, query):
    """Return the ids that a query lists, on all pages."""
    holds = {
        "title": lambda movie: query.title in fold_text(movie["title"]),
        "genre": lambda movie: query.genre in fold_text(movie["genre"]),
        "creator": lambda movie: query.creator in fold_text(movie["creator"]),
        "search": lambda movie: (
            query.search in fold_text(movie["title"]) or query.search in fold_text(movie["genre"])
        ),
        "years": lambda movie: query.year_from <= movie["year"] <= query.year_to,
    }
    order = {
        "created_at": lambda key: alive[key]["created"],
        "year": lambda key: alive[key]["year"],
        "title": lambda key: fold_text(alive[key]["title"]),
        "genre": lambda key: fold_text(alive[key]["genre"]),
        "creator": lambda key: fold_text(alive[key]["creator"]),
        "id": lambda key: key,
    }
    ids = [key for key, movie in alive.items() if all(test(movie) for test in holds.values())]
    # Sorts are stable, so ties stay newest first, ascending or descending.
    ids.sort(reverse=True)
    for field, descending in reversed(query.orderings):
        ids.sort(key=order[field], reverse=descending)
    return ids


WORDS = [
    "Alien",
    "ALIENS",
    "alien",
    "Élan",
    "E\u0301lan",
    "Straße",
    "the",
    "The End",
    "日本",
    "a\x01b",
    "a",
]


def add_random_events(story, rng, rounds):
    """Add random events of all kinds."""
    users = [event.stream_id for event in story.events if event.type == "UserRegistered"]
    users = users or [story.account(name) for name in ("ann", "Ännchen", "bob")]
    alive = list(model_of(story))
    deleted = [
        e.stream_id for e in story.events if e.type == "MovieCreated" and e.stream_id not in alive
    ]
    for _ in range(rounds):
        roll = rng.random()
        fields = {
            "title": " ".join(rng.sample(WORDS, rng.randint(1, 2))),
            "genre": rng.choice(["Drama", "drama", "Action", "Œuvre"]),
            "year": rng.choice([1, 1979, 1986, 2018, 9999, rng.randint(1, 9999)]),
        }
        if roll < 0.6 or not alive:
            # Few different times: every ordering has ties.
            second = f"{rng.randint(0, 9):02}"
            time = f"2026-01-02T12:00:{second}.000000Z"
            alive.append(story.created(rng.choice(users), **fields, timestamp=time))
        elif roll < 0.8:
            names = rng.sample(sorted(fields), rng.randint(1, 3))
            story.updated(rng.choice(alive), **{name: fields[name] for name in names})
        elif roll < 0.92 or not deleted:
            deleted.append(alive.pop(rng.randrange(len(alive))))
            story.deleted(deleted[-1])
        else:
            alive.append(deleted.pop(rng.randrange(len(deleted))))
            story.restored(alive[-1], **fields)


def random_params(rng):
    """Return the parameters of a random query without a page."""
    params = {"page_size": rng.choice(["1", "3", "7", "10", "50"])}
    texts = ["a", "ALIEN", "e", "É", "the", "ss", "n", "d", "œ", "本", "\x01", "nothing"]
    for name in ("title", "genre", "creator__username", "search"):
        if rng.random() < 0.3:
            params[name] = rng.choice(texts)
    for name in ("year", "year__gt", "year__lt", "year__gte", "year__lte"):
        if rng.random() < 0.15:
            params[name] = rng.choice(["1979", "1986.0", "1985.5", "5000", "1", "9999"])
    named = rng.sample(sorted(FIELDS), rng.choice([1, 1, 1, 2, 3]))
    params["ordering"] = ",".join(rng.choice(["", "-"]) + name for name in named)
    return params


async def ids_by_page(reader, params):
    """Return the ids on all pages by number; check the numbers on each page."""
    ids, number, last = [], 1, 1
    while number <= last:
        query = parse_query({k: [v] for k, v in params.items()} | {"page": [str(number)]})
        page = await read_page(reader, query)
        ids += [orjson.loads(row)["id"] for row in page.rows]
        last = page.last_page
        assert page.page == number
        assert last == max(1, -(-page.count // query.page_size))
        number += 1
    assert len(ids) == page.count
    return ids


async def ids_by_seek_key(reader, params):
    """Return the ids on all pages, each requested by the seek key of the previous one."""
    query = parse_query({k: [v] for k, v in params.items()})
    ids = []
    while True:
        page = await read_page(reader, query)
        ids += [orjson.loads(row)["id"] for row in page.rows]
        if not page.more:
            return ids
        query = replace(query, after=seek_key(page.rows[-1], query.orderings))


@pytest.mark.parametrize("seed", range(8))
async def test_random_queries_agree_with_a_plain_model(redis, reader, monkeypatch, seed):
    """All filters, orderings and pages agree after random events.

    Few records are sorted one by one, so that lists are found by counting as in large catalogues.
    """
    monkeypatch.setattr("queries.columns.ordering.ranking._FEW", 10)
    rng = random.Random(seed)
    story = Story()
    add_random_events(story, rng, 300)
    view = make_live(redis, story, batch=rng.choice([1, 17, 1000]))
    for _ in range(3):
        alive = model_of(story)
        for _ in range(25):
            params = random_params(rng)
            query = parse_query({name: [value] for name, value in params.items()})
            assert await ids_by_page(reader, params) == expected_ids(alive, query), params
            assert await ids_by_seek_key(reader, params) == expected_ids(alive, query), params
        for key in rng.sample(sorted(alive), 5):
            row = orjson.loads((await get_movie(reader, UUID(key)))[0])
            assert {
                name: row[name] for name in ("title", "genre", "year", "creator", "version")
            } == {
                name: alive[key][name] for name in ("title", "genre", "year", "creator", "version")
            }
        add_random_events(story, rng, 40)
        apply(view, story)


CORRUPTIONS = {
    "rows": ("SET", "rows", "x"),
    "the state": ("SET", "head", "x"),
    "the position": ("HSET", "head", "position", "abc"),
    "a row": ("HSET", "rows", "SOME", "x"),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
async def test_a_corrupt_generation_is_unavailable(redis, reader, library, corruption):
    """The error is that of an unfinished list: a later request may succeed."""
    command, name, *args = CORRUPTIONS[corruption]
    some = redis.hkeys(library.view.keys.rows)[0]
    args = [some if arg == "SOME" else arg for arg in args]
    redis.execute_command(command, library.view.keys.named(name), *args)
    with pytest.raises(ReadModelUnavailableError):
        await read_page(reader, MovieQuery())


@pytest.mark.parametrize("value", ["x", "-1", "0", "9" * 30, None])
async def test_an_invalid_live_pointer_is_unavailable(redis, reader, library, value):
    redis.delete("movies:live")
    redis.set("movies:live", value) if value else redis.hset("movies:live", "x", "y")
    with pytest.raises(ReadModelUnavailableError):
        await read_page(reader, MovieQuery())
