"""Scripts that read lists and movies."""

from types import SimpleNamespace

import orjson
import pytest

from projections.generation.state import CONSTANTS
from tests.read_side import Story, make_live
from tests.scripts import call, evaluate

RESULTS = {"RESULT_TTL_S": 15, "MAX_RESULTS": 2, "MAX_RESULT_IDS": 1000}
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
    return SimpleNamespace(ids=ids, keys=view.keys, position=len(story.events))


def ids_of(rows):
    return [orjson.loads(row)["id"] for row in rows]


def list_page(redis, movies, index, *args):
    keys = [*movies.keys.listed, movies.keys.named(index)]
    return call(redis, "queries.lua.list_page", keys, *args)


@pytest.mark.parametrize(
    ("index", "descending", "order"),
    [
        ("created", 1, [6, 5, 4, 3, 2, 1, 0]),
        ("created", 0, [0, 1, 2, 3, 4, 5, 6]),
        ("years", 1, [6, 5, 4, 3, 2, 1, 0]),
        ("years", 0, [0, 2, 1, 3, 4, 5, 6]),
        ("titles", 1, [4, 5, 6, 2, 1, 3, 0]),
        ("titles", 0, [0, 3, 2, 1, 6, 5, 4]),
    ],
)
def test_list_page_by_number(redis, movies, index, descending, order):
    """Ties come newest first, for any page size."""
    ordering = {"created": "created_at", "years": "year", "titles": "title"}[index]
    for size in (1, 2, 3, 7, 20):
        found = []
        last = -(-7 // size)
        for number in range(1, last + 1):
            answer = list_page(redis, movies, index, ordering, descending, number, size, "")
            assert answer[:5] == [b"page", movies.position, 7, number, last]
            found += ids_of(answer[5:])
        assert found == [movies.ids[number] for number in order]


def test_list_page_by_seek_key(redis, movies):
    """The page follows a key and id, which need not be a member."""
    for seek, order in {f"1986\0{movies.ids[2]}": [1, 3, 4], "1986\0f": [2, 1, 3]}.items():
        answer = list_page(redis, movies, "years", "year", 0, seek, 3, "")
        assert answer[4] == 1
        assert ids_of(answer[5:]) == [movies.ids[number] for number in order]
    answer = list_page(redis, movies, "titles", "title", 1, f"aliens\0{movies.ids[2]}", 3, "")
    assert answer[4] == 0
    assert ids_of(answer[5:]) == [movies.ids[number] for number in (1, 3, 0)]


def test_list_page_knows_the_last_page(redis, movies):
    assert list_page(redis, movies, "years", "year", 0, 9, 3, "")[2:] == [7, 9, 3]
    answer = list_page(redis, movies, "years", "year", 0, 0, 3, "")
    assert answer[3:5] == [3, 3]
    assert ids_of(answer[5:]) == [movies.ids[6]]


def test_list_page_reports_an_unchanged_position(redis, movies):
    known = [b"same", movies.position]
    assert list_page(redis, movies, "years", "year", 0, 1, 3, movies.position) == known
    assert list_page(redis, movies, "years", "year", 0, 1, 3, movies.position - 1)[0] == b"page"


def test_page_of_sort_keys(redis, movies):
    """The page has a number, or follows a sort key."""
    members = {f"{number}\0{key}": 0 for number, key in enumerate(movies.ids)}
    redis.zadd("{movies:1}:sorted", members)
    lua = """
        local page = require("queries.lua.pages")
        return page(KEYS[1], ARGV[1], KEYS[2], "key", true, ARGV[2], 3)
    """
    keys = [movies.keys.rows, "{movies:1}:sorted"]
    first = evaluate(redis, lua, keys, 9, 1)
    assert first[:5] == [b"page", 9, 7, 1, 3]
    assert ids_of(first[5:]) == movies.ids[:3:-1]
    second = evaluate(redis, lua, keys, 9, f"4\0{movies.ids[4]}")
    assert second[4] == 1
    assert ids_of(second[5:]) == movies.ids[3:0:-1]


def test_get_movies(redis, movies):
    name = "queries.lua.get_movies"
    answer = call(redis, name, movies.keys.listed, movies.ids[1], "x", movies.ids[0])
    assert answer[:2] == [b"movies", movies.position]
    assert ids_of(answer[2:]) == [movies.ids[1], movies.ids[0]]
    assert call(redis, name, movies.keys.listed) == [b"movies", movies.position]


def search_args(ordering="key", orderings="-created_at", budget=4000, **filters):
    filters = {"title": "", "genre": "", "creator": "", "text": ""} | filters
    first, last = filters.pop("years", (0, 9999))
    return [ordering, orderings, *filters.values(), first, last, budget]


FILTERS = [
    ({}, [6, 5, 4, 3, 2, 1, 0]),
    ({"title": "alien"}, [3, 2, 1, 0]),
    ({"genre": "horror"}, [6, 5, 4, 3, 2, 1, 0]),
    ({"genre": "alien"}, []),
    ({"creator": "ann"}, [6, 5, 4, 3, 2, 1, 0]),
    ({"creator": "alien"}, []),
    ({"text": "cov"}, [6]),
    ({"text": "ann"}, []),
    ({"years": (1986, 1992)}, [3, 2, 1]),
    ({"years": (1980, 1981)}, []),
    ({"title": "alien", "years": (1986, 1986)}, [2, 1]),
]


@pytest.mark.parametrize("budget", [1, 4000])
@pytest.mark.parametrize(("filters", "order"), FILTERS)
def test_search_pieces_together_are_the_list(redis, movies, filters, order, budget):
    cursor, keys = b"", set()
    while cursor != b"done":
        args = [cursor, "", *search_args(budget=budget, **filters)]
        answer = call(redis, "queries.lua.search_piece", movies.keys.listed, *args)
        assert answer[:2] == [b"piece", movies.position]
        cursor = answer[2]
        keys |= set(answer[3:])
    found = [key[-36:].decode() for key in sorted(keys, reverse=True)]
    assert found == [movies.ids[number] for number in order]


def test_search_piece_reports_an_unchanged_position(redis, movies):
    args = ["", movies.position, *search_args()]
    known = [b"same", movies.position]
    assert call(redis, "queries.lua.search_piece", movies.keys.listed, *args) == known


def search_page(redis, movies, filters, *, seek=1, size=3, known="", start="", digest="x"):
    keys = [*movies.keys.listed, movies.keys.cached_results, movies.keys.cached_result_prefix]
    args = [1, seek, size, known, start, digest, *filters]
    name = "queries.lua.search_page"
    return call(redis, name, keys, *args, constants=CONSTANTS | RESULTS)


@pytest.mark.parametrize("ordering", ["key", "created_at", "year", "title"])
@pytest.mark.parametrize(("filters", "order"), FILTERS)
def test_search_page_is_filtered_and_ordered(redis, movies, filters, order, ordering):
    answer = search_page(redis, movies, search_args(ordering, **filters), size=20)
    assert answer[:5] == [b"page", movies.position, len(order), 1, 1]
    if ordering == "title":
        assert set(ids_of(answer[5:])) == {movies.ids[number] for number in order}
    else:
        assert ids_of(answer[5:]) == [movies.ids[number] for number in order]
    assert all(0 < redis.ttl(key) <= 15 for key in redis.keys("*:found:*"))


def test_search_page_joins_a_scan_at_the_same_position(redis):
    """The result serves other pages until it expires."""
    story = Story()
    ann = story.account("Ann")
    ids = [story.created(ann) for _ in range(600)]  # more than Redis scans in one piece
    movies = SimpleNamespace(keys=make_live(redis, story).keys)
    found, filters = "{movies:1}:found:x:601", search_args(budget=1)
    answer = search_page(redis, movies, filters)
    assert answer == [b"more", 601]
    while answer == [b"more", 601]:
        assert redis.get(f"{found}:scan") != b"done"
        answer = search_page(redis, movies, filters, start=601)
    assert redis.get(f"{found}:scan") == b"done"
    assert answer[:5] == [b"page", 601, 600, 1, 200]
    last = search_page(redis, movies, filters, seek=0, start=601)
    assert ids_of(last[5:]) == [ids[2], ids[1], ids[0]]
    assert redis.lrange(movies.keys.cached_results, 0, -1) == [found.encode()]


def test_search_page_bounds_the_cached_results(redis, movies):
    for number in range(4):
        search_page(redis, movies, search_args(), digest=number)
    assert len(redis.keys("*:found:*:scan")) == redis.llen(movies.keys.cached_results) == 2
    redis.delete(movies.keys.cached_results)
    redis.set(movies.keys.cached_results, "of another type")
    assert search_page(redis, movies, search_args(), digest="y")[0] == b"page"


def test_search_page_reports_an_unchanged_position(redis, movies):
    answer = search_page(redis, movies, search_args(), known=movies.position)
    assert answer == [b"same", movies.position]
    assert not redis.exists(movies.keys.cached_results)


def test_search_returns_hits_with_their_sort_keys(redis, movies):
    lua = """
        local search = require("queries.lua.search")
        local keys = require("projections.lua.state").keys(KEYS)
        local cursor, hits = search.next(keys, search.arguments(ARGV, 1), "0")
        return {cursor, hits}
    """
    args = search_args("year", years=(1979, 1979))
    hit = [b"done", [b"1979", movies.ids[0].encode()]]
    assert evaluate(redis, lua, movies.keys.listed, *args) == hit


@pytest.mark.parametrize("fault", ["retired", "damaged", "missing", "position"])
def test_an_unusable_generation_is_reported_as_gone(redis, movies, fault):
    head = movies.keys.state
    if fault == "retired":
        redis.hset(head, "state", "retired")
    elif fault == "damaged":
        redis.delete(movies.keys.titles)
    elif fault == "missing":
        redis.delete(head)
    else:
        redis.hset(head, "position", "-1")
    assert list_page(redis, movies, "years", "year", 0, 1, 3, "") == GONE
    assert call(redis, "queries.lua.get_movies", movies.keys.listed, movies.ids[0]) == GONE
    assert search_page(redis, movies, search_args()) == GONE
    args = ["", "", *search_args()]
    assert call(redis, "queries.lua.search_piece", movies.keys.listed, *args) == GONE
