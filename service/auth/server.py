"""The authorization server: Authlib issues the first tokens of a session and refreshes them.

There is one client, public and first-party, and one scope. Refusals of ours pass through Authlib as
they are; its own are OAuth2Errors. All calls block (argon2, event store, Redis): routes make them
on threads.
"""

import secrets
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import orjson
from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    AuthorizationServer,
    ClientMixin,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import (  # type: ignore[import-untyped]
    RefreshTokenGrant,
    ResourceOwnerPasswordCredentialsGrant,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload  # type: ignore[import-untyped]

from commands.aggregates.user import User
from commands.aggregates.user_events import session_id
from commands.errors import NoActiveAccountError, NotFoundError, TokenNotValidError
from commands.event_store.store import Store
from service.auth.passwords import Hasher
from service.auth.personal_tokens import parse_token, read_principal
from service.auth.sessions import Sessions, seal, unseal
from service.auth.tokens import (
    CLIENT_ID,
    SCOPE,
    Principal,
    RefreshToken,
    TokenResponse,
    Tokens,
    TokenSubject,
)
from service.settings import Settings

PASSWORD_GRANT = ResourceOwnerPasswordCredentialsGrant.GRANT_TYPE
REFRESH_GRANT = RefreshTokenGrant.GRANT_TYPE


@dataclass(frozen=True, slots=True)
class Login(TokenSubject):
    """An account that signed in with the password that was set at version ``password_version``.

    ``renewed_hash`` is a hash of that password at today's costs, None if the stored one has them.
    """

    password_version: int
    renewed_hash: str | None = field(repr=False)


class Client(ClientMixin):  # type: ignore[misc]
    """The only client."""

    def get_client_id(self) -> str:
        """Return the ``client_id`` claim of access tokens."""
        return CLIENT_ID

    def get_allowed_scope(self, _: str) -> str:
        """Return the only scope."""
        return SCOPE

    def check_grant_type(self, _: str) -> bool:
        """Return True: the client may use every registered grant."""
        return True


class TokenRequest(OAuth2Request):  # type: ignore[misc]
    """A token request whose fields the route has parsed."""

    def __init__(self, fields: dict[str, str]) -> None:
        # Authlib wants the URL only to refuse plain http. TLS is the operator's decision.
        super().__init__("POST", "https://localhost/")
        self.payload = BasicOAuth2Payload(fields)

    @property
    def form(self) -> dict[str, str]:
        """The fields of the request."""
        fields: dict[str, str] = self.payload.data
        return fields


class PasswordGrant(ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    """Exchanges a username and its password for the first pair of a new session."""

    server: "AuthServer"

    def authenticate_token_endpoint_client(self) -> Client:
        """Return the only client, which needs no authentication."""
        return Client()

    def authenticate_user(self, username: str, password: str) -> Login:
        """Return the login. Raises NoActiveAccountError, after the same work for all."""
        store, hasher = self.server.store, self.server.hasher
        # An unknown name is looked up as far as any other.
        user = store.get(User, store.account_id_of(username) or uuid4())
        is_right = hasher.verify(user.password_hash if user else None, password)
        if user is None or not is_right or not user.active:
            raise NoActiveAccountError
        return Login(
            user.id,
            user.username,
            session_id(user.version, _random_id()),
            _random_id(),
            user.password_version,
            hasher.rehashed(user.password_hash, password),
        )

    def save_token(self, _: TokenResponse) -> None:
        """Open the session of the new pair."""
        login: Login = self.request.user
        token = RefreshToken(login.account_id, login.sid, login.jti)
        self.server.sessions.open(token, self.request.form["device"])


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]
    """Exchanges a refresh token, once, for the next pair."""

    INCLUDE_NEW_REFRESH_TOKEN = True
    server: "AuthServer"

    def authenticate_token_endpoint_client(self) -> Client:
        """Return the only client, which needs no authentication."""
        return Client()

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken:
        """Return the claims of the token, used or not. Raises TokenNotValidError."""
        return self.server.tokens.read_refresh(refresh_token)

    def create_token_response(self) -> tuple[int, TokenResponse, Any]:
        """Issue the next pair and use up the token in one step, or return the pair given before.

        Authlib would check, save and revoke one after the other: two requests at once could pass.
        """
        token: RefreshToken = self.request.refresh_token
        presented = self.request.form["refresh_token"]
        user = self.server.account_in(token)
        subject = TokenSubject(user.id, user.username, token.sid, _random_id())
        pair = self.issue_token(subject, token)
        sealed = seal(orjson.dumps(pair), presented)
        given = self.server.sessions.rotate(token, subject.jti, sealed)
        answer = TokenResponse(orjson.loads(unseal(given, presented)))
        return 200, answer, self.TOKEN_RESPONSE_HEADER


class AuthServer(AuthorizationServer):  # type: ignore[misc]
    """Signs accounts in, refreshes their tokens and verifies them. Blocking and thread-safe."""

    def __init__(self, store: Store, tokens: Tokens, sessions: Sessions, hasher: Hasher) -> None:
        super().__init__(scopes_supported=[SCOPE])
        self.store = store
        self.tokens = tokens
        self.sessions = sessions
        self.hasher = hasher
        self.register_token_generator("default", tokens.generator)
        self.register_grant(PasswordGrant)
        self.register_grant(RefreshGrant)

    def sign_in(
        self, username: str, password: str, scope: str = "", device: str = ""
    ) -> tuple[TokenResponse, Login]:
        """Open a session in Redis, which the caller records in the log.

        Raises NoActiveAccountError, and InvalidScopeError for an unknown ``scope``. Costs an argon2
        hash.
        """
        return self._grant(
            grant_type=PASSWORD_GRANT,
            username=username,
            password=password,
            scope=scope,
            device=device,
        )

    def refresh(self, token: str, scope: str = "") -> TokenResponse:
        """Exchange a refresh token for the next pair.

        Raises TokenNotValidError: a TokenReusedError, which the caller records in the log, if the
        token was used before. Raises InvalidScopeError, which does not use up the token.
        """
        return self._grant(grant_type=REFRESH_GRANT, refresh_token=token, scope=scope)[0]

    def _grant(self, **fields: str) -> tuple[TokenResponse, Any]:
        """Return what Authlib's token endpoint answers, and the user it signed in."""
        request = TokenRequest(fields)
        grant = self.get_token_grant(request)
        grant.validate_token_request()
        _, answer, _ = grant.create_token_response()
        return answer, request.user

    def verify(self, token: str) -> None:
        """Raise TokenNotValidError unless ``token``, of any kind, would be accepted now."""
        if given := parse_token(token):
            read_principal(self.store, given)
            return
        session = self._read(token)
        if isinstance(session, RefreshToken):
            self.account_in(session)
            if not self.sessions.holds(session):
                raise TokenNotValidError

    def session_of(self, token: str) -> RefreshToken | Principal | None:
        """Return the claims of a token, None if it is not valid or its account is not here."""
        try:
            session = self._read(token)
            self.account(session.account_id)
        except TokenNotValidError:
            return None
        return session

    def account_in(self, session: RefreshToken | Principal) -> User:
        """Return the account of a caller. Raises TokenNotValidError if its session has ended."""
        user = self.account(session.account_id)
        if session.sid:
            user.check_session(session.sid)
        return user

    def account(self, account_id: UUID) -> User:
        """Return an active account. Raises TokenNotValidError if there is none."""
        try:
            user = self.store.user(account_id)
        except NotFoundError:
            raise TokenNotValidError from None
        if not user.active:
            raise TokenNotValidError
        return user

    def _read(self, token: str) -> RefreshToken | Principal:
        try:
            return self.tokens.read_access(token)
        except TokenNotValidError:
            return self.tokens.read_refresh(token)


def _random_id() -> str:
    return secrets.token_urlsafe(16)


def server_metadata(settings: Settings, api: str) -> dict[str, Any]:
    """Return the RFC 8414 metadata; ``issuer`` is the ``iss`` claim of tokens."""
    base = (settings.public_url or settings.issuer).rstrip("/")
    return {
        "issuer": settings.issuer,
        "token_endpoint": f"{base}{api}/auth/token/",
        "revocation_endpoint": f"{base}{api}/auth/token/revoke/",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "scopes_supported": [SCOPE],
        # Required, although there is no authorization endpoint.
        "response_types_supported": ["none"],
        "grant_types_supported": [PASSWORD_GRANT, REFRESH_GRANT],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
    }
