"""Tokens: JWTs that Authlib's generator issues and joserfc signs and verifies.

1. An access token (RFC 9068, ``typ: at+jwt``) is checked on the event loop, without a thread and
   without Redis: only its signature and its claims decide.
2. A refresh token has its own ``typ`` and its own audience, so neither kind passes as the other.
   Its signature alone proves little: ``service/auth/sessions.py`` knows whether it was used.
3. A header consists of ``alg``, ``typ`` and ``kid`` exactly as written here. Any other header
   (``none``, another algorithm, ``crit``, ``jwk``, ``jku``, ``b64``) is refused unread.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.util import json_b64decode
from sanic import Request

from commands.errors import NotAuthenticatedError, TokenNotValidError
from service.auth.key_file import ALGORITHM
from service.auth.signing_keys import SigningKeys
from service.settings import Settings

CLIENT_ID = "cinelog"
SCOPE = "movies"
ACCESS_TYPE, REFRESH_TYPE = "at+jwt", "rt+jwt"
CACHED_TOKENS = 10_000
MAX_TOKEN_BYTES = 8192
MAX_HEADER_BYTES = 512
# How far another machine's clock may be ahead. Expiry has no leeway.
LEEWAY_S = 5


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller, as a valid token names it. ``expires_at`` is in seconds since 1970.

    A personal token has no session: its ``sid`` is "", and its ``scope`` is ``read`` or ``write``.
    """

    account_id: UUID
    username: str
    sid: str
    scope: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """The claims of a valid refresh token. Its session knows whether it was used."""

    account_id: UUID
    sid: str
    jti: str

    def check_client(self, _client: Any) -> bool:
        """Return True: there is one client. Authlib calls it."""
        return True

    def get_scope(self) -> str:
        """Return the only scope. Authlib calls it."""
        return SCOPE


@dataclass(frozen=True, slots=True)
class TokenSubject:
    """The account and session to issue a pair for; ``jti`` identifies the refresh token."""

    account_id: UUID
    username: str
    sid: str
    jti: str

    def get_user_id(self) -> str:
        """Return the ``sub`` claim. Authlib calls it."""
        return str(self.account_id)


class TokenResponse(dict[str, Any]):
    """The response of a grant (RFC 6749, 5.1). Authlib logs it: its repr hides the tokens."""

    def __repr__(self) -> str:
        return "TokenResponse(...)"


class TokenGenerator(JWTBearerTokenGenerator):  # type: ignore[misc]
    """Issues pairs of tokens, signed by the one current key; from several, Authlib takes any."""

    def __init__(self, keys: SigningKeys, settings: Settings) -> None:
        # Without a lifetime of ours the password grant's would be ten days.
        super().__init__(settings.issuer, ALGORITHM, self._refresh_token, settings.access_ttl_s)
        self._keys = keys
        self._settings = settings

    def generate(self, *args: Any, **kwargs: Any) -> TokenResponse:
        """Return a pair."""
        return TokenResponse(super().generate(*args, **kwargs))

    def get_jwks(self) -> KeySet:
        """Return the key to sign with."""
        return self._keys.signing_key()

    def get_audiences(self, *_: Any) -> str:
        """Return the audience of an access token."""
        return self._settings.audience

    def get_extra_claims(
        self, _client: Any, _grant: str, user: TokenSubject, _scope: str
    ) -> dict[str, str]:
        """Return the claims of an access token that RFC 9068 does not name."""
        return {"sid": user.sid, "username": user.username}

    def _refresh_token(self, *, user: TokenSubject, **_: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self._settings.issuer,
            "aud": _refresh_audience(self._settings),
            "sub": user.get_user_id(),
            "iat": now,
            "exp": now + self._settings.refresh_ttl_s,
            "jti": user.jti,
            "client_id": CLIENT_ID,
            "sid": user.sid,
        }
        return jwt.encode({"alg": ALGORITHM, "typ": REFRESH_TYPE}, claims, self.get_jwks())


class Tokens:
    """Verifies tokens. Thread-safe but for ``check``, which belongs to the event loop."""

    def __init__(self, keys: SigningKeys, settings: Settings) -> None:
        self.keys = keys
        self.generator = TokenGenerator(keys, settings)
        self._settings = settings
        self._principals: OrderedDict[str, Principal] = OrderedDict()
        self._keys_revision = keys.revision

    def check(self, token: str) -> Principal:
        """Return the caller that an access token names. Raises TokenNotValidError.

        A token that was checked before costs one look-up, until it expires or the keys change.
        """
        if self.keys.current_revision() != self._keys_revision:
            self._keys_revision = self.keys.revision
            self._principals.clear()
        principal = self._principals.get(token)
        if principal is None:
            principal = self._principals[token] = self.read_access(token)
            if len(self._principals) > CACHED_TOKENS:
                self._principals.popitem(last=False)
            return principal
        if principal.expires_at <= time.time():
            del self._principals[token]
            raise TokenNotValidError
        self._principals.move_to_end(token)
        return principal

    def read_access(self, token: str) -> Principal:
        """Return the caller that an access token names, verified. Raises TokenNotValidError."""
        claims = self._verified(token, ACCESS_TYPE, self._settings.audience)
        subject, _, username, sid, scope = _texts(claims, "sub", "jti", "username", "sid", "scope")
        return Principal(_uuid(subject), username, sid, scope, claims["exp"])

    def read_refresh(self, token: str) -> RefreshToken:
        """Return the claims of a refresh token, used or not. Raises TokenNotValidError."""
        claims = self._verified(token, REFRESH_TYPE, _refresh_audience(self._settings))
        subject, sid, jti = _texts(claims, "sub", "sid", "jti")
        return RefreshToken(_uuid(subject), sid, jti)

    def _verified(self, token: str, typ: str, audience: str) -> dict[str, Any]:
        _check_header(token, typ, self.keys)
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": audience},
            client_id={"essential": True, "value": CLIENT_ID},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            claims = jwt.decode(token, self.keys.verifying, [ALGORITHM]).claims
            registry.validate(claims)
        except (JoseError, ValueError):
            raise TokenNotValidError from None
        if claims["exp"] <= time.time():
            raise TokenNotValidError
        return claims


def _refresh_audience(settings: Settings) -> str:
    return f"{settings.issuer.rstrip('/')}/api/v1/auth/token/refresh/"


def _check_header(token: str, typ: str, keys: SigningKeys) -> None:
    """Raise TokenNotValidError unless the header is exactly the one that ``typ`` is issued with."""
    segment = token.partition(".")[0]
    if len(token) > MAX_TOKEN_BYTES or len(segment) > MAX_HEADER_BYTES or not token.isascii():
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


def _texts(claims: dict[str, Any], *names: str) -> list[str]:
    values = [claims.get(name) for name in names]
    if not all(isinstance(value, str) and value for value in values):
        raise TokenNotValidError
    return [str(value) for value in values]


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise TokenNotValidError from None


def principal_of(request: Request) -> Principal:
    """Return the caller of ``request``; handlers read ``request.principal`` instead.

    Raises NotAuthenticatedError without Bearer credentials (another scheme counts as none),
    TokenNotValidError if they are not valid or sent more than once.
    """
    headers = request.headers.getall("authorization", [])
    if len(headers) > 1:
        raise TokenNotValidError
    scheme, _, token = "".join(headers).strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticatedError
    tokens: Tokens = request.app.ctx.container.tokens
    return tokens.check(token)
