"""Translates what databases raise into EventStoreUnavailableError and its subclasses."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventsourcing.persistence import ConnectionPoolClosedError, PersistenceError

from commands.database.damage import Damage, damage_in
from commands.database.disk_space import is_disk_full
from commands.errors import DiskFullError, EventStoreUnavailableError, StoreDamagedError


@contextmanager
def translating_db_errors(
    but: type[Exception] | tuple[type[Exception], ...] = (), damage: Damage | None = None
) -> Iterator[None]:
    """Translate errors of the database, except ``but``; report corruption to ``damage``."""
    try:
        yield
    except but:
        raise
    except (PersistenceError, ConnectionPoolClosedError, OSError) as error:
        if reason := damage_in(error):
            if damage:
                damage.report(reason)
            raise StoreDamagedError(reason) from error
        kind = DiskFullError if is_disk_full(error) else EventStoreUnavailableError
        raise kind(f"{type(error).__name__}: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its class name if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
