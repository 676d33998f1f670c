"""Tokens: JWTs that Authlib issues and checks, with joserfc keys.

1. An access token (RFC 9068, ``typ: at+jwt``) is checked on the event loop, without a thread and
   without Redis: its signature and its claims are all there is to ask.
2. A refresh token has its own ``typ`` and its own audience, so neither ever passes as the other.
   Its signature alone proves little: ``service/auth/sessions.py`` knows whether it was used.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from authlib.oauth2.base import OAuth2Error  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import JoseError
from sanic import Request

from commands.errors import NotAuthenticatedError, TokenNotValidError
from service.auth.jwt import (
    ACCESS_TYPE,
    CLIENT_ID,
    LEEWAY_S,
    REFRESH_TYPE,
    Generator,
    Validator,
    check_header,
    texts,
)
from service.auth.key_file import ALGORITHM
from service.auth.signing_keys import SigningKeys
from service.settings import Settings

CACHED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as a valid access token tells it. ``expires_at`` is in seconds since 1970."""

    account_id: UUID
    username: str
    sid: str
    scope: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What a refresh token of ours says. Whether it is still good, its session knows."""

    account_id: UUID
    sid: str
    jti: str


@dataclass(frozen=True, slots=True)
class TokenSubject:
    """Whom a pair of tokens is made out to; ``jti`` is to be the refresh token's."""

    account_id: UUID
    username: str
    sid: str
    jti: str

    def get_user_id(self) -> str:
        """Return the subject, under the name that Authlib asks for."""
        return str(self.account_id)


class Tokens:
    """Makes and checks tokens. Thread-safe but for ``check``, which belongs to the event loop."""

    def __init__(self, keys: SigningKeys, settings: Settings) -> None:
        self.keys = keys
        self.generator = Generator(keys, settings, self._make_refresh)
        self._validator = Validator(keys, settings)
        self._checked: OrderedDict[str, Principal] = OrderedDict()
        self._edition = keys.edition
        self._issuer = settings.issuer
        self._refresh_audience = f"{settings.issuer.rstrip('/')}/api/v1/auth/token/refresh/"
        self._refresh_ttl_s = settings.refresh_ttl_s

    def check(self, token: str) -> Principal:
        """Return who holds an access token. Raises TokenNotValidError.

        A token seen before costs one look-up, until it expires or the keys change.
        """
        if self.keys.follow() != self._edition:
            self._edition = self.keys.edition
            self._checked.clear()
        known = self._checked.get(token)
        if known is None:
            known = self.read_access(token)
            self._checked[token] = known
            if len(self._checked) > CACHED_TOKENS:
                self._checked.popitem(last=False)
            return known
        if known.expires_at <= time.time():
            del self._checked[token]
            raise TokenNotValidError
        self._checked.move_to_end(token)
        return known

    def read_access(self, token: str) -> Principal:
        """Return who holds an access token, checked in full. Raises TokenNotValidError."""
        check_header(token, ACCESS_TYPE, self.keys)
        try:
            claims = self._validator.authenticate_token(token)
            claims.validate(leeway=LEEWAY_S)
            subject, name, sid, scope = texts(claims, "sub", "username", "sid", "scope")
            principal = Principal(UUID(subject), name, sid, scope, claims["exp"])
        except (OAuth2Error, JoseError, ValueError):
            raise TokenNotValidError from None
        if principal.expires_at <= time.time() or claims["client_id"] != CLIENT_ID:
            raise TokenNotValidError
        return principal

    def read_refresh(self, token: str) -> RefreshToken:
        """Return what a refresh token says. Raises TokenNotValidError, not for a used one."""
        check_header(token, REFRESH_TYPE, self.keys)
        asked = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._refresh_audience},
            client_id={"essential": True, "value": CLIENT_ID},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            claims = jwt.decode(token, self.keys.verifying, [ALGORITHM]).claims
            asked.validate(claims)
            subject, sid, jti = texts(claims, "sub", "sid", "jti")
            refresh = RefreshToken(UUID(subject), sid, jti)
        except (JoseError, ValueError):
            raise TokenNotValidError from None
        if claims["exp"] <= time.time():
            raise TokenNotValidError
        return refresh

    def _make_refresh(self, client: Any, grant_type: str, user: TokenSubject, scope: str) -> str:  # noqa: ARG002 - called by these names
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._refresh_audience,
            "sub": user.get_user_id(),
            "iat": now,
            "exp": now + self._refresh_ttl_s,
            "jti": user.jti,
            "client_id": CLIENT_ID,
            "sid": user.sid,
        }
        return jwt.encode({"alg": ALGORITHM, "typ": REFRESH_TYPE}, claims, self.keys.signing)


def principal_of(request: Request) -> Principal:
    """Return who sent the request; handlers read ``request.principal``.

    Raises NotAuthenticatedError without Bearer credentials (another scheme counts as none),
    TokenNotValidError where they are not good, or several stand in the request.
    """
    given = request.headers.getall("authorization", [])
    if len(given) > 1:
        raise TokenNotValidError
    scheme, _, token = "".join(given).strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticatedError
    tokens: Tokens = request.app.ctx.container.tokens
    return tokens.check(token)
