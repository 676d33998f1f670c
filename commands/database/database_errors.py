"""Reached: what a database raises, in our words. It is away, damaged or has no room."""

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
    """Turn what a database raises when it is away into our word for it.

    What it says of ``damage`` is remembered there.
    """
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
    """Return the first line of what an error says, else its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
