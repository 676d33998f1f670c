"""Key rotation while the service runs: a new key signs, old keys verify until they are retired.

One command at a time replaces the file; running processes follow it
(``service/auth/signing_keys.py``). A key that no longer signs loses its private part.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from joserfc.jwk import ECKey

from commands.errors import ConfigurationError
from service.auth.key_file import VARIABLE, new_key, read_keys, unreachable, write_keys

_MAX_TIME_S = 2**32  # 2106; a later time is a mistake


class KeyInfo(NamedTuple):
    """A key in the file. Times are in seconds since 1970, None if unknown."""

    kid: str
    signs: bool
    made_at: int | None
    superseded_at: int | None


def list_keys(path: Path) -> list[KeyInfo]:
    """Return the keys, the signing key first. Raises ConfigurationError."""
    return [
        KeyInfo(str(key.kid), number == 0, _time(key, "made_at"), _time(key, "superseded_at"))
        for number, key in enumerate(_existing(path))
    ]


def rotate(path: Path) -> str:
    """Add a new signing key and return its kid; the old ones verify. Raises ConfigurationError."""
    with _exclusive(path):
        last, *older = read_keys(path)
        fresh = new_key()
        superseded = _public(last) | {"superseded_at": int(time.time())}
        write_keys(path, [fresh.as_dict(private=True), superseded, *map(_public, older)])
    return str(fresh.kid)


def retire(path: Path, kid: str) -> bool:
    """Remove the key ``kid``, which ends its tokens; return False for the signing key, which stays.

    Raises ConfigurationError if there is no such key.
    """
    with _exclusive(path):
        signing, *older = read_keys(path)
        if kid == signing.kid:
            return False
        kept = [key for key in older if key.kid != kid]
        if len(kept) == len(older):
            raise ConfigurationError(VARIABLE, f"{path} holds no key {kid}")
        write_keys(path, [signing.as_dict(private=True), *map(_public, kept)])
    return True


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Exclude other commands that change the file."""
    _existing(path)
    try:
        with _locked(path.resolve()):
            yield
    except OSError as error:
        raise unreachable(path, error) from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    while True:
        with path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # While this process waited, the file may have been replaced.
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                yield
                return


def _existing(path: Path) -> list[ECKey]:
    if not path.exists():
        raise ConfigurationError(VARIABLE, f"{path} is not there; cinelog serve makes it")
    return read_keys(path)


def _public(key: ECKey) -> dict[str, Any]:
    return dict(key.as_dict(private=False))


def _time(key: ECKey, name: str) -> int | None:
    given: Any = key.get(name)
    return given if type(given) is int and 0 <= given <= _MAX_TIME_S else None
