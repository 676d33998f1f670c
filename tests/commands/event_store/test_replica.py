"""Reads at a streaming replica show what was asked for, whatever the replica does."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from commands.aggregates.movie import Movie
from commands.errors import ConfigurationError, EventStoreUnavailableError
from commands.event_store import replica as read_replica
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from queries.log.history import history
from queries.log.movie_events import MovieEvents
from tests.controls import ANN, MOVIE, create, new_id, register, update
from tests.library import library, write
from tests.running import eventually

pytestmark = pytest.mark.xdist_group("replica")  # modules that share two servers


@pytest.fixture
def urls(replicated):
    return replicated.new_database()


@pytest.fixture
def store(urls):
    store = Store.open(urls[0])
    store.identity()
    yield store
    store.close()


@pytest.fixture
def reader(store, urls):
    return store.reader(urls[1], on_read=_servers.append)


_servers = []


def read(reader, read, least=0, **options):
    """Return what a read returns, and where it was carried out."""
    _servers.clear()
    with reader.reading(least, **options):
        found = read()
    (server,) = _servers
    return found, server


def test_a_replica_that_has_it_all_is_read(replicated, store, reader):
    ids = library(store).ids
    replicated.wait_until_replayed()
    feed = MovieEvents(reader, reader.username_of)
    at_primary = MovieEvents(store, store.username_of).after(0, 1000)
    assert read(reader, lambda: feed.after(0, 1000)) == (at_primary, "replica")
    for movie_id in ids:
        page, server = read(reader, lambda movie_id=movie_id: history(reader, movie_id, 1, 10))
        assert (page, server) == (history(store, movie_id, 1, 10), "replica")
    assert read(reader, lambda: reader.username_of(str(ANN))) == ("ann", "replica")
    assert read(reader, lambda: reader.get(Movie, ids[0]).details.title) == ("Élan", "replica")


def test_what_was_just_written_is_shown_while_the_replica_is_behind(
    replicated, urls, store, reader
):
    """The primary is asked for its head: another process may have written."""
    write(store, register(ANN), create(MOVIE))
    replicated.wait_until_replayed()
    other = Store.open(urls[0])
    with replicated.paused():
        write(other, update(title="Aliens"))
        other.close()
        page, server = read(reader, lambda: history(reader, MOVIE, 1, 10))
        assert (page.count, server) == (2, "primary")
    eventually(lambda: read(reader, reader.head) == (store.head(), "replica"))


def test_a_position_is_waited_for_a_moment_then_read_at_the_primary(
    replicated, store, reader, monkeypatch
):
    write(store, register(ANN), create(MOVIE))
    replicated.wait_until_replayed()
    shown = store.head()
    with replicated.paused():
        position = write(store, update(title="Aliens")).position
        # What the replica has already needs no primary, and what it lacks is not shown.
        assert read(reader, reader.head, shown, current=False) == (shown, "replica")
        monkeypatch.setattr(read_replica, "REST_S", 60)
        began = time.monotonic()
        for _ in range(10):  # the replica is left alone, else each read would wait
            assert read(reader, reader.head, position, wait_s=1) == (position, "primary")
        assert 0.5 < time.monotonic() - began < 5


def test_a_replica_that_catches_up_in_time_is_read(replicated, store, reader):
    write(store, register(ANN), create(MOVIE))
    replicated.wait_until_replayed()
    with replicated.paused():
        position = write(store, update(title="Aliens")).position
        resume = threading.Timer(
            0.1, replicated.ask, (replicated.replica, "SELECT pg_wal_replay_resume()")
        )
        resume.start()
        found = read(reader, reader.head, position, current=False, wait_s=10)
        assert found == (position, "replica")
        resume.join()


def test_a_later_position_that_the_replica_lacks_moves_the_read_to_the_primary(
    replicated, store, reader
):
    write(store, register(ANN), create(MOVIE))
    replicated.wait_until_replayed()
    shown = store.head()
    with replicated.paused():
        position = write(store, update(title="Aliens")).position
        with reader.reading(shown, current=False):
            assert len(reader.read_stream(MOVIE)) == 1
            reader.require(position)
            assert len(reader.read_stream(MOVIE)) == 2


def test_decisions_never_use_the_replica(replicated, store, reader):
    write(store, register(ANN), create(MOVIE))
    replicated.wait_until_replayed()
    with replicated.paused():
        write(store, update(title="Aliens"))
        (answer,) = commit(store, [update(title="Alien", expected=(2,))])
        assert answer.aggregate.version == 3


def test_a_replica_that_ends_meanwhile_is_replaced_by_the_primary(replicated, store, reader):
    """The rest of the read goes to the primary, which has all that the replica has shown."""
    write(store, register(ANN), create(MOVIE))
    replicated.wait_until_replayed()
    with reader.reading():
        assert len(reader.read_stream(MOVIE)) == 1
        terminate = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'log_%'"
        )
        replicated.ask(replicated.replica, terminate)
        assert len(reader.read_stream(MOVIE)) == 1
    eventually(lambda: read(reader, reader.head) == (store.head(), "replica"))


def test_a_read_uses_one_connection(replicated, store, reader):
    """Behind the URL there may be several replicas, some of them further behind."""
    write(store, register(ANN), create(MOVIE))
    replicated.wait_until_replayed()
    datastore = reader._recorder.datastore

    def server_process():
        with datastore.get_connection() as connection:
            return connection.info.backend_pid

    with reader.reading():
        first = server_process()
        with datastore.pool.checkout():  # as another thread does
            assert server_process() == first


def test_a_replica_that_is_away_costs_nothing(store):
    write(store, register(ANN), create(MOVIE))
    away = "postgresql://postgres@127.0.0.1:9/nowhere"
    reader = store.reader(away, on_read=_servers.append)
    store.check_replica(away)  # it may come back
    assert read(reader, lambda: len(reader.read_stream(MOVIE))) == (1, "primary")
    began = time.monotonic()
    for _ in range(10):
        assert read(reader, reader.head) == (store.head(), "primary")
    assert time.monotonic() - began < 3


def test_of_all_hosts_of_a_cluster_a_standby_is_read(replicated, store, urls):
    write(store, register(ANN), create(MOVIE))
    replicated.wait_until_replayed()
    database, hosts = urls[0].partition("?")[0], [url.partition("host=")[2] for url in urls]
    url = f"{database}?host={','.join(hosts)}&target_session_attrs=standby"
    reader = store.reader(url, on_read=_servers.append)
    is_standby = "SELECT pg_is_in_recovery() AS it"
    with reader.reading(), reader._recorder.datastore.get_connection() as connection:
        assert connection.execute(is_standby).fetchone() == {"it": True}
    assert _servers[-1] == "replica"


def test_histories_are_read_while_the_primary_is_away(replicated, urls, store, reader):
    """They show at least what this process knows."""
    write(store, register(ANN), create(MOVIE))
    replicated.wait_until_replayed()
    name = urls[0].partition("?")[0].rpartition("/")[2]
    terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
    with replicated.paused():  # so that the replica goes on as it is
        replicated.ask(replicated.primary, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        replicated.ask(replicated.primary, terminate.format(name))
        try:
            with pytest.raises(EventStoreUnavailableError):
                store.head()
            page, server = read(reader, lambda: history(reader, MOVIE, 1, 10))
            assert (page.count, server) == (1, "replica")
        finally:
            replicated.ask(replicated.primary, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_a_replica_of_another_log_is_refused(replicated, store, urls):
    other, replica_of_other = replicated.new_database()
    foreign = Store.open(other)
    write(foreign, register(ANN), create(MOVIE), create(new_id()))
    write(store, register(ANN), create(MOVIE))
    replicated.wait_until_replayed()
    with pytest.raises(ConfigurationError, match="replica of another log") as error:
        store.check_replica(replica_of_other)
    assert str(error.value).startswith("CINELOG_EVENT_STORE_READ_URL")
    store.check_replica(urls[1])
    reader = store.reader(replica_of_other, on_read=_servers.append)
    assert read(reader, reader.head) == (4, "primary")  # one that takes its place later
    foreign.close()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://host/x?nonsense=1", "not a PostgreSQL URL"),
        ("{replica}_not", "no database of that name"),
    ],
)
def test_a_url_that_cannot_work_is_refused(store, urls, url, problem):
    database, _, host = urls[1].partition("?")
    with pytest.raises(ConfigurationError, match=problem) as error:
        store.check_replica(f"{url.format(replica=database)}?{host}")
    assert str(error.value).startswith("CINELOG_EVENT_STORE_READ_URL")


def test_the_replica_shows_commits_in_the_order_of_their_positions(replicated, store, urls):
    """Writers race; what a replica shows is at every moment a beginning of the log."""
    others = [Store.open(urls[0]) for _ in range(3)]
    write(store, register(ANN))
    replica = Store.open(urls[1], create=False)
    stop = threading.Event()

    def observe():
        """Return all that was seen; check that nothing appears behind what was seen."""
        seen, looks = [], 0
        while not stop.is_set():
            found = [event.position for event in replica.read(0, 10_000)]
            assert found[: len(seen)] == seen
            looks += found != seen
            seen = found
        return looks

    def race(writer):
        for _ in range(40):
            write(writer, create(new_id()))

    with ThreadPoolExecutor(5) as threads:
        observer = threads.submit(observe)
        for racing in [threads.submit(race, writer) for writer in others]:
            racing.result()
        replicated.wait_until_replayed()
        stop.set()
        assert observer.result() > 5
    positions = [event.position for event in replica.read(0, 10_000)]
    assert positions == [event.position for event in store.read(0, 10_000)]
    assert positions == list(range(1, 1 + 3 + 3 * 40))
    for one in (replica, *others):
        one.close()
