"""The manifest of a backup: what its file holds. Two lines: JSON, and the SHA-256 of the first."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from commands.event_store.log.event_log import LogMark
from service.backup.catalog import Backup
from service.backup.place import Place
from service.errors import DamagedBackupError

FORMAT = 1
_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    at: str
    """When the log ended at its last event, RFC 3339: the backup is as good as that moment."""
    events: int
    total: int
    """The number of events of the log up to its last event."""
    last: LogMark
    """Its last event."""
    latest: str
    """The latest timestamp of the log up to its last event, "" if no event has one."""
    size: int
    """Size of its file in bytes."""
    sha256: str
    """Of its file, compressed and encrypted as it is."""

    def to_bytes(self) -> bytes:
        """Return the content of the manifest's file."""
        fields = {"cinelog": "backup", "format": FORMAT, **asdict(self), "last": list(self.last)}
        line = orjson.dumps(fields)
        return line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes) -> "Manifest":
        """Return what ``to_bytes`` wrote. Raises ValueError."""
        line, _, rest = content.partition(b"\n")
        if rest != hashlib.sha256(line).hexdigest().encode() + b"\n":
            raise ValueError("the manifest was changed or is cut off")
        fields: dict[str, Any] = orjson.loads(line)
        if fields.pop("cinelog", None) != "backup" or fields.pop("format", 0) != FORMAT:
            raise ValueError("the manifest has a format that this version of Cinelog does not read")
        try:
            return cls(**fields | {"last": LogMark(*fields["last"])})
        except (TypeError, LookupError):
            raise ValueError("the manifest lacks a field") from None


def read_manifest(place: Place, backup: Backup) -> Manifest:
    """Return the manifest of a backup. Raises DamagedBackupError, BackupError."""
    content = b""
    for piece in place.read(backup.manifest):
        content += piece
        if len(content) > _MAX_BYTES:
            break
    try:
        manifest = Manifest.from_bytes(content)
    except ValueError as error:
        raise DamagedBackupError(backup.manifest, str(error)) from None
    if manifest.last.position != backup.until:
        raise DamagedBackupError(backup.manifest, "it is the manifest of another backup")
    return manifest
