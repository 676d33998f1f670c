"""The file of signing keys: read, validated, written.

1. It is a JWK Set, readable by its owner only. Every key is an EC key on P-256 for ES256; its
   ``kid`` is its RFC 7638 thumbprint unless the file says otherwise. A key without its private part
   only verifies. A file with a key of another kind is refused as a whole.
2. If several processes make it at once, one succeeds and all read its file.
3. A file that cannot be used is refused in one line. No new key takes its place: that would end
   every session silently.
"""

import contextlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from commands.errors import ConfigurationError
from service.durable_file import replacing

ALGORITHM = "ES256"
CURVE = "P-256"
VARIABLE = "CINELOG_SIGNING_KEYS"
# It is part of the header of every token, whose length is bounded.
_KID = re.compile(r"[\x20-\x7e]{1,128}")


class FileFingerprint(NamedTuple):
    """File attributes of which one differs after every change, permissions included."""

    inode: int
    changed_ns: int
    size: int


def fingerprint_of(path: Path) -> FileFingerprint | None:
    """Return the fingerprint of a file, None if it does not exist."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return FileFingerprint(stat.st_ino, stat.st_ctime_ns, stat.st_size)


def read_keys(path: Path) -> list[ECKey]:
    """Return the keys in a file. Raises ConfigurationError if it cannot be read or used."""
    try:
        return _parse(path.read_bytes(), path)
    except OSError as error:
        raise unreachable(path, error) from None


def new_key() -> ECKey:
    """Return a new random key."""
    parameters: Any = {"use": "sig", "alg": ALGORITHM, "made_at": int(time.time())}
    return ECKey.generate_key(CURVE, parameters, auto_kid=True)


def write_keys(path: Path, entries: list[Any], *, overwrite: bool = True) -> None:
    """Write a JWK Set to ``path``, whole or not at all. Raises OSError."""
    owner = path.stat() if path.exists() else None
    with replacing(path, overwrite=overwrite) as file:
        file.write(json.dumps({"keys": entries}, indent=2).encode())
        if owner and os.geteuid() == 0:  # or the service, under another user, could not read it
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)


def make_file(path: Path) -> None:
    """Write a new key to ``path`` unless another process was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        write_keys(path, [new_key().as_dict(private=True)], overwrite=False)


def _parse(content: bytes, path: Path) -> list[ECKey]:
    try:
        entries = json.loads(content)["keys"]
        if not all(_may_be_used(entry) for entry in entries):
            raise _broken(path, "holds a key whose key_ops do not allow its use")
        keys = [ECKey.import_key(_without_operations(entry)) for entry in entries]
        for key in keys:
            key.ensure_kid()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, JoseError):
        # The parser's message may quote the key.
        raise _broken(path, "is no JWK Set of EC keys") from None
    if not keys:
        raise _broken(path, "holds no key")
    if any(key.curve_name != CURVE or key.get("use", "sig") != "sig" for key in keys):
        raise _broken(path, f"holds a key that is not for signatures on {CURVE}")
    if any(key.get("alg", ALGORITHM) != ALGORITHM for key in keys):
        raise _broken(path, f"holds a key that is not for {ALGORITHM}")
    if not keys[0].is_private:
        raise _broken(path, "begins with a key that cannot sign")
    if not all(_KID.fullmatch(str(key.kid)) for key in keys):
        raise _broken(path, "holds a kid that is not 1 to 128 printable ASCII characters")
    if len({key.kid for key in keys}) < len(keys):
        raise _broken(path, "holds two keys with one kid")
    return keys


def _may_be_used(entry: Any) -> bool:
    """Return whether ``key_ops`` (RFC 7517, 4.3) allows the use of the key."""
    allowed = entry.get("key_ops")
    return allowed is None or ("sign" if "d" in entry else "verify") in allowed


def _without_operations(entry: Any) -> Any:
    """Return the entry without ``key_ops``: the signing key must also verify."""
    return {name: value for name, value in entry.items() if name != "key_ops"}


def unreachable(path: Path, error: OSError) -> ConfigurationError:
    """Return the error for a file that the operating system denies."""
    problem = f"{path} cannot be read or made ({error.strerror}); check path and rights"
    return ConfigurationError(VARIABLE, problem)


def _broken(path: Path, problem: str) -> ConfigurationError:
    advice = "restore it, or move it away to have a new one made (every account signs in again)"
    return ConfigurationError(VARIABLE, f"{path} {problem}; {advice}")
