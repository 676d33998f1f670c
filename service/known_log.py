"""The known log: identity and position of the log served last.

It is stored in the data directory and in a configured Redis. A start compares it with the event
store; the projection process keeps it up to date.
"""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import structlog
from redis.exceptions import RedisError

from commands.errors import CinelogError, ConfigurationError, LogMismatchError
from commands.event_store.known_log import (
    Accept,
    KnownLog,
    decide_identity,
    is_extension,
    mismatch_error,
)
from commands.event_store.store import Store
from projections.redis_client import open_redis
from service.data_dir import STORE_DAMAGED
from service.durable_file import replacing
from service.settings import Settings

FILE = "log.json"
KEY = "log:remembered"
"""Key in a configured Redis, for a new machine with an empty data directory."""
WRITE_S = 1.0
LAST_S = 1.0
"""Limit for the last update, in case the event store hangs."""
log = structlog.get_logger(__name__)


class KnownLogStore:
    """Reads and writes the known log. An embedded Redis is part of the data directory."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.data_dir / FILE
        self._redis_url = settings.redis_url
        self._written: KnownLog | None = None

    def read(self) -> list[KnownLog]:
        """Return the stored records, without Redis's if it is unreachable.

        Raises ConfigurationError if a record cannot be parsed.
        """
        found = []
        with suppress(FileNotFoundError):
            found.append(_loaded(self._file.read_bytes(), str(self._file)))
        if text := self._ask_redis("GET", KEY):
            found.append(_loaded(text, f"the key {KEY} in Redis"))
        return found

    def write(self, known: KnownLog) -> None:
        """Store a record; if the disk is full, the older one stays."""
        if known == self._written:
            return
        text = known.to_json()
        with suppress(OSError):
            with replacing(self._file) as file:
                file.write(text)
            self._written = known
        self._ask_redis("SET", KEY, text)

    def _ask_redis(self, *command: str | bytes) -> Any:
        if self._redis_url is None:
            return None
        with suppress(RedisError, CinelogError):
            client = open_redis(self._redis_url)
            try:
                return client.execute_command(*command)
            finally:
                client.close()
        return None


class KnownLogUpdater:
    """A thread that keeps the record up to date; use it as a context manager."""

    def __init__(self, store: Store, records: KnownLogStore, *, write_s: float = WRITE_S) -> None:
        self._store = store
        self._records = records
        self._write_s = write_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="known log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LAST_S)

    def _run(self) -> None:
        while not self._stop.wait(self._write_s):
            self._update()
        self._update()

    def _update(self) -> None:
        continuity = self._store.continuity
        if self._store.damage.reason:
            return  # its readable part may end too early
        try:
            continuity.refresh()
            if continuity.identity is not None and not continuity.replaced:
                self._records.write(KnownLog(continuity.identity, continuity.marks))
        except CinelogError:
            return  # the event store is unreachable; the record may lag
        except Exception as error:  # noqa: BLE001 - the projection must live on
            log.warning("known log", error=f"{type(error).__name__}: {error}")


def open_served(settings: Settings, *, accept: Accept = "nothing", create: bool = True) -> Store:
    """Open the event store, check that it is the log served before, and record it.

    A damaged store is opened for reading, unchecked. Raises LogMismatchError for another log,
    unless ``accept`` allows it.
    """
    records = KnownLogStore(settings)
    try:
        known = records.read()
    except ConfigurationError:
        if accept != "any log":
            raise
        known = []
    if accept != "any log":
        _check_file(settings, known)
    store = Store.open(settings.event_store_url, create=create)
    store.damage.use_marker(settings.data_dir / STORE_DAMAGED)
    if store.damage.reason and not store.integrity.is_cheap:
        store.integrity.quick_check()
    if store.damage.reason:
        return store  # it takes no writes, so there is nothing to decide
    try:
        decide_identity(store, known, accept=accept)
        continuity = store.continuity
        assert continuity.identity is not None  # noqa: S101 - just decided
        records.write(KnownLog(continuity.identity, continuity.marks))
    except BaseException:
        store.close()
        raise
    return store


def check_served(settings: Settings, store: Store) -> None:
    """Raise LogMismatchError if an open store is not the log served before; change nothing.

    A damaged store is not checked: its readable part may end too early.
    """
    if store.integrity.quick_check() is not None:
        return
    stored = store.read_identity()
    for one in KnownLogStore(settings).read():
        if one.position and not is_extension(store, stored, one):
            raise mismatch_error(store, stored, one)


def _check_file(settings: Settings, known: list[KnownLog]) -> None:
    """Raise LogMismatchError before a missing SQLite file is replaced by an empty one."""
    url = settings.event_store_url
    if urlsplit(url).scheme != "sqlite" or Path(url.removeprefix("sqlite:///")).exists():
        return
    for one in known:
        if one.position:
            raise LogMismatchError(str(one.identity), one.position, "", 0)


def _loaded(text: bytes, where: str) -> KnownLog:
    try:
        return KnownLog.from_json(text)
    except ValueError:
        raise ConfigurationError(
            "CINELOG_EVENT_STORE_URL",
            f"{where} does not name the log that was served; restore it, or accept the current log"
            " with cinelog serve --accept-log",
        ) from None
