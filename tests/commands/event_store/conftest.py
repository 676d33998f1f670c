"""A PostgreSQL server for tests of its faults."""

import psycopg
import pytest

from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import ANN, new_id, register


@pytest.fixture(scope="session")
def pg(tmp_path_factory):
    """A PostgreSQL server that tests may stop, as long as they start it again."""
    pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL wheel for this Python")
    server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    yield server
    server.cleanup()


@pytest.fixture
def pg_url(pg):
    name = f"away_{new_id().hex}"
    with psycopg.connect(pg.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return pg.get_uri(database=name)


@pytest.fixture
def pg_store(pg_url):
    store = Store.open(pg_url)
    commit(store, [register(ANN)])
    yield store
    store.close()
