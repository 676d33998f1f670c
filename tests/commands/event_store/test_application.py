"""What is said about the URL of an event store that cannot be opened."""

import shutil
import socket
import struct
import threading

import pytest

from commands.errors import ConfigurationError
from commands.event_store.application import open_application, open_postgres, refusal_of
from commands.event_store.replica import ReplicaFactory
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import ANN, register

MAKE_ONE = "cinelog serve makes one, or name another data directory or store"
FACTORY = f"{ReplicaFactory.__module__}:{ReplicaFactory.__name__}"

SSL_REQUEST = 80877103


def problem(url, *, create=True):
    """Return why a URL is refused."""
    with pytest.raises(ConfigurationError) as refused:
        open_application(url, create=create)
    assert refused.value.variable == "CINELOG_EVENT_STORE_URL"
    return refused.value.problem


class RefusingServer:
    """Speaks as much of the protocol as it takes to refuse a connection."""

    def __init__(self):
        self.message = ""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://ann:secret@127.0.0.1:{self._socket.getsockname()[1]}/movies"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                if struct.unpack("!ii", connection.recv(1024)[:8]) == (8, SSL_REQUEST):
                    connection.sendall(b"N")
                    if not connection.recv(1024):
                        continue
                text = b"SFATAL\0C28000\0M" + self.message.encode() + b"\0\0"
                connection.sendall(b"E" + struct.pack("!i", len(text) + 4) + text)

    def close(self):
        self._socket.close()


@pytest.fixture(scope="module")
def server():
    server = RefusingServer()
    yield server
    server.close()


