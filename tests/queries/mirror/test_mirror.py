"""A mirror shows what Redis has at this moment, or says that it cannot."""

import asyncio
import random
import threading
import time

import orjson
import pytest

from commands.errors import ReadModelUnavailableError, ThrottledError
from projections.generation import lifecycle
from projections.generation.pause import pause
from projections.generation.writer import GenerationWriter
from projections.keys import Keys
from projections.rebuild.diff import Difference, repair, writes_for
from projections.records import dead_record
from projections.redis_client import open_redis
from queries import read_model as read_model_module
from queries.columns.columns import Columns, Found
from queries.mirror import mirror as mirror_module
from queries.mirror import page_cache
from queries.mirror.mirrors import Mirrors
from queries.mirror.page_cache import Page, PageCache, RowCache
from queries.movie_query import MovieQuery
from queries.movies import read_page
from queries.orderings import parse_orderings
from queries.read_model import ReadModel
from tests.controls import new_id
from tests.read_side import Story, apply, make_live

pytestmark = pytest.mark.anyio

BY_TITLE = MovieQuery(orderings=parse_orderings("title"), page_size=100)


@pytest.fixture
def library(redis, story):
    """A live generation of three movies."""
    story.by = story.account("Ann")
    story.ids = [story.created(story.by, title) for title in ("Alien", "Brazil", "Cube")]
    story.view = make_live(redis, story)
    return story


async def titles(reader, query=BY_TITLE):
    page = await read_page(reader, query)
    assert page.count == len(page.rows)
    return [orjson.loads(row)["title"] for row in page.rows]


def loads(reader, generation=1):
    return reader.mirrors._mirrors[generation].loads


async def test_every_kind_of_change_is_followed(redis, reader, library):
    """Without reading everything again."""
    assert await titles(reader) == ["Alien", "Brazil", "Cube"]
    changes = {
        ("Aliens", "Brazil", "Cube"): lambda: library.updated(library.ids[0], title="Aliens"),
        ("Aliens", "Cube"): lambda: library.deleted(library.ids[1]),
        ("Aliens", "Cube", "Dune"): lambda: library.created(library.by, "Dune"),
        ("Aliens", "Big", "Cube", "Dune"): lambda: library.restored(library.ids[1], title="Big"),
    }
    for expected, change in changes.items():
        change()
        apply(library.view, library)
        assert await titles(reader) == list(expected)
        assert await titles(reader, MovieQuery(title="b")) == [
            title for title in ("Cube", "Big", "Brazil") if title in expected
        ]
    assert loads(reader) == 1


async def test_a_movie_created_and_deleted_in_one_batch_is_not_shown(reader, library):
    await titles(reader)
    library.deleted(library.created(library.by, "Dune"))
    apply(library.view, library)
    assert await titles(reader) == ["Alien", "Brazil", "Cube"]


