"""The memory of the log that was served last, in the data directory and in a configured Redis.

A start compares it with the event store; the projection's process writes it while it runs.
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
"""In a configured Redis: a new machine has an empty data directory."""
WRITE_S = 1.0
LAST_S = 1.0
"""For the last record, which a store that hangs must not hold up."""
log = structlog.get_logger(__name__)


class KnownLogStore:
    """Reads and writes what is remembered. An embedded Redis is part of the data directory."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.data_dir / FILE
        self._redis_url = settings.redis_url
        self._written: KnownLog | None = None

    def read(self) -> list[KnownLog]:
        """Return what is remembered; a Redis that is away remembers nothing.

        Raises ConfigurationError where a memory cannot be read.
        """
        found = []
        with suppress(FileNotFoundError):
            found.append(_loaded(self._file.read_bytes(), str(self._file)))
        if text := self._ask_redis("GET", KEY):
            found.append(_loaded(text, f"the key {KEY} in Redis"))
        return found

    def write(self, remembered: KnownLog) -> None:
        """Keep what is to be remembered; where there is no room, the older record stays."""
        if remembered == self._written:
            return
        text = remembered.to_json()
        with suppress(OSError):
            with replacing(self._file) as file:
                file.write(text)
            self._written = remembered
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
    """Keeps the memory up to date beside a running projection; use it as a context."""

    def __init__(self, store: Store, memory: KnownLogStore, *, write_s: float = WRITE_S) -> None:
        self._store = store
        self._memory = memory
        self._write_s = write_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LAST_S)

    def _run(self) -> None:
        while not self._stop.wait(self._write_s):
            self._keep()
        self._keep()

    def _keep(self) -> None:
        continuity = self._store.continuity
        if self._store.damage.reason:
            return  # what can be read of it may end too early
        try:
            continuity.refresh()
            if continuity.identity is not None and not continuity.replaced:
                self._memory.write(KnownLog(continuity.identity, continuity.marks))
        except CinelogError:
            return  # the event store is away; what is remembered may lag
        except Exception as error:  # noqa: BLE001 - the projection must live on
            log.warning("log memory", error=f"{type(error).__name__}: {error}")


def open_served(settings: Settings, *, accept: Accept = "nothing", create: bool = True) -> Store:
    """Open the event store as the log that was served before, and remember it.

    A damaged one is opened to be read, whatever is left of it. Raises LogMismatchError where it is
    another one, unless that is to be accepted.
    """
    memory = KnownLogStore(settings)
    remembered = _readable(memory, accept)
    if accept != "any log":
        _check_there(settings, remembered)
    store = Store.open(settings.event_store_url, create=create)
    store.damage.use_marker(settings.data_dir / STORE_DAMAGED)
    if store.damage.reason and not store.integrity.is_cheap:
        store.integrity.quick_check()
    if store.damage.reason:
        return store  # it takes no writes, so that nothing is to be decided
    try:
        decide_identity(store, remembered, accept=accept)
        continuity = store.continuity
        assert continuity.identity is not None  # noqa: S101 - it is settled
        memory.write(KnownLog(continuity.identity, continuity.marks))
    except BaseException:
        store.close()
        raise
    return store


def check_served(settings: Settings, store: Store) -> None:
    """Raise LogMismatchError where an open store is not the log that was served; change nothing.

    What can be read of a damaged one may end too early, so that is not held against it.
    """
    if store.integrity.quick_check() is not None:
        return
    stored = store.read_identity()
    for one in KnownLogStore(settings).read():
        if one.position and not is_extension(store, stored, one):
            raise mismatch_error(store, stored, one)


def _readable(memory: KnownLogStore, accept: Accept) -> list[KnownLog]:
    try:
        return memory.read()
    except ConfigurationError:
        if accept == "any log":
            return []
        raise


def _check_there(settings: Settings, remembered: list[KnownLog]) -> None:
    """Refuse before an empty file is made in the place of the one that is gone."""
    url = settings.event_store_url
    if urlsplit(url).scheme != "sqlite" or Path(url.removeprefix("sqlite:///")).exists():
        return
    for one in remembered:
        if one.position:
            raise LogMismatchError(str(one.identity), one.position, "", 0)


def _loaded(text: bytes, where: str) -> KnownLog:
    try:
        return KnownLog.from_json(text)
    except ValueError:
        raise ConfigurationError(
            "CINELOG_EVENT_STORE_URL",
            f"{where} does not tell which log was served; put it back, or accept the log there is"
            " with cinelog serve --accept-log",
        ) from None
