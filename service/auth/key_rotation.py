"""Changing the signing keys while the service runs: a new one signs, old ones verify, then go.

The file is replaced in one step, by one command at a time; whoever runs follows it
(``service/auth/signing_keys.py``). Of a key that no longer signs the private part is not kept.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from joserfc.jwk import ECKey

from commands.errors import ConfigurationError
from service.auth.key_file import VARIABLE, new_key, read_keys, unreachable, written_aside

_LAST_S = 2**32  # 2106: later times are no times of keys


class Listed(NamedTuple):
    """A key in the file. Times are in seconds since 1970, None where they are not known."""

    kid: str
    signs: bool
    made_at: int | None
    superseded_at: int | None


def list_keys(path: Path) -> list[Listed]:
    """Return the keys, the one that signs first. Raises ConfigurationError."""
    return [
        Listed(str(key.kid), number == 0, _time(key, "made_at"), _time(key, "superseded_at"))
        for number, key in enumerate(_present(path))
    ]


def rotate(path: Path) -> str:
    """Let a new key sign and the old ones verify; return its kid. Raises ConfigurationError."""
    with _alone(path) as replace:
        last, *older = read_keys(path)
        fresh = new_key()
        superseded = _public(last) | {"superseded_at": int(time.time())}
        replace([fresh.as_dict(private=True), superseded, *map(_public, older)])
    return str(fresh.kid)


def retire(path: Path, kid: str) -> bool:
    """Believe no more what the key ``kid`` signed; False for the key that signs, which stays.

    Raises ConfigurationError where there is no such key.
    """
    with _alone(path) as replace:
        signing, *older = read_keys(path)
        if kid == signing.kid:
            return False
        kept = [key for key in older if key.kid != kid]
        if len(kept) == len(older):
            raise ConfigurationError(VARIABLE, f"{path} holds no key {kid}")
        replace([signing.as_dict(private=True), *map(_public, kept)])
    return True


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[Callable[[list[Any]], None]]:
    """Keep other commands out; yield what replaces the file by one with these JWKs."""
    _present(path)
    path = path.resolve()  # what a link points to is replaced, not the link
    try:
        with _locked(path):
            yield lambda entries: _replace(path, entries)
    except OSError as error:
        raise unreachable(path, error) from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    while True:
        with path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Who waited may hold a file that was replaced meanwhile.
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                yield
                return


def _replace(path: Path, entries: list[Any]) -> None:
    owner = path.stat()
    with written_aside(path, entries) as aside:
        if os.geteuid() == 0:  # or the service, under another user, could not read it
            os.chown(aside, owner.st_uid, owner.st_gid)
        aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _present(path: Path) -> list[ECKey]:
    if not path.exists():
        raise ConfigurationError(VARIABLE, f"{path} is not there; cinelog serve makes it")
    return read_keys(path)


def _public(key: ECKey) -> dict[str, Any]:
    return dict(key.as_dict(private=False))


def _time(key: ECKey, name: str) -> int | None:
    given: Any = key.get(name)
    return given if type(given) is int and 0 <= given <= _LAST_S else None
