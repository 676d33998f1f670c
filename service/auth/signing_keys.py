"""The keys that sign tokens, as a running process has them: the first of the file signs.

1. The file is made on first start (``service/auth/key_file.py``).
2. Whoever runs follows it: every worker, also on other machines that share the file. A worker that
   has yet to hear of a new key hears of it from the first token it signed.
"""

import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from joserfc.jwk import ECKey, KeySet, KeySetSerialization

from commands.errors import ConfigurationError
from service.auth.key_file import (
    ALGORITHM,
    FileFingerprint,
    fingerprint_of,
    make_file,
    read_keys,
    unreachable,
)

LOOK_S = 1.0
_PUBLIC = ("kty", "crv", "x", "y", "kid")
log = structlog.get_logger(__name__)


class _Set(NamedTuple):
    signing: KeySet
    verifying: KeySet
    kids: frozenset[str]

    @classmethod
    def of(cls, keys: list[ECKey]) -> "_Set":
        return cls(KeySet([keys[0]]), KeySet([*keys]), frozenset(str(key.kid) for key in keys))


class SigningKeys:
    """``signing`` holds the one key that signs, ``verifying`` every key that is believed.

    With ``path`` they follow that file: it is looked at before anything is signed or published, for
    an unknown ``kid``, and else once in ``LOOK_S``. A file that cannot be used changes nothing.
    ``mark`` is that of the file when the keys were read.
    """

    def __init__(
        self, keys: list[ECKey], path: Path | None = None, mark: FileFingerprint | None = None
    ) -> None:
        self.edition = 1
        self._set = _Set.of(keys)
        self._path, self._mark = path, mark
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
        entries = self._set.verifying.as_dict(private=False)["keys"]
        return {"keys": [_published(entry) for entry in entries]}

    def _look(self) -> None:
        if self._path is None:
            return
        with self._looking:
            self._look_at = time.monotonic() + LOOK_S
            mark = fingerprint_of(self._path)
            if mark == self._mark:
                return
            self._mark = mark
            try:
                self._set = _Set.of(read_keys(self._path))
            except ConfigurationError as error:
                log.error("signing keys cannot be read; the last ones stay", error=str(error))  # noqa: TRY400 - what broke stands in it
                return
            self.edition += 1
            log.info("signing keys read again", kids=[key.kid for key in self._set.verifying.keys])


def _published(entry: Any) -> Any:
    return {name: entry[name] for name in _PUBLIC} | {"use": "sig", "alg": ALGORITHM}


def load_keys(path: Path) -> SigningKeys:
    """Return the keys in ``path``, which they follow; made there if there is no such file.

    Raises ConfigurationError where the file cannot be read, made or used.
    """
    if not path.exists():
        try:
            make_file(path)
        except OSError as error:
            raise unreachable(path, error) from None
    mark = fingerprint_of(path)  # taken before, or a change in between would never be seen
    return SigningKeys(read_keys(path), path, mark)