@pytest.mark.parametrize(
    ("message", "advice", "is_away"),
    [
        (
            'password authentication failed for user "ann"',
            "PostgreSQL refuses the user or the password in the URL",
            False,
        ),
        (
            'no pg_hba.conf entry for host "10.0.0.1", user "ann", database "movies"',
            (
                "PostgreSQL refuses the connection of this user from this machine; allow it in its"
                " pg_hba.conf, or ask for TLS with ?sslmode=require"
            ),
            False,
        ),
        (
            "the database system is starting up",
            "PostgreSQL is starting up; try again in a moment",
            True,
        ),
        (
            "the database system is shutting down",
            "PostgreSQL takes no connections; try again in a moment",
            True,
        ),
        (
            "sorry, too many clients already",
            "PostgreSQL has no connection left; raise its max_connections",
            True,
        ),
        (
            'role "ann" does not exist',
            "PostgreSQL has no such user; create it or correct the URL",
            False,
        ),
        (
            'database "movies" does not exist',
            "PostgreSQL has no database of that name; create it or correct the URL",
            False,
        ),
        (
            "fe_sendauth: no password supplied",
            "PostgreSQL wants a password; write it as user:password@ in the URL",
            False,
        ),
        (
            "SSL error: certificate verify failed",
            "the TLS certificate of PostgreSQL is not trusted; see sslrootcert of libpq",
            False,
        ),
        ("out of paper", "PostgreSQL does not answer there; start it or correct the URL", True),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_a_refusal_comes_with_advice(server, message, advice, is_away):
    """It does not repeat the URL. One that ends by itself is told from one that does not."""
    server.message = message
    assert refusal_of(server.url) == (advice, is_away)
    assert problem(server.url) == advice


def test_a_server_without_tls_is_named(server):
    answer = "PostgreSQL there has no TLS; leave sslmode=require out of the URL"
    assert refusal_of(f"{server.url}?sslmode=require") == (answer, False)


def test_a_port_without_a_server_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answer = "PostgreSQL does not answer there; start it or correct the URL"
    assert refusal_of(f"postgresql://ann@127.0.0.1:{port}/movies") == (answer, True)
    assert refusal_of(f"postgresql://ann@{'a' * 64}:{port}/movies") == (answer, True)


def test_a_host_that_cannot_be_resolved_is_named():
    found, is_away = refusal_of("postgresql://ann@no-host.invalid/movies")
    assert found == (
        "its host name cannot be resolved; correct the URL, and percent-encode special characters"
        " in the password"
    )
    assert not is_away


def test_the_scheme_is_one_of_two():
    begin = "begin it with sqlite:/// or postgresql://"
    assert problem("mysql://host/movies") == problem("movies") == problem("") == begin


@pytest.mark.parametrize("url", ["sqlite://movies", "sqlite:///", "sqlite:movies"])
def test_a_file_needs_three_slashes_and_a_name(url):
    assert problem(url) == "write it as sqlite:///path/to/events.db"


def test_a_url_that_cannot_be_read_is_not_repeated():
    bad = "postgresql://ann:secret@host/movies?colour=red"
    answer = "it is not a PostgreSQL URL; percent-encode the password"
    assert problem(bad) == answer
    assert problem(bad.replace("postgresql", "postgres")) == answer
    with pytest.raises(ConfigurationError) as refused:
        open_postgres(bad, factory=FACTORY, variable="CINELOG_X")
    assert (refused.value.variable, refused.value.problem) == ("CINELOG_X", answer)


def test_a_replica_is_opened_without_a_connection():
    url = "postgresql://ann:a/b@127.0.0.1:1/movies"
    application = open_postgres(url, factory=FACTORY, variable="CINELOG_X")
    assert isinstance(application.factory, ReplicaFactory)
    application.close()


def test_a_store_is_made_only_if_that_is_asked_for(tmp_path):
    path = tmp_path / "events.db"
    url = f"sqlite:///{path}"
    assert problem(url, create=False) == f"there is no event store at {path}; {MAKE_ONE}"
    assert not path.exists()
    path.touch()
    no_store = f"there is no event store in this database; {MAKE_ONE}"
    assert problem(url, create=False) == no_store
    open_application(url, create=True).close()
    open_application(url, create=False).close()


def test_a_file_that_is_no_database_is_named_as_one(tmp_path):
    (tmp_path / "events.db").write_bytes(b"junk" * 1000)
    url = f"sqlite:///{tmp_path}/events.db"
    found = "the event store cannot be opened (SQLite: file is not a database)"
    assert problem(url, create=False) == found


def test_the_reason_why_a_file_cannot_be_opened_is_named(tmp_path):
    found = problem(f"sqlite:///{tmp_path}")
    assert found == "the event store cannot be opened (unable to open database file)"


def test_a_damaged_store_is_opened_for_what_can_be_read(tmp_path):
    """It is known to be damaged from then on."""
    path = tmp_path / "events.db"
    store = Store.open(f"sqlite:///{path}")
    commit(store, [register(ANN)])
    store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    for create, reason in (
        (False, "SQLite: database disk image is malformed"),
        (True, "SQLite: *** in database main ***"),
    ):
        copy = shutil.copy(path, tmp_path / f"{create}.db")
        application = open_application(f"sqlite:///{copy}", create=create)
        assert application.recorder.damage.reason.startswith(reason)
        application.close()


def test_the_environment_does_not_change_a_store(tmp_path, monkeypatch):
    """The library would read its settings there."""
    monkeypatch.setenv("SQLITE_DBNAME", str(tmp_path / "other.db"))
    monkeypatch.setenv("CINELOG_SQLITE_DBNAME", str(tmp_path / "other.db"))
    monkeypatch.setenv("CINELOG_AGGREGATE_CACHE_MAXSIZE", "1")
    application = open_application(f"sqlite:///{tmp_path}/events.db", create=True)
    assert application.repository.cache.maxsize == 2_000
    application.close()
    assert not (tmp_path / "other.db").exists()


def test_a_cache_that_was_dropped_takes_as_many_aggregates(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/events.db")
    application = store._application
    commit(store, [register(ANN)])
    before = application.repository.cache
    application.clear_cache()
    assert application.repository.cache is not before
    assert application.repository.cache.maxsize == before.maxsize == 2_000
    store.close()
