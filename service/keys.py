"""The keys that sign tokens: a JWK Set in a file, the first key signs and every key verifies.

1. The file is made on first start, readable by its owner only; of several processes that start
   at once one makes it and all read the same.
2. Every key is an EC key on P-256 for ES256; its ``kid`` is its RFC 7638 thumbprint unless the
   file says otherwise. A key without its private part verifies only.
3. A file that cannot be used stops the start with one line; no key is made in its place, or all
   tokens out there would end without a word.
"""

import contextlib
import json
import os
import secrets
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, KeySetSerialization

from commands.errors import ConfigurationError

ALGORITHM = "ES256"
CURVE = "P-256"
VARIABLE = "CINELOG_SIGNING_KEYS"


class _Set(NamedTuple):
    signing: KeySet
    verifying: KeySet
    kids: frozenset[str]


class SigningKeys:
    """``signing`` holds the one key that signs, ``verifying`` every key that is believed.

    With ``path`` they follow that file: it is looked at before anything is signed or published, for
    an unknown ``kid``, and else once in ``LOOK_S``. A file that cannot be used changes nothing.
    """

    def __init__(self, keys: list[ECKey], path: Path | None = None) -> None:
        self.edition = 1
        self._path = path
        self._set = _set_of(keys)
        self._seen = _mark(path) if path else None
        self._look_at = time.monotonic() + LOOK_S
        self._looking = threading.Lock()

    @property
    def signing(self) -> KeySet:
        """The key to sign with, alone."""
        self._look()
        return self._set.signing

    @property
    def verifying(self) -> KeySet:
        """The keys to verify with."""
        return self._set.verifying

    @property
    def kids(self) -> frozenset[str]:
        """The ids of the keys to verify with."""
        return self._set.kids

    def knows(self, kid: str) -> bool:
        """Tell whether there is a key ``kid``; another worker may have been the first to use it."""
        if kid not in self._set.kids:
            self._look()
        return kid in self._set.kids

    def follow(self) -> int:
        """Return the number of the edition, one more with each change of the keys."""
        if time.monotonic() >= self._look_at:
            self._look()
        return self.edition

    def public(self) -> KeySetSerialization:
        """Return the JWK Set that anyone may know: public parts only."""
        self._look()
        return self._set.verifying.as_dict(private=False, use="sig", alg=ALGORITHM)

    def _look(self) -> None:
        if self._path is None:
            return
        with self._looking:
            self._look_at = time.monotonic() + LOOK_S
            mark = _mark(self._path)
            if mark == self._seen:
                return
            self._seen = mark
            try:
                self._set = _set_of(_parse(self._path.read_bytes(), self._path))
            except (OSError, ConfigurationError) as error:
                log.error("signing keys cannot be read, the last ones stay", error=str(error))
            else:
                self.edition += 1
                log.info("signing keys read again", kids=sorted(self._set.kids))


def _set_of(keys: list[ECKey]) -> _Set:
    return _Set(KeySet([keys[0]]), KeySet([*keys]), frozenset(str(key.kid) for key in keys))


def _mark(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file's content; None where there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def load_keys(path: Path) -> SigningKeys:
    """Return the keys in ``path``, made there if there is no such file.

    Raises ConfigurationError where the file cannot be read, made or used.
    """
    try:
        if not path.exists():
            _make(path)
        content = path.read_bytes()
    except OSError as error:
        problem = f"{path} cannot be read or made ({error.strerror}); check path and rights"
        raise ConfigurationError(VARIABLE, problem) from None
    return SigningKeys(_parse(content, path), path)


def _make(path: Path) -> None:
    """Write a new key to ``path`` unless another process was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = KeySet([ECKey.generate_key(CURVE, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)])
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(fresh.as_dict(private=True), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        # A link shows the whole file at once and never replaces one that is there.
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _parse(content: bytes, path: Path) -> list[ECKey]:
    try:
        entries = json.loads(content)["keys"]
        keys = [ECKey.import_key(entry) for entry in entries]
        for key in keys:
            key.ensure_kid()
    except (ValueError, KeyError, TypeError, RecursionError, JoseError):
        # What the parser says may quote the key, so it is not passed on.
        raise _broken(path, "is no JWK Set of EC keys") from None
    if not keys:
        raise _broken(path, "holds no key")
    if any(key.curve_name != CURVE or key.get("use", "sig") != "sig" for key in keys):
        raise _broken(path, f"holds a key that is not for signatures on {CURVE}")
    if any(key.get("alg", ALGORITHM) != ALGORITHM for key in keys):
        raise _broken(path, f"holds a key that is not for {ALGORITHM}")
    if not keys[0].is_private:
        raise _broken(path, "begins with a key that cannot sign")
    if len({key.kid for key in keys}) < len(keys):
        raise _broken(path, "holds two keys with one kid")
    return keys


def _broken(path: Path, problem: str) -> ConfigurationError:
    advice = "restore it, or move it away to have a new one made (every account signs in again)"
    return ConfigurationError(VARIABLE, f"{path} {problem}; {advice}")
