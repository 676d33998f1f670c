"""What our JWTs look like, to the letter: headers, types, and Authlib's classes set up for them.

A header says ``alg``, ``typ`` and ``kid``, as we write them, and nothing else. What other headers
could bring in (``none``, another algorithm, ``crit``, ``jwk``, ``jku``, ``b64``) is refused before
anything is done with it.
"""

from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc9068 import (  # type: ignore[import-untyped]
    JWTBearerTokenGenerator,
    JWTBearerTokenValidator,
)
from joserfc.jwk import KeySet
from joserfc.util import json_b64decode

from commands.errors import TokenNotValidError
from service.auth.key_file import ALGORITHM
from service.auth.signing_keys import SigningKeys
from service.settings import Settings

CLIENT_ID = "cinelog"
SCOPE = "movies"
ACCESS_TYPE = "at+jwt"
REFRESH_TYPE = "rt+jwt"
MAX_TOKEN_BYTES = 8192
MAX_HEADER_BYTES = 512
# How far ahead another machine's clock may be. Expiry knows no such grace.
LEEWAY_S = 5


def check_header(token: str, typ: str, keys: SigningKeys) -> None:
    """Raise TokenNotValidError unless the header is one that we write for ``typ``."""
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        raise TokenNotValidError
    segment = token.partition(".")[0]
    if len(segment) > MAX_HEADER_BYTES:
        raise TokenNotValidError
    try:
        header = json_b64decode(segment.encode())
    except (ValueError, RecursionError):
        raise TokenNotValidError from None
    kid = header.get("kid") if isinstance(header, dict) else None
    if not isinstance(kid, str) or not keys.knows(kid):
        raise TokenNotValidError
    if header != {"alg": ALGORITHM, "typ": typ, "kid": kid}:
        raise TokenNotValidError


def texts(claims: dict[str, Any], *names: str) -> list[str]:
    """Return these claims. Raises ValueError where one is missing, blank or no text."""
    values = [claims.get(name) for name in names]
    if not all(isinstance(value, str) and value for value in values):
        raise ValueError("a claim is missing or no text")
    return [str(value) for value in values]


class Generator(JWTBearerTokenGenerator):  # type: ignore[misc]
    """Makes pairs of tokens. Takes the signing key alone: of several Authlib would take any."""

    def __init__(self, keys: SigningKeys, settings: Settings, refresh: Callable[..., str]) -> None:
        # Without a lifetime of ours the password grant's would be ten days.
        super().__init__(settings.issuer, ALGORITHM, refresh, settings.access_ttl_s)
        self._keys = keys
        self._audience = settings.audience

    def get_jwks(self) -> KeySet:
        """Return the key to sign with."""
        return self._keys.signing

    def get_audiences(self, client: Any, user: Any, scope: str) -> str:  # noqa: ARG002 - Authlib's
        """Return whom an access token is for."""
        return self._audience

    def get_extra_claims(self, client: Any, grant_type: str, user: Any, scope: str) -> Any:  # noqa: ARG002 - Authlib's
        """Return what our access tokens say beyond RFC 9068."""
        return {"sid": user.sid, "username": user.username}


class Validator(JWTBearerTokenValidator):  # type: ignore[misc]
    """Checks access tokens. It lets one without ``typ`` pass: ``check_header`` comes first."""

    def __init__(self, keys: SigningKeys, settings: Settings) -> None:
        super().__init__(settings.issuer, settings.audience)
        self._keys = keys

    def get_jwks(self) -> KeySet:
        """Return the keys to verify with."""
        return self._keys.verifying
