"""The file of a backup: written, read back, and opened again."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from commands.errors import ConfigurationError
from service.backup.catalog import Backup
from service.backup.encryption import decrypt
from service.backup.manifest import Manifest
from service.backup.place import Place
from service.errors import DamagedBackupError, DamagedFileError

_CHUNK_BYTES = 1 << 20


class Digest(NamedTuple):
    """Size and SHA-256 of a file."""

    size: int
    sha256: str


def store_file(
    place: Place, name: str, file: BinaryIO, advance: Callable[[], object] = lambda: None
) -> Digest:
    """Write a file to a place, read it back and compare. Raises DamagedBackupError, BackupError."""
    file.seek(0)
    wanted = _digest(iter(lambda: file.read(_CHUNK_BYTES), b""))
    file.seek(0)
    place.write(name, file, advance)
    if digest_of(place, name, advance) != wanted:
        raise DamagedBackupError(name, "what was read back is not what was written")
    return wanted


def digest_of(place: Place, name: str, advance: Callable[[], object] = lambda: None) -> Digest:
    """Return size and SHA-256 of a file in a place. Raises BackupError."""
    return _digest(place.read(name), advance)


class Reader:
    """Reads the files of a place, with the private keys for those that are encrypted.

    ``folder`` takes temporary files without names.
    """

    def __init__(self, place: Place, identities: list[Any], folder: Path) -> None:
        self.place = place
        self.has_key = bool(identities)
        self._identities = identities
        self._folder = folder

    @contextmanager
    def opened(self, backup: Backup, manifest: Manifest) -> Iterator[BinaryIO]:
        """Yield the decrypted file of a backup, for ``event_file``, once its SHA-256 was compared.

        Raises DamagedBackupError, also for a DamagedFileError within the context;
        ConfigurationError if the key is missing or wrong; BackupError.
        """
        if backup.encrypted and not self.has_key:
            problem = "the backup is encrypted; name the file with the private key"
            raise ConfigurationError("--identity", problem)
        with ExitStack() as stack:
            file = stack.enter_context(tempfile.TemporaryFile(dir=self._folder))
            found = _digest(_kept(self.place.read(backup.name), file))
            check_digest(backup, manifest, found)
            file.seek(0)
            try:
                if backup.encrypted:
                    plain = stack.enter_context(tempfile.TemporaryFile(dir=self._folder))
                    decrypt(file, plain, self._identities)
                    file.close()
                    plain.seek(0)
                    file = plain
                yield file
            except DamagedFileError as error:
                where = f"line {error.line}: " if error.line else ""
                raise DamagedBackupError(backup.name, f"{where}{error.reason}") from None


def check_digest(backup: Backup, manifest: Manifest, found: Digest) -> None:
    """Raise DamagedBackupError unless this is the file that the manifest describes."""
    if found != (manifest.size, manifest.sha256):
        raise DamagedBackupError(backup.name, "its SHA-256 is not that of its manifest")


def _kept(pieces: Iterator[bytes], file: BinaryIO) -> Iterator[bytes]:
    for piece in pieces:
        file.write(piece)
        yield piece


def _digest(pieces: Iterator[bytes], advance: Callable[[], object] = lambda: None) -> Digest:
    size, sha256 = 0, hashlib.sha256()
    for piece in pieces:
        size += len(piece)
        sha256.update(piece)
        advance()
    return Digest(size, sha256.hexdigest())
