"""The data directory: what lies in it, and which Cinelog may use it.

===================  ==============================================================
``format``           number of the directory's layout, and who made it
``redis.sock``       the embedded Redis, there while it answers
``redis.aof/``       its data
``redis.lock``       held by the owner of the embedded Redis and by the server itself
``redis.log``        its log
``redis.end``        how its last run ended
``port-8000.lock``   held by the processes that listen on the port
``slots.lock``       locks on its bytes count what each account holds (queries/slots.py)
``log.json``         which log was served last, and how far it was (service/known_log.py)
``store.damaged``    that an event store on PostgreSQL is damaged (SQLite: ``events.db-damaged``)
``metrics/``         what the API processes count, for as long as one of them lives
``reserve``          room that is given up when the disk is full, so that a start still works
===================  ==============================================================

The event store and the signing keys lie here too where no setting puts them elsewhere.
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
    """Create the directory for its owner alone where it is missing, and check that it can be used.

    Returns whether others could read something in it, which they cannot any more. Several commands
    may do so at once. Raises ConfigurationError that says what to do.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _refused(f"{path} is not a directory; name one") from None
    except OSError as error:
        raise _refused(
            f"cannot create {path} ({error.strerror}); choose another directory"
        ) from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise _refused(
            f"cannot write in {path}; give this user the right or choose another directory"
        )
    try:
        if not any(path.glob("*-shm")):  # nobody has the event store open: SQLite needs new files
            release_reserve(path)
        _check_format(path)
        narrowed = _narrow(path)
        _keep_reserve(path)
    except OSError as error:
        raise _refused(
            f"cannot write in {path} ({error.strerror}); choose another directory"
        ) from None
    return narrowed


def release_reserve(path: Path) -> None:
    """Give up the reserve of a data directory whose file system is full.

    A start needs a little room: SQLite and the embedded Redis make small files.
    """
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


def _narrow(path: Path) -> bool:
    """Take from others what they may do in the directory, which holds password hashes and keys.

    Return whether they could do anything.
    """
    narrowed = False
    found = [Path(folder, name) for folder, _, names in os.walk(path) for name in (".", *names)]
    for place in found:
        try:
            mode = place.lstat().st_mode
            if stat.S_ISLNK(mode) or not mode & 0o077:
                continue
            place.chmod(stat.S_IMODE(mode) & 0o700)
        except FileNotFoundError:  # a passing file of another command
            continue
        except PermissionError:
            raise _refused(
                f"{place} may be read by other users and belongs to another one;"
                " narrow its mode to its owner, or choose another directory"
            ) from None
        narrowed = True
    return narrowed


def check_data_dir(path: Path) -> bool:
    """Check that a directory that is there can be used; make nothing.

    Returns what ``prepare_data_dir`` does. Raises ConfigurationError that says what to do.
    """
    if path.exists() and not path.is_dir():
        raise _refused(f"{path} is not a directory; name one")
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
        raise _refused(f"{file} cannot be read as JSON with a number; restore it from a backup")
    if found > FORMAT:
        raise _refused(
            f"{path} was made by a newer version of Cinelog (format {found}, this one knows"
            f" {FORMAT}); use that version or another directory"
        )


def _version() -> str:
    # Slow to import, needed once in a directory's life.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("cinelog")
    except PackageNotFoundError:
        return "unknown"


def _refused(problem: str) -> ConfigurationError:
    return ConfigurationError(VARIABLE, problem)
