"""The place of backups: a directory, or any other storage that ``fsspec`` reaches (S3, SFTP, …).

A place is flat: it holds files by name. A file that was written is durable, and its name stands for
the whole content or is absent. Every method raises BackupError.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

from commands.errors import ConfigurationError
from service.durable_file import replacing
from service.errors import BackupError

VARIABLE = "CINELOG_BACKUP_URL"
_CHUNK_BYTES = 1 << 20


class Place(Protocol):
    """Where backups are kept."""

    url: str
    """What to call it in messages: without a password."""

    def names(self) -> list[str]:
        """Return the names of all files, in no order."""

    def write(self, name: str, file: BinaryIO, advance: Callable[[], object]) -> None:
        """Store the rest of a file; ``advance`` is called after each piece."""

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file in pieces."""

    def delete(self, name: str) -> None:
        """Delete a file."""


def open_place(url: str) -> Place:
    """Return the place at a path or a URL. Raises ConfigurationError."""
    parts = urlsplit(url)
    if not url:
        raise ConfigurationError(VARIABLE, "name a directory or a URL such as s3://bucket/cinelog")
    if not parts.scheme:
        return Directory(Path(url).absolute())
    if parts.scheme == "file":
        return Directory(Path(parts.path))
    return FsspecPlace(url)


class Directory:
    """A directory of this machine, created if only its last part is missing (mode 0700)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = str(path)

    def names(self) -> list[str]:  # noqa: D102
        with _translating(self.url):
            return [one.name for one in self._path.iterdir()] if self._path.exists() else []

    def write(self, name: str, file: BinaryIO, advance: Callable[[], object]) -> None:  # noqa: D102
        with _translating(self.url):
            self._path.mkdir(mode=0o700, exist_ok=True)
            with replacing(self._path / name) as out:
                _copy(file, out, advance)

    def read(self, name: str) -> Iterator[bytes]:  # noqa: D102
        with _translating(self.url), (self._path / name).open("rb") as file:
            # What was just written is read from the disk, not from memory.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while piece := file.read(_CHUNK_BYTES):
                yield piece

    def delete(self, name: str) -> None:  # noqa: D102
        with _translating(self.url):
            (self._path / name).unlink(missing_ok=True)


class FsspecPlace:
    """A URL that ``fsspec`` understands; credentials come from the usual variables of its store."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self.url = f"{parts.scheme}://{host}{parts.path}"
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra
        except ImportError:
            problem = f"{self.url} needs fsspec; install cinelog[backup], or name a directory"
            raise ConfigurationError(VARIABLE, problem) from None
        try:
            # Without caches: another machine writes to the same place.
            self._fs, self._root = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:  # a driver is missing; an unknown scheme
            raise ConfigurationError(VARIABLE, f"{self.url}: {error}") from None

    def names(self) -> list[str]:  # noqa: D102
        with _translating(self.url):
            self._fs.invalidate_cache()
            return [path.rpartition("/")[2] for path in self._fs.find(self._root)]

    def write(self, name: str, file: BinaryIO, advance: Callable[[], object]) -> None:  # noqa: D102
        with _translating(self.url), self._fs.open(self._path_of(name), "wb") as out:
            _copy(file, out, advance)

    def read(self, name: str) -> Iterator[bytes]:  # noqa: D102
        with (
            _translating(self.url),
            # Read once, from front to end.
            self._fs.open(self._path_of(name), "rb", cache_type="readahead") as file,
        ):
            while piece := file.read(_CHUNK_BYTES):
                yield piece

    def delete(self, name: str) -> None:  # noqa: D102
        with _translating(self.url):
            self._fs.rm_file(self._path_of(name))

    def _path_of(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


def _copy(file: BinaryIO, out: Any, advance: Callable[[], object]) -> None:
    while piece := file.read(_CHUNK_BYTES):
        out.write(piece)
        advance()


@contextmanager
def _translating(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(f"{url}: {error.strerror or error or type(error).__name__}") from error
    except Exception as error:  # each store has errors of its own
        raise BackupError(f"{url}: {type(error).__name__}: {error}") from error
