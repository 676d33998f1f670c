"""The signing keys of a running process: the first key of the file signs, all of them verify.

The file is made on first start (``service/auth/key_file.py``). Every worker follows it, also on
other machines that share it. A worker that has not yet read a new key reads it when it meets the
first token that the key signed.
"""

import threading
import time
from pathlib import Path
from typing import Any

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

RECHECK_S = 1.0
_PUBLIC = ("kty", "crv", "x", "y", "kid")
log = structlog.get_logger(__name__)


class SigningKeys:
    """Keys that follow the file ``path`` if given; ``fingerprint`` is from when it was read.

    The file is checked before anything is signed or published, for an unknown ``kid``, and
    otherwise every ``RECHECK_S``. A file that cannot be used leaves the keys as they are.
    """

    verifying: KeySet
    kids: frozenset[str]

    def __init__(
        self,
        keys: list[ECKey],
        path: Path | None = None,
        fingerprint: FileFingerprint | None = None,
    ) -> None:
        self.revision = 1
        self._path, self._fingerprint = path, fingerprint
        self._recheck_at = time.monotonic() + RECHECK_S
        self._reloading = threading.Lock()
        self._use(keys)

    def signing_key(self) -> KeySet:
        """Return the key to sign with, alone."""
        self._reload_if_changed()
        return self._signing

    def knows(self, kid: str) -> bool:
        """Return whether there is a key ``kid``; another worker may have used it first."""
        if kid not in self.kids:
            self._reload_if_changed()
        return kid in self.kids

    def current_revision(self) -> int:
        """Return the revision of the keys, which grows with each change."""
        if time.monotonic() >= self._recheck_at:
            self._reload_if_changed()
        return self.revision

    def public(self) -> KeySetSerialization:
        """Return the JWK Set to publish: public parts only."""
        self._reload_if_changed()
        return {"keys": [_published(key) for key in self.verifying.as_dict(private=False)["keys"]]}

    def _use(self, keys: list[ECKey]) -> None:
        self._signing, self.verifying = KeySet([keys[0]]), KeySet([*keys])
        self.kids = frozenset(str(key.kid) for key in keys)

    def _reload_if_changed(self) -> None:
        if self._path is None:
            return
        with self._reloading:
            self._recheck_at = time.monotonic() + RECHECK_S
            fingerprint = fingerprint_of(self._path)
            if fingerprint == self._fingerprint:
                return
            self._fingerprint = fingerprint
            try:
                self._use(read_keys(self._path))
            except ConfigurationError as error:
                log.error("signing keys cannot be read; the last ones stay", error=str(error))  # noqa: TRY400 - the error names the file and the problem
                return
            self.revision += 1
            log.info("signing keys read again", kids=[key.kid for key in self.verifying.keys])


def _published(key: Any) -> Any:
    return {name: key[name] for name in _PUBLIC} | {"use": "sig", "alg": ALGORITHM}


def load_keys(path: Path) -> SigningKeys:
    """Return the keys in ``path``, which they follow; the file is made if it does not exist.

    Raises ConfigurationError if the file cannot be read, made or used.
    """
    if not path.exists():
        try:
            make_file(path)
        except OSError as error:
            raise unreachable(path, error) from None
    fingerprint = fingerprint_of(path)  # before the keys: a change in between is then seen
    return SigningKeys(read_keys(path), path, fingerprint)
