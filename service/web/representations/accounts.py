"""Representations of accounts, their sessions and tokens."""

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from service.web.representations.fields import Actor, Id, Page, Position, RequestId, Time, Version


class Account(TypedDict):
    """An account."""

    id: Id
    username: str
    email: str
    first_name: str
    last_name: str


class OwnAccount(Account):
    """The caller's account."""

    operator: Annotated[bool, Field(description="Whether it may use `/ops/`.")]


class TokenPair(TypedDict):
    """An access token and the refresh token for the next pair."""

    access: str
    refresh: str
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token expires.")]


class OAuthTokens(TypedDict):
    """The same under the names of RFC 6749, for a client that named a `grant_type`."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str


class Nothing(TypedDict):
    """An empty object."""


class Session(TypedDict):
    """A session, which begins with a sign-in."""

    id: str
    created_at: Time
    refreshed_at: Annotated[Time | None, Field(description="When its last pair was issued.")]
    expires_at: Time
    device: Annotated[str | None, Field(description="The `User-Agent` that signed in.")]
    current: Annotated[bool, Field(description="Whether the request belongs to it.")]


class SessionPage(Page):
    """A page of sessions, the last used first."""

    results: list[Session]


class NamedToken(TypedDict):
    """A personal token, without its text."""

    id: Id
    name: str
    scope: Literal["read", "write"]
    expires_at: Time


class PersonalToken(NamedToken):
    """A personal token that is valid."""

    created_at: Time


class NewPersonalToken(PersonalToken):
    """A personal token with its text, which is shown once."""

    token: Annotated[str, Field(pattern=r"^cinelog_[A-Za-z0-9_-]{88}$")]


class PersonalTokenPage(Page):
    """A page of personal tokens, the newest first."""

    results: list[PersonalToken]


class AccountEntry(TypedDict):
    """One event of an account."""

    version: Version
    position: Position
    type: str
    at: Time
    request_id: RequestId
    session: Annotated[str | None, Field(description="The session that acted.")]
    ended_session: Annotated[str | None, Field(description="The session that was ended by itself.")]
    actor: Annotated[
        Actor | None,
        Field(description="The operator who acted; null where that is not known or nobody did."),
    ]
    token: Annotated[
        NamedToken | None, Field(description="The personal token that was created or revoked.")
    ]


class AccountHistoryPage(Page):
    """A page of an account's history, oldest first."""

    results: list[AccountEntry]


class KeySet(TypedDict):
    """A JWK Set (RFC 7517)."""

    keys: list[dict[str, Any]]


class ServerMetadata(TypedDict):
    """Metadata of an OAuth authorization server (RFC 8414)."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    scopes_supported: list[str]
    response_types_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
