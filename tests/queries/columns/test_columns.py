"""Columns find what looking at every record would find."""

import asyncio
import random
from typing import NamedTuple
from uuid import UUID

import pytest

from commands.errors import NotFoundError
from projections.records import HEADER, dead_record
from queries.columns import block as block_module
from queries.columns.columns import Columns
from queries.columns.loading import Loading
from queries.columns.trigrams import BLOCK
from queries.movie_query import MovieQuery
from queries.orderings import FIELDS, Order, parse_orderings

pytestmark = pytest.mark.anyio

WORDS = ["man", "the", "love", "é", "straße", "of", "dead", "日本", "a", "night", "e"]
GENRES = ["drama", "comedy", "horror", "science fiction", "драма"]
USERS = [f"user{number}" for number in range(9)]


class Movie(NamedTuple):
    created_at: int
    id: str
    title: str
    genre: str
    year: int
    creator: str

    @property
    def record(self):
        header = HEADER.pack(self.created_at, self.year, UUID(self.id).bytes)
        return header + f"{self.title}\0{self.genre}\0{self.creator}".encode()

    @property
    def dead_record(self):
        return dead_record(UUID(self.id).bytes)


def passes(movie, query):
    return (
        query.title in movie.title
        and query.genre in movie.genre
        and query.creator in movie.creator
        and (query.search in movie.title or query.search in movie.genre)
        and query.year_from <= movie.year <= query.year_to
    )


def ordered(movies, orderings):
    found = sorted(movies, key=lambda movie: movie.id, reverse=True)
    for one in reversed(orderings):
        # Reversed and sorted in reverse keeps the order of equals.
        found.sort(key=lambda movie, one=one: getattr(movie, one.field), reverse=one.descending)
    return found


def seek_key(movie, orderings):
    values = [getattr(movie, one.field) for one in orderings]
    forms = {"year": "{:04}", "created_at": "{:016}"}
    texts = [
        forms.get(one.field, "{}").format(value)
        for one, value in zip(orderings, values, strict=True)
    ]
    return "\0".join([*texts, movie.id])


