"""Our grants (RFC 6749) and revocation (RFC 7009), as Authlib calls them.

There is one client, public and first-party; who it is need not be said. Our own refusals pass
through Authlib as they are.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import orjson
from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Request  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.grants import (  # type: ignore[import-untyped]
    RefreshTokenGrant,
    ResourceOwnerPasswordCredentialsGrant,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload  # type: ignore[import-untyped]
from authlib.oauth2.rfc7009 import RevocationEndpoint  # type: ignore[import-untyped]

from commands.errors import NoActiveAccountError, TokenNotValidError
from commands.event_store.store import Store
from commands.user import User, session_id
from service.auth.jwt import CLIENT_ID, SCOPE
from service.auth.passwords import Hasher
from service.auth.sealed_answers import seal, unseal
from service.auth.sessions import Sessions
from service.auth.tokens import Principal, RefreshToken, Tokens, TokenSubject

# Authlib asks for the URL only to refuse plain http. Whether TLS is needed, the operator knows.
_URL = "https://localhost/"


class Server(Protocol):
    """What the grants ask of the server they belong to."""

    store: Store
    tokens: Tokens
    sessions: Sessions
    hasher: Hasher

    def account_in(self, session: RefreshToken | Principal) -> User:
        """Return the account of a token whose session goes on. Raises TokenNotValidError."""

    def find(self, token: str) -> RefreshToken | Principal:
        """Return what a token says, whichever it is. Raises TokenNotValidError."""


@dataclass(frozen=True, slots=True)
class LoginResult(TokenSubject):
    """Who has signed in, with the password that was set at version ``password_version``.

    ``renewed_hash`` is of the same password, where the one that is kept was made at other costs.
    """

    password_version: int
    renewed_hash: str | None = field(repr=False)


class TokenResponse(dict[str, Any]):
    """What a grant answers with (RFC 6749, 5.1). Authlib logs it: its repr hides the tokens."""

    signed_in: LoginResult

    def __repr__(self) -> str:
        return "Answer(...)"


class Client(ClientMixin):  # type: ignore[misc]
    """The one client."""

    def get_client_id(self) -> str:
        """Return its id."""
        return CLIENT_ID

    def get_allowed_scope(self, _: str) -> str:
        """Return the one scope there is."""
        return SCOPE

    def check_endpoint_auth_method(self, method: str, _: str) -> bool:
        """Tell how it authenticates: it has no secret."""
        return method == "none"

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell what it may ask for."""
        return grant_type in (PasswordGrant.GRANT_TYPE, RefreshGrant.GRANT_TYPE)


class GrantRequest(OAuth2Request):  # type: ignore[misc]
    """A request that the route has parsed and checked already."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("POST", _URL)
        self._fields = {"client_id": CLIENT_ID, **fields}
        self.payload = BasicOAuth2Payload(self._fields)

    @property
    def form(self) -> dict[str, str]:
        """The fields, under the name that grants read them by."""
        return self._fields


class SharedGrant:
    """A token of ours as Authlib asks about it."""

    def __init__(self, token: RefreshToken | Principal, text: str = "") -> None:
        self.token: Any = token
        self.text = text

    def check_client(self, _: Client) -> bool:
        """Tell whether it is the client's: every token is."""
        return True

    def get_scope(self) -> str:
        """Return the one scope there is."""
        return SCOPE


class PasswordGrant(ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    """A username and its password for the first pair of a new session."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
    server: Server

    def authenticate_user(self, username: str, password: str) -> LoginResult:
        """Return who this is. Raises NoActiveAccountError, after the same work for all."""
        store = self.server.store
        # A name nobody has is looked up as far as any other.
        user = store.get(User, store.account_id_of(username) or uuid4())
        right = self.server.hasher.verify(user.password_hash if user else None, password)
        if user is None or not right or not user.active:
            raise NoActiveAccountError
        return LoginResult(
            user.id,
            user.username,
            session_id(user.version, secrets.token_urlsafe(16)),
            _new_jti(),
            user.password_version,
            self.server.hasher.renewed(user.password_hash, password),
        )

    def save_token(self, answer: TokenResponse) -> None:
        """Open the session of the tokens just made."""
        who: LoginResult = self.request.user
        self.server.sessions.open(RefreshToken(who.account_id, who.sid, who.jti))
        answer.signed_in = who


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]
    """A refresh token, once, for the next pair."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: Server

    def authenticate_refresh_token(self, refresh_token: str) -> SharedGrant:
        """Return what the token says; whether it was used shows when it is claimed."""
        return SharedGrant(self.server.tokens.read_refresh(refresh_token), refresh_token)

    def authenticate_user(self, refresh_token: SharedGrant) -> TokenSubject:
        """Return whom the next pair is for. Raises TokenNotValidError where the log says so."""
        token = refresh_token.token
        user = self.server.account_in(token)
        return TokenSubject(user.id, user.username, token.sid, _new_jti())

    def issue_token(self, user: TokenSubject, refresh_token: SharedGrant) -> TokenResponse:
        """Make the next pair and claim the token for it in one step, or give what was given.

        Authlib would check, save and revoke one after the other, and two at once could pass.
        """
        made = super().issue_token(user, refresh_token)
        sealed = seal(orjson.dumps(made), refresh_token.text)
        given = self.server.sessions.rotate(refresh_token.token, user.jti, sealed)
        return TokenResponse(orjson.loads(unseal(given, refresh_token.text)))

    def save_token(self, _: TokenResponse) -> None:
        """Nothing: the pair was kept when the token was claimed."""

    def revoke_old_credential(self, _: SharedGrant) -> None:
        """Nothing: the token was used up when it was claimed."""


class Revocation(RevocationEndpoint):  # type: ignore[misc]
    """Ends the session of a token; of an access token too, which itself lives out its minutes."""

    CLIENT_AUTH_METHODS = ("none",)
    server: Server

    def query_token(self, token_string: str, _: str | None) -> SharedGrant | None:
        """Return the token, None for one that is not ours or not valid."""
        try:
            return SharedGrant(self.server.find(token_string))
        except TokenNotValidError:
            return None

    def revoke_token(self, token: SharedGrant, _: GrantRequest) -> None:
        """End the token's session."""
        self.server.sessions.end(token.token.account_id, token.token.sid)


def _new_jti() -> str:
    return secrets.token_urlsafe(16)
