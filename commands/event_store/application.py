"""Opens the log from a URL, with messages for all that can be wrong with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psycopg
from eventsourcing.application import Application, LRUCache
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import PersistenceError
from eventsourcing.utils import Environment, EnvType
from psycopg.conninfo import conninfo_to_dict

from commands.database.damage import NOT_A_DATABASE
from commands.database.database_errors import first_line, translating_db_errors
from commands.database.integrity_check import Integrity
from commands.database.urls import quoted
from commands.errors import ConfigurationError, EventStoreUnavailableError, StoreDamagedError

VARIABLE = "CINELOG_EVENT_STORE_URL"
# Aggregates cached in a process; each use reads the events appended since.
_CACHED = 2_000
# Parts of messages of libpq or the server, and what to do. Without any of them the server is
# unreachable.
_REFUSALS = {
    "authentication failed": "PostgreSQL refuses the user or the password in the URL",
    "no password supplied": "PostgreSQL wants a password; write it as user:password@ in the URL",
    "pg_hba.conf": "PostgreSQL refuses the connection of this user from this machine; allow it in"
    " its pg_hba.conf, or ask for TLS with ?sslmode=require",
    "does not support SSL": "PostgreSQL there has no TLS; leave sslmode=require out of the URL",
    "certificate": "the TLS certificate of PostgreSQL is not trusted; see sslrootcert of libpq",
    "resolve": "its host name cannot be resolved; correct the URL, and percent-encode special"
    " characters in the password",
    "starting up": "PostgreSQL is starting up; try again in a moment",
    "system is": "PostgreSQL takes no connections; try again in a moment",
    "too many": "PostgreSQL has no connection left; raise its max_connections",
    "role": "PostgreSQL has no such user; create it or correct the URL",
    "database": "PostgreSQL has no database of that name; create it or correct the URL",
}
_NO_ANSWER = "PostgreSQL does not answer there; start it or correct the URL"
# Refusals that end by themselves.
_PASSING = ("starting up", "system is", "too many")
_CODEC = {
    "TRANSCODER_TOPIC": "commands.event_store.event_codec:OrjsonTranscoder",
    "AGGREGATE_CACHE_MAXSIZE": str(_CACHED),
    "CREATE_TABLE": "n",
}
_CREATED_BY = "cinelog serve makes one, or name another data directory or store"


class CinelogApplication(Application[UUID]):
    """The eventsourcing application that all aggregates share."""

    name = "cinelog"

    def construct_env(self, name: str, env: EnvType | None = None) -> Environment:
        """Ignore the process environment: it belongs to the service."""
        return Environment(name, dict(env or {}))

    def record(self, aggregates: Sequence[Aggregate]) -> dict[UUID, int]:
        """Append all pending events; return each aggregate's last position.

        The library's ``save`` asks each event which protocols it follows, a third of the time of a
        large batch.
        """
        events = [event for one in aggregates for event in one.collect_events()]
        stored = [self.mapper.to_stored_event(event) for event in events]
        positions = self.recorder.insert_events(stored) or ()
        return dict(zip((event.originator_id for event in events), positions, strict=True))

    def clear_cache(self) -> None:
        """Drop all cached aggregates."""
        self.repository.cache = LRUCache(maxsize=_CACHED)


def open_application(url: str, *, create: bool) -> CinelogApplication:
    """Open ``sqlite:///path`` or ``postgresql://…``; ``create`` makes what is missing.

    Raises ConfigurationError if the URL cannot work or its server does not answer.
    """
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        env = _CODEC | _sqlite(url, create=create)
    elif scheme in ("postgresql", "postgres"):
        env = _CODEC | _postgresql(url)
        if problem := refusal_of(url)[0]:
            raise ConfigurationError(VARIABLE, problem)
    else:
        raise ConfigurationError(VARIABLE, "begin it with sqlite:/// or postgresql://")
    try:
        application = CinelogApplication(env)
        recorder = cast("Any", application.recorder)
        if create and not Integrity(recorder).quick_check():
            recorder.create_table()
        with translating_db_errors():
            recorder.max_notification_id()
    except StoreDamagedError as error:
        if error.reason == NOT_A_DATABASE:
            problem = f"the event store cannot be opened ({error.reason})"
            raise ConfigurationError(VARIABLE, problem) from None
        recorder.damage.report(error.reason)
    except (PersistenceError, EventStoreUnavailableError, OSError) as error:
        if _lacks_tables(error):
            problem = f"there is no event store in this database; {_CREATED_BY}"
            raise ConfigurationError(VARIABLE, problem) from None
        raise ConfigurationError(
            VARIABLE, f"the event store cannot be opened ({first_line(error)})"
        ) from None
    return application


def _lacks_tables(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, psycopg.errors.UndefinedTable) or "no such table" in str(error):
            return True
        error = error.__cause__
    return False


def _sqlite(url: str, *, create: bool) -> dict[str, str]:
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not path.name:
        raise ConfigurationError(VARIABLE, "write it as sqlite:///path/to/events.db")
    if not create and not path.exists():
        raise ConfigurationError(VARIABLE, f"there is no event store at {path}; {_CREATED_BY}")
    return {
        "PERSISTENCE_MODULE": "commands.event_store.sqlite.recorder:Factory",
        "SQLITE_DBNAME": str(path),
    }


def open_postgres(url: str, *, factory: str, variable: str) -> CinelogApplication:
    """Open ``postgresql://…`` with a factory. Raises ConfigurationError for another URL."""
    return CinelogApplication(_CODEC | _postgresql(url, factory=factory, variable=variable))


def refusal_of(url: str) -> tuple[str, bool]:
    """Return why PostgreSQL refuses a connection ("" if it does not), and if it is just away."""
    try:
        psycopg.connect(quoted(url), connect_timeout=3).close()
    except (psycopg.Error, UnicodeError) as error:
        problem = _refusal(str(error))
        return problem, problem in (_NO_ANSWER, *(_REFUSALS[part] for part in _PASSING))
    return "", False


def _postgresql(
    url: str,
    *,
    factory: str = "commands.event_store.postgres.recorder:Factory",
    variable: str = VARIABLE,
) -> dict[str, str]:
    url = quoted(url)
    try:
        conninfo_to_dict(url)
    except psycopg.Error:  # its text repeats the URL, and so the password
        raise ConfigurationError(
            variable,
            "it is not a PostgreSQL URL; percent-encode the password",
        ) from None
    return {
        "PERSISTENCE_MODULE": factory,
        "POSTGRES_URL": url,
        # The library requires these; libpq's reading of the URL takes precedence.
        "POSTGRES_DBNAME": "-",
        "POSTGRES_HOST": "-",
        "POSTGRES_USER": "-",
        "POSTGRES_PASSWORD": "-",
    }


def _refusal(message: str) -> str:
    """Return why PostgreSQL refuses a connection, without the URL that its message may repeat."""
    for part, problem in _REFUSALS.items():
        if part in message:
            return problem
    return _NO_ANSWER