class Model:
    """Movies by address, and the columns that must tell the same."""

    def __init__(self, seed, *, titles=60, in_order=True):
        self.random = random.Random(seed)
        self.titles = [
            " ".join(self.random.choices(WORDS, k=self.random.randint(1, 5))) for _ in range(titles)
        ]
        self.in_order = in_order
        self.columns = Columns()
        self.movies = {}
        self.dead = {}
        self.time = 1_700_000_000_000_000

    def new(self):
        chosen = self.random
        self.time += chosen.choice([0, 1, 1_000, 5_000])
        time = self.time if self.in_order else chosen.randrange(10**15, 2 * 10**15)
        # The time of an id is a little earlier than that of its event, so neighbours may swap.
        made = time // 1000 - chosen.choice([0, 0, 0, 1, 2])
        return Movie(
            time,
            str(UUID(int=made << 80 | 7 << 76 | 2 << 62 | chosen.getrandbits(60))),
            chosen.choice(self.titles),
            chosen.choice(GENRES),
            chosen.choice([0, 1979, 1986, 1999, 2018, 9999]),
            chosen.choice(USERS),
        )

    async def fill(self, size):
        """Load so many movies, in any order and some of them twice."""
        movies = [self.new() for _ in range(size)]
        self.movies = {movie.id: movie for movie in movies}
        movies += self.random.sample(movies, size // 10)
        self.random.shuffle(movies)
        loading = Loading()
        loading.add([movie.record for movie in movies])
        self.columns = await loading.columns()

    def change(self, count):
        for _ in range(count):
            kind = self.random.choice(["new", "change", "delete", "restore"])
            if kind == "new":
                self.put(self.new())
            elif kind == "change" and self.movies:
                old = self.random.choice([*self.movies.values()])
                self.put(self.new()._replace(created_at=old.created_at, id=old.id))
            elif kind == "delete" and self.movies:
                movie = self.movies.pop(self.random.choice([*self.movies]))
                self.dead[movie.id] = movie
                for _ in range(2):  # again does no harm
                    self.columns.apply(movie.dead_record)
            elif kind == "restore" and self.dead:
                self.put(self.dead.pop(self.random.choice([*self.dead])))

    def put(self, movie):
        self.movies[movie.id] = movie
        self.columns.apply(movie.record)

    def some_query(self):
        chosen = self.random
        part = self.random.choice(self.titles)
        start = chosen.randrange(len(part))
        texts = {
            "title": part[start : start + chosen.choice([1, 2, 3, 4, 9])],
            "genre": chosen.choice(["dra", "o", "fiction", "xx"]),
            "creator": chosen.choice(["user1", "user", "zz"]),
            "search": chosen.choice(["love", "o", "d"]),
            "year_from": chosen.choice([1, 1979, 1990]),
            "year_to": chosen.choice([-1, 1986, 2018, 10_001]),
        }
        filters = {name: texts[name] for name in chosen.sample([*texts], chosen.randrange(4))}
        fields = chosen.sample([*FIELDS], chosen.randint(1, 3))
        ordering = ",".join(chosen.choice(["", "-"]) + field for field in fields)
        orderings = parse_orderings(ordering)
        return MovieQuery(**filters, orderings=orderings, page_size=chosen.choice([1, 7, 10, 100]))

    async def check(self, query):
        hits = ordered([one for one in self.movies.values() if passes(one, query)], query.orderings)
        size = query.page_size
        last = max(1, -(-len(hits) // size))
        assert self.columns.movies == len(self.movies)
        for page in {1, last, None, self.random.randint(1, last)}:
            found = await self.columns.find(MovieQuery(**(vars(query) | {"page": page})))
            number = page or last
            assert found.ids == [one.id for one in hits[(number - 1) * size :][:size]], query
            assert (found.count, found.page, found.last_page) == (len(hits), number, last)
            assert found.more == (number < last)
        with pytest.raises(NotFoundError):
            await self.columns.find(MovieQuery(**(vars(query) | {"page": last + 1})))
        for movie in self.random.sample([*self.movies.values()], min(3, len(self.movies))):
            after = seek_key(movie, query.orderings)
            found = await self.columns.find(MovieQuery(**(vars(query) | {"after": after})))
            both = ordered({*hits, movie}, query.orderings)
            following = [one.id for one in both[both.index(movie) + 1 :]]
            assert found.ids == following[:size], (query, after)
            assert found.more == (len(following) > size)
            assert (found.count, found.page, found.last_page) == (len(hits), 0, 0)


@pytest.mark.parametrize("seed", range(12))
async def test_every_filter_ordering_and_page(seed, monkeypatch):
    """Small catalogues, in order and not, whose lists are found by counting as in large ones."""
    monkeypatch.setattr("queries.columns.ordering.ranking._FEW", 5)
    monkeypatch.setattr("queries.columns.columns.BLOCK", 100)
    monkeypatch.setattr("queries.columns.loading.BLOCK", 100)
    model = Model(seed, in_order=seed % 3 > 0)
    await model.fill(520 if seed % 4 else 0)
    for _ in range(12):
        model.change(model.random.choice([0, 1, 5, 40]))
        for _ in range(4):
            await model.check(model.some_query())


async def test_a_catalogue_of_several_blocks(monkeypatch):
    """Blocks that are full, many equal titles, and an index that is built again."""
    monkeypatch.setattr(block_module, "MAX_FRESH", 20)
    model = Model(1, titles=3_000)
    model.titles += ["the man"] * 3_000
    await model.fill(BLOCK + 900)
    while not await model.columns.prepare_some():
        pass
    for _ in range(6):
        model.change(30)
        for _ in range(2):
            await model.check(model.some_query())


@pytest.mark.parametrize("part", ["e", "th", "man", "日", "é", "ß", "love", "night of", "\ud800"])
async def test_parts_of_titles(part):
    """Texts of any length, also those that take several bytes a character."""
    model = Model(5, titles=400)
    await model.fill(700)
    model.change(50)
    await model.check(MovieQuery(title=part, orderings=(Order("title"),)))


async def test_a_text_does_not_reach_over_the_end_of_a_title():
    loading, model = Loading(), Model(1)
    loading.add([model.new()._replace(title=title).record for title in ("ab", "cd")])
    columns = await loading.columns()
    assert (await columns.find(MovieQuery(title="bc"))).count == 0
    assert (await columns.find(MovieQuery(title="b\0c"))).count == 0


async def test_a_filter_that_was_asked_before_hears_of_changes():
    model = Model(3)
    await model.fill(200)
    query = MovieQuery(title="e", orderings=(Order("title"),))
    for _ in range(30):
        model.change(1)
        await model.check(query)


async def test_no_movies():
    found = await Columns().find(MovieQuery())
    assert (found.count, found.ids, found.page, found.last_page) == (0, [], 1, 1)
    assert (await Columns().find(MovieQuery(title="x", page=None))).page == 1


async def test_a_movie_that_was_never_known_is_not_removed():
    columns = Columns()
    columns.apply(Model(1).new().dead_record)
    assert (await columns.find(MovieQuery())).count == columns.movies == 0


async def test_others_get_their_turn_during_a_search(monkeypatch):
    """After each block, if it has taken long enough."""
    monkeypatch.setattr("queries.columns.columns.BLOCK", 100)
    monkeypatch.setattr("queries.columns.loading.BLOCK", 100)
    monkeypatch.setattr("queries.columns.pace.SLICE_S", 0)
    model = Model(4)
    await model.fill(1_000)
    turns, ended = 0, False

    async def other():
        nonlocal turns
        while not ended:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await model.columns.find(MovieQuery(title="man", orderings=(Order("title"),)))
    ended = True
    await task
    assert turns > 20
