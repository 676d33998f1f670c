"""The data directory: its files, its format and its file modes.

===================  ==============================================================
``format``           version of the directory's layout, and of the Cinelog that created it
``redis.sock``       the embedded Redis, while it answers
``redis.aof/``       its data
``redis.lock``       held by the owner of the embedded Redis and by the server itself
``redis.log``        its log
``redis.end``        how its last run ended
``port-8000.lock``   held by the processes that listen on the port
``slots.lock``       locks on its bytes count the slots of each account (queries/admission/slots.py)
``log.json``         identity and position of the log served last (service/known_log.py)
``store.damaged``    marks a damaged event store on PostgreSQL (SQLite: ``events.db-damaged``)
``metrics/``         metrics of the API processes, while one of them lives
``reserve``          space that a start releases when the disk is full
===================  ==============================================================

The event store and the signing keys are also here, unless a setting names another place.
"""

import json
import os
import stat
from contextlib import suppress
from pathlib import Path

from commands.errors import ConfigurationError
from service.durable_file import replacing

VARIABLE = "CINELOG_DATA_DIR"
FORMAT = 1
METRICS = "metrics"
STORE_DAMAGED = "store.damaged"
REDIS_SOCKET = "redis.sock"
REDIS_LOG = "redis.log"
REDIS_DATA = "redis.aof"
REDIS_END = "redis.end"
REDIS_LOCK = "redis.lock"
RESERVE = "reserve"
RESERVE_BYTES = 2 * 1024 * 1024


def prepare_data_dir(path: Path) -> bool:
    """Create the directory, mode 0700, if it is missing, and check it. Safe to run concurrently.

    Removes access for other users and returns whether they had any. Raises ConfigurationError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _error(f"{path} is not a directory; name one") from None
    except OSError as error:
        raise _error(f"cannot create {path} ({error.strerror}); choose another directory") from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise _error(
            f"cannot write in {path}; give this user the right or choose another directory"
        )
    try:
        if not any(path.glob("*-shm")):  # the event store is closed: SQLite will create files
            release_reserve(path)
        _check_format(path)
        restricted = _restrict_modes(path)
        _keep_reserve(path)
    except OSError as error:
        raise _error(
            f"cannot write in {path} ({error.strerror}); choose another directory"
        ) from None
    return restricted


def release_reserve(path: Path) -> None:
    """Delete the reserve if the file system is full: SQLite and Redis create files at a start."""
    if _free_bytes(path) < RESERVE_BYTES:
        (path / RESERVE).unlink(missing_ok=True)


def _keep_reserve(path: Path) -> None:
    if (path / RESERVE).exists() or _free_bytes(path) < 8 * RESERVE_BYTES:
        return
    with suppress(OSError), replacing(path / RESERVE) as file:  # a quota, say
        file.write(bytes(RESERVE_BYTES))


def _free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _restrict_modes(path: Path) -> bool:
    """Remove access for other users, since the files hold password hashes and keys.

    Returns whether they had any.
    """
    restricted = False
    paths = [Path(folder, name) for folder, _, names in os.walk(path) for name in (".", *names)]
    for place in paths:
        try:
            mode = place.lstat().st_mode
            if stat.S_ISLNK(mode) or not mode & 0o077:
                continue
            place.chmod(stat.S_IMODE(mode) & 0o700)
        except FileNotFoundError:  # a temporary file of another command
            continue
        except PermissionError:
            raise _error(
                f"{place} may be read by other users and belongs to another one;"
                " narrow its mode to its owner, or choose another directory"
            ) from None
        restricted = True
    return restricted


def check_data_dir(path: Path) -> bool:
    """Prepare the directory if it exists, and create nothing otherwise.

    Returns and raises like ``prepare_data_dir``.
    """
    if path.exists() and not path.is_dir():
        raise _error(f"{path} is not a directory; name one")
    return (path / "format").exists() and prepare_data_dir(path)


def _check_format(path: Path) -> None:
    file = path / "format"
    if not file.exists():
        with replacing(file) as new:
            new.write(json.dumps({"format": FORMAT, "cinelog": _version()}).encode() + b"\n")
    try:
        found = json.loads(file.read_bytes())["format"]
    except (ValueError, KeyError, TypeError):
        found = None
    if type(found) is not int:
        raise _error(f"{file} cannot be read as JSON with a number; restore it from a backup")
    if found > FORMAT:
        raise _error(
            f"{path} was made by a newer version of Cinelog (format {found}, this one knows"
            f" {FORMAT}); use that version or another directory"
        )


def _version() -> str:
    # A slow import, needed only to create the directory.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("cinelog")
    except PackageNotFoundError:
        return "unknown"


def _error(problem: str) -> ConfigurationError:
    return ConfigurationError(VARIABLE, problem)
