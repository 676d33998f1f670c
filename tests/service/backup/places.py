"""Logs, places and backups of tests."""

from datetime import timedelta
from pathlib import Path

from commands.event_store.known_log import identity_after_import
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from service.backup.backup import Options, back_up
from service.backup.catalog import read_catalog
from service.backup.place import Directory
from service.backup.restore import Target, make_plan, restore
from service.backup.segments import Reader
from tests.controls import create, new_id, register


def grow(store, movies=3):
    """Append movies to a log."""
    if not store.head():
        commit(store, [register(username=f"u{new_id()}", email="secret@example.org")])
    for number in range(movies):
        commit(store, [create(title=f"Movie {number}")])
    return store.head()


def make(store, place, **options):
    """Make a backup."""
    options.setdefault("folder", Path(place.url).parent if place.url[0] == "/" else Path("/tmp"))
    return back_up(store, place, Options(**options))


def events_of(store):
    return store.read_raw(0, 1_000_000, store.head())


def restored(tmp_path, place, *, identities=(), chain=None, position=None, time=None):
    """Restore into a new store; return it."""
    store = Store.open(f"sqlite:///{tmp_path}/{new_id()}.db")
    try:
        plan = make_plan(place, Target(position, time), chain)
        reader = Reader(place, list(identities), tmp_path)
        restore(reader, plan, store, lambda file, end: identity_after_import(file, [], end))
    except BaseException:
        assert store.head() == 0  # all or nothing
        store.close()
        raise
    return store


def backups_in(place):
    """Return (after, until) of the backups of each chain."""
    return [[(b.after, b.until) for b in chain.backups] for chain in read_catalog(place).chains]


class FailingPlace(Directory):
    """A directory whose operations fail after some of them, halfway through a write."""

    def __init__(self, path, operations):
        super().__init__(path)
        self.left = operations

    def _count(self):
        self.left -= 1
        if self.left < 0:
            raise DiedError

    def names(self):
        self._count()
        return super().names()

    def write(self, name, file, advance):
        self._count()
        super().write(name, file, advance)
        self._count()

    def read(self, name):
        self._count()
        for piece in super().read(name):
            yield piece
            self._count()

    def delete(self, name):
        self._count()
        super().delete(name)


class DiedError(Exception):
    """The process died here."""


DAYS = timedelta(days=1)


class LossyPlace(Directory):
    """A directory that stores something else than it was given."""

    def __init__(self, path, *, only=""):
        super().__init__(path)
        self._only = only

    def write(self, name, file, advance):
        super().write(name, file, advance)
        if name.endswith(self._only):
            path = Path(self.url) / name
            path.write_bytes(path.read_bytes()[:-1])