FAULTS = {
    "lost": lambda redis, key: redis.delete(key),
    "another type": lambda redis, key: redis.delete(key) and redis.set(key, "x"),
    "trimmed": lambda redis, key: redis.xtrim(key, maxlen=1, approximate=False),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_changes_that_do_not_lead_on_are_noticed(redis, reader, library, fault):
    """Everything is read again, once."""
    await titles(reader)
    for number in range(3):
        library.updated(library.ids[0], title=f"Alien {number}")
        apply(library.view, library)
    FAULTS[fault](redis, library.view.keys.changes)
    assert await titles(reader) == ["Alien 2", "Brazil", "Cube"]
    assert loads(reader) == 2
    library.created(library.by, "Dune")
    apply(library.view, library)
    assert await titles(reader) == ["Alien 2", "Brazil", "Cube", "Dune"]
    assert loads(reader) == 2


async def test_a_repair_is_noticed(redis, reader, library):
    """The position stays; the repair epoch tells."""
    await titles(reader)
    row = redis.hget(library.view.keys.rows, library.ids[0])
    better = row.replace(b"Alien", b"Align").replace(b"alien", b"align")
    with pause(library.view) as paused:
        found = [Difference("rows", library.ids[0].encode(), better, row)]
        repair(library.view, paused, writes_for(found))
    assert await titles(reader) == ["Align", "Brazil", "Cube"]


async def test_a_redis_that_went_back_is_followed(redis, batcher, mirrors, reader, library):
    """A failover may lose the last changes; the projection makes them again.

    A reader that has answered them waits for it.
    """
    keys = library.view.keys
    before = {key: redis.dump(key) for key in keys.lasting if redis.exists(key)}
    library.updated(library.ids[0], title="Later")
    apply(library.view, library)
    assert await titles(reader) == ["Brazil", "Cube", "Later"]
    redis.delete(*keys.all)
    for key, dump in before.items():
        redis.restore(key, 0, dump)
    page = await read_page(ReadModel(batcher, mirrors), BY_TITLE)
    assert page.position == 4
    assert b"Later" not in b"".join(page.rows)
    with pytest.raises(ReadModelUnavailableError):
        await read_page(reader, BY_TITLE)
    library.view._position = -1
    apply(library.view, library)
    assert await titles(reader) == ["Brazil", "Cube", "Later"]


async def test_a_wiped_redis_shows_nothing_until_it_is_built_again(redis, reader, library):
    """Even if the new generation has the number of the lost one."""
    await titles(reader)
    redis.flushall()
    with pytest.raises(ReadModelUnavailableError):
        await titles(reader)
    library.created(library.by, "Dune")
    make_live(redis, library)
    assert await titles(reader) == ["Alien", "Brazil", "Cube", "Dune"]


async def test_another_generation_takes_over(redis, reader, library):
    """The mirror of the earlier one is dropped."""
    await titles(reader)
    new = GenerationWriter(redis, 2)
    new.create()
    library.created(library.by, "Dune")
    apply(new, library)
    redis.sadd("movies:generations", 2)
    lifecycle.go_live(redis, new)
    lifecycle.drop(redis, 1)
    assert await titles(reader) == ["Alien", "Brazil", "Cube", "Dune"]
    assert list(reader.mirrors._mirrors) == [2]


async def test_a_generation_of_a_format_without_records_has_no_lists(redis, reader, library):
    """They are unavailable until the projection has built one of this release."""
    redis.hset(library.view.keys.state, "format", 3)
    with pytest.raises(ReadModelUnavailableError):
        await titles(reader)


async def test_requests_at_once_share_one_call(redis, reader, library):
    await titles(reader)
    redis.config_resetstat()
    pages = await asyncio.gather(*(read_page(reader, BY_TITLE) for _ in range(100)))
    assert len({id(page) for page in pages}) == 1
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] <= 2


async def test_an_answer_is_never_older_than_its_request(reader, library):
    """A request after a change is not answered by a call that began before it."""
    await titles(reader)
    for number in range(50):
        earlier = [asyncio.create_task(read_page(reader, BY_TITLE)) for _ in range(3)]
        await asyncio.sleep(0)
        library.updated(library.ids[0], title=f"Alien {number}")
        apply(library.view, library)
        page = await read_page(reader, BY_TITLE)
        assert page.position == library.events[-1].position
        assert f"Alien {number}".encode() in page.rows[0]
        await asyncio.gather(*earlier)


async def test_a_page_stays_the_same_object_until_something_changes(reader, library):
    """What is rendered of it may be kept with it."""
    page = await read_page(reader, BY_TITLE)
    assert await read_page(reader, BY_TITLE) is page
    assert await read_page(reader, MovieQuery()) is not page
    library.updated(library.ids[0], title="Aliens")
    apply(library.view, library)
    assert await read_page(reader, BY_TITLE) is not page


async def test_only_changed_rows_are_read_again(redis, reader, library):
    await titles(reader)
    library.updated(library.ids[0], title="Aliens")
    apply(library.view, library)
    redis.config_resetstat()
    assert await titles(reader) == ["Aliens", "Brazil", "Cube"]
    assert redis.info("commandstats")["cmdstat_hmget"]["calls"] <= 8
    cache = reader.mirrors._mirrors[1]._rows
    assert sorted(cache._rows) == sorted(library.ids)


async def test_records_that_do_not_fit_are_not_read(redis, batcher, library):
    """The error names the setting; the records are not tried again with each request."""
    mirrors = Mirrors(batcher, max_bytes=100)
    reader = ReadModel(batcher, mirrors)
    for _ in range(3):
        with pytest.raises(ReadModelUnavailableError, match="CINELOG_MIRROR_MB"):
            await titles(reader)
    assert loads(reader) == 1
    await mirrors.close()


