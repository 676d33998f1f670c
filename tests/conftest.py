"""What every test may use: real stores on SQLite and PostgreSQL, and a real Redis."""

import itertools
import signal
from pathlib import Path

import psycopg
import pytest

from commands.event_store.store import Store
from projections.generation import lifecycle
from projections.redis_client import open_redis
from tests.postgres_replica import Replicated
from tests.read_side import Story, Valkey

# A test that uses one of these starts a server or a process, or talks to one.
_SERVERS = {
    "postgres",
    "replicated",
    "pg",
    "valkey",
    "service",
    "described",
    "cluster_url",
    "auth_redis_url",
    "stack",
}
_PROCESSES = {
    "Cinelog",
    "ProcessPoolExecutor",
    "System",
    "Proxy",
    "Valkey",
    "auth_server",
    "process_tree",
    "run",
    "running",
    "serving",
    "socket",
    "subprocess",
}

# Left to `make test-thorough`: what takes long and seldom finds what the others do not.
_THOROUGH = (
    "benchmarks",
    "consistency",
    "deploy",
    "service/faults",
    "service/openapi/test_generated_clients.py",
    "service/openapi/test_schemathesis.py",
    "service/transfer/test_salvage.py",
    "service/web_page/test_accessibility.py",
)


def pytest_configure():
    """Let processes of tests take Ctrl-C: a run in the background of a shell ignores SIGINT."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Mark each quick test that needs no server and no process as ``unit``, others by folder."""
    here = Path(__file__).parent
    for item in items:
        parameters = getattr(item, "callspec", None)
        on_postgres = parameters is not None and "postgresql" in parameters.params.values()
        if not (
            on_postgres
            or item.get_closest_marker("slow")
            or _SERVERS & set(item.fixturenames)
            or _PROCESSES & vars(item.module).keys()
        ):
            item.add_marker("unit")
        elif item.path.relative_to(here).as_posix().startswith(_THOROUGH):
            item.add_marker("thorough")
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """A PostgreSQL server of our own; yields a function that makes an empty database."""
    pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL wheel for this Python")
    folder = tmp_path_factory.mktemp("pg")
    server = pgserver.get_server(folder, cleanup_mode="stop")
    numbers = itertools.count(1)

    def new_database():
        name = f"cinelog_{next(numbers)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return server.get_uri(database=name)

    yield new_database
    server.cleanup()


@pytest.fixture(scope="session")
def replicated(tmp_path_factory):
    """A PostgreSQL server with a streaming replica."""
    pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL wheel for this Python")
    servers = Replicated(pgserver, tmp_path_factory.mktemp("replicated"))
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory):
    """The server that tests share; none of them may stop it."""
    server = Valkey(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture
def own_valkey(tmp_path_factory):
    """A server that a test may stop and start."""
    server = Valkey(tmp_path_factory.mktemp("own")).start()
    yield server
    server.stop()


@pytest.fixture
def redis(valkey):
    """A client of an empty server."""
    client = open_redis(valkey.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def story():
    return Story()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request, tmp_path):
    """An empty event store's URL, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/events.db"
    return request.getfixturevalue("postgres")()


@pytest.fixture
def store(store_url):
    store = Store.open(store_url)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(tmp_path):
    """For rules in which the database plays no part."""
    store = Store.open(f"sqlite:///{tmp_path}/events.db")
    yield store
    store.close()


@pytest.fixture(scope="session")
def anyio_backend():
    """Coroutines run on asyncio, as they do in the service."""
    return "asyncio"


@pytest.fixture
def removed_in_steps(redis, monkeypatch):
    """Generations are large: Redis removes each field by itself."""
    monkeypatch.setattr(lifecycle, "_STEPS_AT_ONCE", 1)
    monkeypatch.setattr(lifecycle, "SWEEP_STEP", 1)
    setting = "hash-max-listpack-entries"
    before = redis.config_get(setting)
    redis.config_set(setting, 0)
    yield
    redis.config_set(setting, before[setting])
