"""The last backup to the place in the settings, as Redis remembers it for all machines.

A lost record is no loss: the next scheduled backup finds the place up to date and writes it again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

KEY = "backup:last"


@dataclass(frozen=True, kw_only=True)
class BackupStatus:
    """The last backup to the place in the settings. Fields that are not known are None."""

    age_seconds: float | None = None
    """How long ago the backed up log was the current one."""
    position: int | None = None
    failed: bool | None = None
    error: str | None = None


class LastBackup(NamedTuple):
    """What is known of the last backup; None where nothing is."""

    at: datetime | None = None
    """When the log ended at ``position``: later events are in no backup."""
    position: int | None = None
    error: str | None = None
    """Why the latest attempt failed; None if it did not."""

    def status(self) -> BackupStatus:
        """Return what ``cinelog status`` shows."""
        if self.at is None:
            return BackupStatus(failed=self.error is not None or None, error=self.error)
        age_s = round(max(0.0, (datetime.now(UTC) - self.at).total_seconds()), 3)
        return BackupStatus(
            age_seconds=age_s, position=self.position, failed=bool(self.error), error=self.error
        )


def read_last_backup(client: Any) -> LastBackup:
    """Return the record. Raises RedisError."""
    fields = {name.decode(): value.decode() for name, value in client.hgetall(KEY).items()}
    error = fields.get("error") or None
    if "at" not in fields:
        return LastBackup(error=error)
    return LastBackup(datetime.fromisoformat(fields["at"]), int(fields["position"]), error)


def write_last_backup(client: Any, at: str, position: int) -> None:
    """Record a backup, also one that found nothing new. Raises RedisError."""
    client.hset(KEY, mapping={"at": at, "position": position, "error": ""})


def write_failed_backup(client: Any, error: str) -> None:
    """Record that an attempt failed. Raises RedisError."""
    client.hset(KEY, "error", error)