async def test_a_request_does_not_wait_long_for_the_records(reader, library, monkeypatch):
    """They are read on, for a later request."""
    monkeypatch.setattr(mirror_module, "LOAD_WAIT_S", 0)
    with pytest.raises(ReadModelUnavailableError):
        await titles(reader)
    while True:
        try:
            assert await titles(reader) == ["Alien", "Brazil", "Cube"]
        except ReadModelUnavailableError:
            await asyncio.sleep(0.01)
        else:
            break
    assert loads(reader) == 1


async def test_the_records_are_read_in_pieces_while_events_are_applied(
    redis, reader, story, monkeypatch
):
    """Changes between the pieces are not lost."""
    monkeypatch.setattr("queries.mirror.record_reader._PIECE", 10)
    by = story.account()
    ids = [story.created(by, f"Alien {number:03}") for number in range(700)]
    view = make_live(redis, story)
    script = reader.batcher.script

    async def between(*args):
        answer = await script(*args)
        story.updated(random.choice(ids), title=f"Brazil {len(story.events)}")
        story.deleted(ids.pop())
        ids.append(story.created(by, "Cube"))
        apply(view, story)
        return answer

    monkeypatch.setattr(reader.batcher, "script", between)
    await read_page(reader, BY_TITLE)
    monkeypatch.undo()
    page = await read_page(reader, MovieQuery(title="brazil", page_size=100))
    rows = [orjson.loads(row) for row in redis_rows(redis, view)]
    assert page.count == sum("Brazil" in row["title"] for row in rows)
    assert (await read_page(reader, MovieQuery())).count == len(rows) == 700
    assert loads(reader) == 1


def redis_rows(redis, view):
    return [row[row.index(b'{"id":') :] for row in redis.hvals(view.keys.rows)]


def expected(events, position, text):
    """Return ids and versions of the movies at a position whose title contains a text."""
    movies = {}
    for event in events[:position]:
        if event.type == "MovieDeleted":
            del movies[event.stream_id]
        elif event.type.startswith("Movie"):
            title = event.data.get("title", movies.get(event.stream_id, ("",))[0])
            movies[event.stream_id] = (title, event.version)
    return {key: version for key, (title, version) in movies.items() if text in title.lower()}


async def test_a_list_is_read_while_it_changes_all_the_time(reader, library, monkeypatch):
    """The rows of the newest movies are never kept yet, and each call finds newer ones."""
    script, batcher, newest = reader.batcher.script, reader.batcher, MovieQuery(page_size=2)

    async def create_before(*args):
        library.created(library.by, "Dune")
        apply(library.view, library)
        return await script(*args)

    await read_page(reader, newest)
    monkeypatch.setattr(batcher, "script", create_before)
    for _ in range(20):
        least = library.events[-1].position
        page = await read_page(reader, newest)
        assert page.position >= least
        assert page.count == page.position - 1  # one event is that of the account
        ids = [event.stream_id for event in library.events[: page.position]][-2:]
        assert [orjson.loads(row)["id"] for row in page.rows] == ids[::-1]
    assert len(library.events) < 20 * 6


async def test_a_row_that_changes_while_it_is_read_is_not_shown_early(reader, library, monkeypatch):
    """A page has its rows as they were at its position."""
    script, batcher = reader.batcher.script, reader.batcher
    movie, changes = library.ids[0], iter(range(3))

    async def change_before(*args):
        if next(changes, None) is not None:
            library.updated(movie, title=f"Alien {len(library.events)}")
            apply(library.view, library)
        return await script(*args)

    await read_page(reader, MovieQuery())
    monkeypatch.setattr(batcher, "script", change_before)
    page = await read_page(reader, MovieQuery())
    row = next(row for row in map(orjson.loads, page.rows) if row["id"] == movie)
    assert row["title"] == library.events[page.position - 1].data["title"]


async def test_many_changes_at_once_let_others_run(reader, library, monkeypatch):
    """Who asks meanwhile gets the state before or after them, never one between."""
    monkeypatch.setattr("queries.columns.pace.SLICE_S", 0)
    await read_page(reader, BY_TITLE)
    for number in range(300):
        library.created(library.by, f"Dune {number}")
    apply(library.view, library)
    turns, pages = 0, []

    async def read():
        pages.append(await read_page(reader, MovieQuery(title="dune")))

    readers = [asyncio.create_task(read())]
    while not all(task.done() for task in readers):
        await asyncio.sleep(0)
        turns += 1
        if turns in (50, 150, 250):
            readers.append(asyncio.create_task(read()))
    assert turns > 300
    assert {page.count for page in pages} == {300}
    assert len(pages) == 4


