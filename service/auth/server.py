"""Signing in, refreshing and signing out: Authlib's authorization server with our grants.

Everything here blocks (argon2, event store, Redis): routes call it on threads.
"""

from collections.abc import Mapping
from typing import Any, NoReturn
from uuid import UUID

from authlib.oauth2.rfc6749 import AuthorizationServer  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.errors import OAuth2Error  # type: ignore[import-untyped]
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # type: ignore[import-untyped]

from commands.errors import NotFoundError, TokenNotValidError
from commands.event_store.store import Store
from commands.user import User
from service.auth.grants import (
    Client,
    GrantRequest,
    PasswordGrant,
    RefreshGrant,
    Revocation,
    TokenResponse,
)
from service.auth.jwt import CLIENT_ID, SCOPE
from service.auth.passwords import Hasher
from service.auth.sessions import Sessions
from service.auth.tokens import Principal, RefreshToken, Tokens
from service.settings import Settings


class Authorization(AuthorizationServer):  # type: ignore[misc]
    """What accounts do with tokens. Blocking and thread-safe."""

    def __init__(self, store: Store, tokens: Tokens, sessions: Sessions, hasher: Hasher) -> None:
        super().__init__(scopes_supported=[SCOPE])
        self.store = store
        self.tokens = tokens
        self.sessions = sessions
        self.hasher = hasher
        self.register_token_generator("default", tokens.generator)
        self.register_grant(PasswordGrant)
        self.register_grant(RefreshGrant)
        self.register_endpoint(Revocation)

    def sign_in(self, username: str, password: str, scope: str = "") -> TokenResponse:
        """Open a session, of which the log is yet to hear.

        Raises NoActiveAccountError, and InvalidScopeError where there is no such ``scope``. Costs
        an argon2 hash.
        """
        asked = {"grant_type": "password", "username": username, "password": password}
        return self._grant(asked | {"scope": scope})

    def refresh(self, token: str, scope: str = "") -> TokenResponse:
        """Exchange a refresh token for the next pair.

        Raises TokenNotValidError: a TokenReusedError, of which the log is to hear, where the token
        was used before. Raises InvalidScopeError, which does not use up the token.
        """
        asked = {"grant_type": "refresh_token", "refresh_token": token, "scope": scope}
        return self._grant(asked)

    def revoke(self, token: str) -> None:
        """Forget the session that a token, refresh or access, belongs to, if it is one of ours."""
        self.create_endpoint_response("revocation", {"token": token})

    def verify(self, token: str) -> None:
        """Raise TokenNotValidError unless ``token``, refresh or access, would be accepted now."""
        known = self.find(token)
        if isinstance(known, RefreshToken):
            self.account_in(known)
            if not self.sessions.holds(known):
                raise TokenNotValidError

    def session_of(self, token: str) -> RefreshToken | Principal | None:
        """Return what a token says, None for one that is not ours or of no account here."""
        try:
            found = self.find(token)
            self.account(found.account_id)
        except TokenNotValidError:
            return None
        return found

    def account_in(self, session: RefreshToken | Principal) -> User:
        """Return the account of a token whose session goes on. Raises TokenNotValidError."""
        user = self.account(session.account_id)
        user.check_session(session.sid)
        return user

    def account(self, account_id: UUID) -> User:
        """Return the account of a token. Raises TokenNotValidError where there is none."""
        try:
            user = self.store.user(account_id)
        except NotFoundError:
            raise TokenNotValidError from None
        if not user.active:
            raise TokenNotValidError
        return user

    def find(self, token: str) -> RefreshToken | Principal:
        """Return what a token says, whichever it is. Raises TokenNotValidError."""
        try:
            return self.tokens.read_access(token)
        except TokenNotValidError:
            return self.tokens.read_refresh(token)

    def _grant(self, asked: Mapping[str, str]) -> TokenResponse:
        answer: TokenResponse = self.create_token_response(asked)
        return answer

    # What Authlib asks of a server:

    def query_client(self, client_id: str) -> Client | None:
        """Return the client."""
        return Client() if client_id == CLIENT_ID else None

    def create_oauth2_request(self, request: Mapping[str, str]) -> GrantRequest:
        """Return the request, parsed as it is."""
        return GrantRequest(request)

    def generate_token(self, *args: Any, **kwargs: Any) -> TokenResponse:
        """Return a pair that does not show itself in logs."""
        return TokenResponse(super().generate_token(*args, **kwargs))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nothing listens."""

    def handle_response(self, _status: int, body: Any, _: Any) -> Any:
        """Return the body."""
        return body

    def handle_error_response(self, _: GrantRequest, error: OAuth2Error) -> NoReturn:
        """Raise a refusal of Authlib's own; ``service/web/problems.py`` makes the answer."""
        raise error


def server_metadata(settings: Settings, api: str) -> dict[str, Any]:
    """Return the RFC 8414 metadata; ``issuer`` is what tokens carry as ``iss``."""
    base = (settings.public_url or settings.issuer).rstrip("/")
    metadata: dict[str, Any] = AuthorizationServerMetadata(
        issuer=settings.issuer,
        token_endpoint=f"{base}{api}/auth/token/",
        revocation_endpoint=f"{base}{api}/auth/token/revoke/",
        jwks_uri=f"{base}/.well-known/jwks.json",
        scopes_supported=[SCOPE],
        # There is no authorization endpoint; the list is required all the same.
        response_types_supported=["none"],
        grant_types_supported=[PasswordGrant.GRANT_TYPE, RefreshGrant.GRANT_TYPE],
        token_endpoint_auth_methods_supported=["none"],
        revocation_endpoint_auth_methods_supported=["none"],
    )
    return metadata
