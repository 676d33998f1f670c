"""The last backup to the place in the settings, as Redis remembers it for all machines.

A lost record is no loss: the next scheduled backup finds the place up to date and writes it again.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

KEY = "backup:last"
FAILED_KEY = "backup:failed"


class LastBackup(NamedTuple):
    """What is known of the last backup; None where nothing is."""

    at: datetime | None = None
    """When the log ended at ``position``: later events are in no backup."""
    position: int | None = None
    error: str | None = None
    """Why the latest attempt failed; None if it did not."""

    def age_s(self) -> float | None:
        """Return how long ago the backed up log was the current one."""
        if self.at is None:
            return None
        return round(max(0.0, (datetime.now(UTC) - self.at).total_seconds()), 3)


def read_last_backup(client: Any) -> LastBackup:
    """Return the record. Raises RedisError."""
    text, error = client.execute_command("MGET", KEY, FAILED_KEY)
    found = LastBackup(error=error.decode(errors="replace") if error else None)
    with suppress(ValueError, TypeError, KeyError):
        fields = orjson.loads(text)
        found = found._replace(
            at=datetime.fromisoformat(fields["at"]), position=int(fields["position"])
        )
    return found


def write_last_backup(client: Any, at: str, position: int) -> None:
    """Record a backup, also one that found nothing new. Raises RedisError."""
    client.execute_command("SET", KEY, orjson.dumps({"at": at, "position": position}))
    client.execute_command("DEL", FAILED_KEY)


def write_failed_backup(client: Any, error: str) -> None:
    """Record that an attempt failed. Raises RedisError."""
    client.execute_command("SET", FAILED_KEY, error)