async def test_the_live_generation_is_followed_while_nobody_asks(
    redis, reader, library, monkeypatch
):
    """Also the next one, after a rebuild."""
    monkeypatch.setattr(read_model_module, "KEEP_LOADED_S", 0.01)
    keeping = asyncio.create_task(reader.keep_loaded())
    try:
        await until(lambda: version_of(reader, 1) == library.events[-1].position)
        library.created(library.by, "Dune")
        apply(library.view, library)
        await until(lambda: version_of(reader, 1) == library.events[-1].position)
        new = GenerationWriter(redis, 2)
        new.create()
        apply(new, library)
        redis.sadd("movies:generations", 2)
        lifecycle.go_live(redis, new)
        await until(lambda: version_of(reader, 2) == library.events[-1].position)
    finally:
        keeping.cancel()


def version_of(reader, generation):
    mirror = reader.mirrors._mirrors.get(generation)
    return mirror and mirror._version and mirror._version.position


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.005)


@pytest.mark.slow
async def test_every_answer_is_right_for_its_position(valkey, redis, batcher, reader):
    """Many clients read while a projection applies batches of any size."""
    story, chosen = Story(), random.Random(7)
    by = story.account()
    alive = [story.created(by, f"Alien {number}") for number in range(300)]
    view = make_live(redis, story)
    for number in range(2_000):
        kind = chosen.choice(["create", "update", "update", "delete"])
        if kind == "create" or len(alive) < 50:
            alive.append(story.created(by, f"Alien {number}"))
        elif kind == "update":
            story.updated(chosen.choice(alive), title=chosen.choice(["Brazil", f"Alien {number}"]))
        else:
            story.deleted(alive.pop(chosen.randrange(len(alive))))
    first, ended = view.checkpoint(), threading.Event()

    def project():
        client = open_redis(valkey.url)
        writer, position = GenerationWriter(client, view.number), first
        while position < len(story.events):
            size = chosen.choice([1, 1, 2, 20])
            position = writer.apply(story.events[position : position + size], position)
            time.sleep(0.001)  # the readers share the interpreter
        client.close()
        ended.set()

    texts = ("", "brazil", "alien 1", "x")
    answers = []

    async def read(number):
        least = 0
        while not ended.is_set():
            query = MovieQuery(title=texts[number % 4], page_size=100)
            page = await read_page(reader, query, account=number)
            assert page.position >= least
            least = page.position
            answers.append((query, page))

    thread = threading.Thread(target=project)
    thread.start()
    await asyncio.gather(*(read(number) for number in range(8)))
    thread.join()
    assert len({page.position for _, page in answers}) > 10
    for query, page in chosen.sample(answers, min(400, len(answers))):
        movies = expected(story.events, page.position, query.title)
        assert page.count == len(movies)
        rows = [orjson.loads(row) for row in page.rows]
        newest = sorted(movies, reverse=True)[:100]
        assert [(row["id"], row["version"]) for row in rows] == [
            (id_, movies[id_]) for id_ in newest
        ]
    assert loads(reader) == 1


class Held:
    """Searches that wait until they are let go."""

    def __init__(self, monkeypatch):
        self.go, self.started = asyncio.Event(), asyncio.Event()
        self.begun = 0

        async def find(_, query):
            self.begun += 1
            self.started.set()
            await self.go.wait()
            return Found(0, [], 1, 1, more=False)

        monkeypatch.setattr(Columns, "find", find)


async def test_nothing_changes_during_a_search(reader, library, monkeypatch):
    await titles(reader)
    held = Held(monkeypatch)
    search = asyncio.create_task(read_page(reader, MovieQuery(title="a")))
    await held.started.wait()
    library.created(library.by, "Dune")
    apply(library.view, library)
    other = asyncio.create_task(reader.mirrors._mirrors[1].follow())
    await asyncio.sleep(0.1)
    assert reader.mirrors._mirrors[1].movies == 3
    assert not other.done()
    held.go.set()
    assert await other == library.events[-1].position
    assert reader.mirrors._mirrors[1].movies == 4
    await search


