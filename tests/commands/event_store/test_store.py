"""The event store: one log, in order, on SQLite and on PostgreSQL alike."""

import resource
import shutil

import pytest

from commands.aggregates.movie import Movie
from commands.aggregates.user import User
from commands.errors import ConfigurationError, EventStoreUnavailableError, NotFoundError
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import ANN, BOB, MOVIE, create, delete, register, update


def test_empty_log_has_position_0(store):
    assert (store.head(), store.count(), store.read(0)) == (0, 0, [])


def test_read_in_order_and_in_batches(store):
    commit(store, [create(MOVIE), create(), create(), update(title="Aliens"), delete()])
    whole = store.read(0)
    assert [event.position for event in whole] == [1, 2, 3, 4, 5]
    assert store.read(2, limit=2) == whole[2:4]
    assert store.read(1, until=3) == whole[1:3]
    assert (store.head(), store.count()) == (5, 5)


def test_a_recorded_event_has_its_data_and_position(store):
    commit(store, [create(MOVIE, request_id="r-9"), update(title="Aliens")])
    created, updated = store.read_stream(MOVIE)
    assert (created.stream_id, created.version, created.type) == (str(MOVIE), 1, "MovieCreated")
    assert created.data["by"] == str(ANN)
    assert created.data["request_id"] == "r-9"
    assert len(created.data["timestamp"]) == len("2026-01-02T12:00:00.000250Z")
    assert updated.data.keys() == {"title", "by", "request_id", "timestamp"}
    assert store.read_stream(MOVIE, after_version=1, limit=5) == [updated]


def test_an_id_of_another_kind_is_not_found(store):
    """The id of an account is not the id of a movie."""
    commit(store, [register(BOB)])
    assert store.get(Movie, BOB) is None
    assert store.get(User, BOB).username == "ann"
    with pytest.raises(NotFoundError):
        store.movie(BOB)


def test_account_id_of_a_username_ignores_case(store):
    commit(store, [register(BOB, username="Bob")])
    assert store.account_id_of("bOB") == BOB
    assert store.account_id_of("unknown") is None


def test_personal_data_is_in_the_accounts_stream_only(store):
    """A claim on a username or an e-mail contains neither."""
    commit(store, [register(BOB, username="bobby", email="secret@example.org")])
    elsewhere = [event for event in store.read(0) if event.stream_id != str(BOB)]
    assert len(elsewhere) == 2
    assert not any("bobby" in str(event) or "secret" in str(event) for event in elsewhere)


def test_a_second_process_sees_what_the_first_wrote(store, store_url):
    commit(store, [create(MOVIE)])
    other = Store.open(store_url)
    assert other.movie(MOVIE).details.title == "Alien"
    commit(other, [update(title="Aliens")])
    assert store.movie(MOVIE).details.title == "Aliens"
    other.close()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://x",
        "sqlite://",
        "nonsense",
        "postgresql://u:hush@127.0.0.1:1/x",
        "sqlite:////proc/none/events.db",
    ],
)
def test_invalid_url_is_refused(url):
    """The error has one line, names the variable and never shows the password."""
    with pytest.raises(ConfigurationError) as caught:
        Store.open(url)
    assert caught.value.variable == "CINELOG_EVENT_STORE_URL"
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "events.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigurationError, match="not a database"):
        Store.open(f"sqlite:///{tmp_path}/events.db")


def test_full_disk_is_reported(tmp_path):
    """A file size limit of 0 has the same effect."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(ConfigurationError, match="cannot be opened"):
            Store.open(f"sqlite:///{tmp_path}/events.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_removed_or_replaced_file_is_unavailable(sqlite_store, tmp_path, how):
    """Reads and writes fail until the original file is back."""
    commit(sqlite_store, [create(MOVIE)])
    file = tmp_path / "events.db"
    file.rename(tmp_path / "kept.db")
    if how == "replaced":
        shutil.copy(tmp_path / "kept.db", file)
    (answer,) = commit(sqlite_store, [create()])
    assert isinstance(answer, EventStoreUnavailableError)
    with pytest.raises(EventStoreUnavailableError, match="removed or replaced"):
        sqlite_store.head()
    assert file.exists() is (how == "replaced")
    (tmp_path / "kept.db").rename(file)
    (answer,) = commit(sqlite_store, [create()])
    assert answer.position == sqlite_store.head() == 2
