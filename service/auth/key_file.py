"""The file of signing keys: read, checked, made, and never seen half written.

1. It is a JWK Set, readable by its owner only. Every key is an EC key on P-256 for ES256; its
   ``kid`` is its RFC 7638 thumbprint unless the file says otherwise. A key without its private part
   verifies only. A file with a key of another kind is refused as a whole.
2. Of several processes that make it at once one does and all read the same.
3. A file that cannot be used is refused in one line; no key is made in its place, or all tokens out
   there would end without a word.
"""

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from commands.errors import ConfigurationError

ALGORITHM = "ES256"
CURVE = "P-256"
VARIABLE = "CINELOG_SIGNING_KEYS"
# It stands in the header of every token, which has a bound.
_KID = re.compile(r"[\x20-\x7e]{1,128}")


class FileFingerprint(NamedTuple):
    """What differs with every change of a file, its rights included."""

    inode: int
    changed_ns: int
    size: int


def fingerprint_of(path: Path) -> FileFingerprint | None:
    """Return the mark of a file; None where there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return FileFingerprint(stat.st_ino, stat.st_ctime_ns, stat.st_size)


def read_keys(path: Path) -> list[ECKey]:
    """Return the keys in a file. Raises ConfigurationError where it cannot be read or used."""
    try:
        return _parse(path.read_bytes(), path)
    except OSError as error:
        raise unreachable(path, error) from None


def new_key() -> ECKey:
    """Return a key that nobody has."""
    made: Any = {"use": "sig", "alg": ALGORITHM, "made_at": int(time.time())}
    return ECKey.generate_key(CURVE, made, auto_kid=True)


@contextlib.contextmanager
def written_aside(path: Path, entries: list[Any]) -> Iterator[Path]:
    """Yield a whole and durable file beside ``path``, for its owner only, that holds the JWKs."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"keys": entries}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        yield aside
    finally:
        aside.unlink(missing_ok=True)


def make_file(path: Path) -> None:
    """Write a new key to ``path`` unless another process was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A link shows the whole file at once and never replaces one that is there.
    with (
        written_aside(path, [new_key().as_dict(private=True)]) as aside,
        contextlib.suppress(FileExistsError),
    ):
        os.link(aside, path)


def _parse(content: bytes, path: Path) -> list[ECKey]:
    try:
        entries = json.loads(content)["keys"]
        if not all(_may_be_used(entry) for entry in entries):
            raise _broken(path, "holds a key whose key_ops do not allow its use")
        keys = [ECKey.import_key(_without_operations(entry)) for entry in entries]
        for key in keys:
            key.ensure_kid()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, JoseError):
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
    if not all(_KID.fullmatch(str(key.kid)) for key in keys):
        raise _broken(path, "holds a kid that is not 1 to 128 printable ASCII characters")
    if len({key.kid for key in keys}) < len(keys):
        raise _broken(path, "holds two keys with one kid")
    return keys


def _may_be_used(entry: Any) -> bool:
    """Return whether ``key_ops`` (RFC 7517, 4.3) allows what the key is there for."""
    allowed = entry.get("key_ops")
    return allowed is None or ("sign" if "d" in entry else "verify") in allowed


def _without_operations(entry: Any) -> Any:
    """Return the entry without ``key_ops``: the key that signs also verifies, whatever they say."""
    return {name: value for name, value in entry.items() if name != "key_ops"}


def unreachable(path: Path, error: OSError) -> ConfigurationError:
    """Return the refusal of a file that the system does not let us have."""
    problem = f"{path} cannot be read or made ({error.strerror}); check path and rights"
    return ConfigurationError(VARIABLE, problem)


def _broken(path: Path, problem: str) -> ConfigurationError:
    advice = "restore it, or move it away to have a new one made (every account signs in again)"
    return ConfigurationError(VARIABLE, f"{path} {problem}; {advice}")