async def test_a_request_in_line_waits_while_records_are_read_again(redis, reader, library):
    """It is not refused."""
    await titles(reader)
    mirror = reader.mirrors._mirrors[1]
    async with mirror._still:
        waiting = asyncio.create_task(read_page(reader, MovieQuery(title="a")))
        await asyncio.sleep(0.02)
        mirror._columns = mirror._version = None
    assert (await waiting).count == 2
    assert loads(reader) == 2


async def test_searches_of_an_account_are_bounded(reader, library, monkeypatch):
    """Another account still gets its turn."""
    await titles(reader)
    held = Held(monkeypatch)
    queries = [MovieQuery(title=f"a{number}") for number in range(300)]
    searches = [asyncio.create_task(read_page(reader, query, account=1)) for query in queries]
    done, _ = await asyncio.wait(searches, timeout=0.2)
    assert {type(one.exception()) for one in done} == {ThrottledError}
    other = asyncio.create_task(read_page(reader, MovieQuery(title="b"), account=2))
    await asyncio.sleep(0.05)
    assert held.begun == 1
    held.go.set()
    assert (await other).count == 0
    await asyncio.gather(*searches, return_exceptions=True)


async def test_closing_ends_waiting_requests(batcher, library, monkeypatch):
    mirrors = Mirrors(batcher)
    reader = ReadModel(batcher, mirrors)
    script, never = batcher.script, asyncio.Event()

    async def silent(*args):
        await never.wait()

    monkeypatch.setattr(batcher, "script", silent)
    waiting = asyncio.create_task(read_page(reader, BY_TITLE))
    await asyncio.sleep(0.05)
    monkeypatch.setattr(batcher, "script", script)
    await mirrors.close()
    with pytest.raises(ReadModelUnavailableError):
        await waiting


async def test_few_mirrors_are_kept(batcher, redis, story):
    """Those used last."""
    story.account()
    mirrors = Mirrors(batcher, most=2)
    for number in (-1, -2, -1, -3):
        mirrors.of(number, lambda _: True)
    assert list(mirrors._mirrors) == [-1, -3]
    await mirrors.close()
    assert not mirrors._mirrors


def page_of(size, position=1):
    return Page(1, [b"x" * size], 1, 1, position, more=False)


def test_kept_rows_and_pages_are_bounded(monkeypatch):
    monkeypatch.setattr(page_cache, "MAX_BYTES", 10_000)
    rows, pages, version = RowCache(), PageCache(), object()
    for number in range(100):
        rows.add([(str(number), b"x" * 100), ("none", None)])
        page = Page(1, [b"x" * 100], 1, 1, 1, more=False)
        pages.add(MovieQuery(page=number + 1), version, page)
        assert rows.memory_bytes <= 10_000
        assert pages.memory_bytes <= 10_000
    assert rows.missing(["0", "99", "none"]) == ["0", "none"]
    assert pages.get(MovieQuery(page=1), version) is None
    assert pages.get(MovieQuery(page=100), version) is not None
    assert pages.get(MovieQuery(page=100), object()) is None
    assert pages.memory_bytes == 0


def test_changes_are_remembered_for_a_while(monkeypatch):
    monkeypatch.setattr(page_cache, "MAX_CHANGES", 3)
    rows, ids = RowCache(), [new_id() for _ in range(5)]
    rows.forget(dead_record(ids[0].bytes))
    assert not rows.unchanged_since(0, [str(ids[0]), str(ids[1])])
    assert rows.unchanged_since(1, [str(ids[0]), str(ids[1])])
    for one in ids[1:4]:
        rows.forget(dead_record(one.bytes))
    assert rows.unchanged_since(1, [str(ids[4])])
    assert not rows.unchanged_since(1, [str(ids[3])])
    assert not rows.unchanged_since(0, [str(ids[4])])


def test_a_large_row_replaces_others(monkeypatch):
    monkeypatch.setattr(page_cache, "MAX_ROWS", 2)
    rows = RowCache()
    rows.add((key, b"x") for key in "aab")
    assert rows.of(["a"]) == [b"x"]
    rows.add([("c", b"y")])
    assert rows.missing(["a", "b", "c"]) == ["b"]


def test_keys_of_a_mirror_lie_in_one_slot():
    assert {key.split("}")[0] for key in Keys(7).all} == {"{movies:7"}
