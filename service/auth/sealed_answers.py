"""Answers sealed under the token that they answer: only its holder can read them.

The answer to a refresh waits in Redis for a client whose connection was lost. Redis writes what it
holds into a file, where it stays after it has expired. The key is made from the presented token,
which is kept nowhere, so what lies in the file is of no use to a reader of it.
"""

import hashlib

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from commands.errors import TokenNotValidError

_HEADER = {"alg": "dir", "enc": "A256GCM"}


def seal(answer: bytes, token: str) -> bytes:
    """Return the answer as a JWE (RFC 7516) that ``unseal`` opens with the same token."""
    return jwe.encrypt_compact(_HEADER, answer, _key(token)).encode()


def unseal(sealed: bytes, token: str) -> bytes:
    """Return a sealed answer. Raises TokenNotValidError for another token."""
    try:
        plaintext = jwe.decrypt_compact(sealed, _key(token)).plaintext
    except (JoseError, ValueError):
        raise TokenNotValidError from None
    if plaintext is None:
        raise TokenNotValidError
    return plaintext


def _key(token: str) -> OctKey:
    digest = hashlib.blake2b(token.encode(), digest_size=32, person=b"cinelog-answer")
    return OctKey.import_key(digest.digest())
