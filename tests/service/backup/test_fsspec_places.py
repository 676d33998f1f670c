"""Backups in the places that fsspec reaches: in memory, and on a server that speaks S3."""

import subprocess  # noqa: F401 - these tests are not among the quick ones: they start a server

import pytest

from commands.errors import ConfigurationError
from service.backup.place import open_place
from service.backup.retention import delete_expired
from service.backup.segments import Reader
from service.backup.verify import verify
from service.errors import BackupError
from tests.service.backup.places import DAYS, backups_in, events_of, grow, make, restored
from tests.service.backup.test_backup import NOW

fsspec = pytest.importorskip("fsspec", reason="make setup installs it")


@pytest.fixture(scope="module")
def s3_server():
    """The address of a server with the bucket ``movies``."""
    server = pytest.importorskip("moto.server", reason="make setup installs it")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*running.get_host_and_port()))
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("movies")
        yield
    running.stop()


@pytest.fixture(params=["memory", "s3"])
def place(request, tmp_path):
    if request.param == "s3":
        request.getfixturevalue("s3_server")
    bucket = {"memory": "memory://movies", "s3": "s3://movies"}[request.param]
    return open_place(f"{bucket}/{tmp_path.name}")


def test_log_is_restored_from_a_url(sqlite_store, place, tmp_path):
    grow(sqlite_store)
    first = make(sqlite_store, place)
    end = grow(sqlite_store)
    make(sqlite_store, place)
    assert backups_in(place) == [[(0, first.position), (first.position, end)]]
    found = verify(Reader(place, [], tmp_path))
    assert (found.damage, found.chains[0].position) == ([], end)
    again = restored(tmp_path, place)
    assert events_of(again) == events_of(sqlite_store)
    again.close()


def test_files_are_deleted_from_a_url(sqlite_store, place):
    grow(sqlite_store)
    make(sqlite_store, place)
    grow(sqlite_store)
    made = make(sqlite_store, place, full=True)
    assert delete_expired(place, 1 * DAYS, NOW) == []
    assert len(delete_expired(place, 1 * DAYS, NOW + 2 * DAYS)) == 1
    assert backups_in(place) == [[(0, made.position)]]


def test_missing_bucket_is_an_error_of_the_place(s3_server, sqlite_store, tmp_path):
    """And it is not created: the name may be a mistake."""
    place = open_place("s3://nowhere/backups")
    grow(sqlite_store)
    with pytest.raises(BackupError, match="s3://nowhere/backups"):
        make(sqlite_store, place)
    assert not fsspec.filesystem("s3", use_listings_cache=False).exists("nowhere")


def test_unknown_scheme_is_refused():
    with pytest.raises(ConfigurationError, match="CINELOG_BACKUP_URL: nonsense://"):
        open_place("nonsense://user:secret@host/x")
