"""Representations: the types of answers, for the type checker and the API's description."""

from typing import Annotated, Any, Literal, NotRequired, Required

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from commands.event_types import MOVIE_EVENTS
from commands.fields import MAX_TEXT, MAX_YEAR
from commands.movie import MovieDetails

_UUID = {"type": "string", "format": "uuid"}
_LINK = {"type": ["string", "null"], "format": "uri-reference"}
Id = Annotated[str, WithJsonSchema(_UUID), Field(description="A UUIDv7.")]
Time = Annotated[
    str,
    WithJsonSchema({"type": "string", "format": "date-time"}),
    Field(description="RFC 3339, in UTC, to the microsecond."),
]
Position = Annotated[int, Field(ge=0, description="A position in the log.")]
Version = Annotated[int, Field(ge=1, description="Counts the events of one movie or account.")]
Title = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Year = Annotated[int, Field(ge=1, le=MAX_YEAR)]
Next = Annotated[str | None, WithJsonSchema(_LINK), Field(description="Link to the next page.")]
MovieEventType = Annotated[str, WithJsonSchema({"type": "string", "enum": [*MOVIE_EVENTS]})]
RequestId = Annotated[str, Field(description="The `X-Request-ID` of the request that caused it.")]


class Movie(TypedDict):
    """A movie, now or at a point in time."""

    id: Id
    title: Title
    genre: Title
    year: Year
    creator: Annotated[str, Field(description="Username of the account that created it.")]
    version: Version
    created_at: Time
    updated_at: Time


class Page(TypedDict):
    """What every page has beside its ``results``."""

    count: Annotated[int, Field(ge=0, description="The number of results on all pages.")]
    next: Next
    previous: Annotated[
        str | None, WithJsonSchema(_LINK), Field(description="Link to the previous page.")
    ]


class MoviePage(Page):
    """A page of movies."""

    results: list[Movie]


class Actor(TypedDict):
    """The account that made a change; null if the event cannot be read."""

    id: Id | None
    username: str | None


Change = TypedDict("Change", {"from": str | int | None, "to": str | int})
Change.__doc__ = "What a field was, and what it became."


_CHANGES = dict.fromkeys(MovieDetails._fields, Change)
Changes: Any = TypedDict("Changes", _CHANGES, total=False)  # type: ignore[misc]
Changes.__doc__ = "The fields that changed: from null on creation, none on deletion."


class HistoryEntry(TypedDict):
    """One event of a movie. An unreadable event has only its position and type."""

    id: Annotated[int, Field(ge=1, description="The position, which is unique.")]
    version: Version
    position: Position
    type: MovieEventType
    at: Time | None
    actor: Actor
    changes: Changes
    request_id: RequestId | None
    reason: Annotated[str | None, Field(description="The `Change-Reason` of the request.")]


class MovieEvent(HistoryEntry):
    """One event of any movie."""

    movie_id: Id


class HistoryPage(Page):
    """A page of a movie's history, oldest first."""

    results: list[HistoryEntry]


class EventPage(TypedDict):
    """Events in log order."""

    results: list[MovieEvent]
    next: Next


class DaySummary(TypedDict):
    """The number of events of movies on a day, by type."""

    day: Annotated[
        str, WithJsonSchema({"type": "string", "format": "date"}), Field(description="In UTC.")
    ]
    created: int
    updated: int
    deleted: int
    restored: int


class EventSummary(TypedDict):
    """The days with events, oldest first."""

    results: list[DaySummary]


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


class Conflict(TypedDict):
    """A field that cannot be undone: the version that changed it last, and its value now."""

    version: Version
    now: str | int


class _Problem(TypedDict):
    type: Annotated[str, Field(description="`about:blank`; see `status` and `code`.")]
    title: Annotated[str, Field(description="The status in words.")]
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="The problem, for people.")]
    instance: Annotated[str, Field(description="The requested path.")]
    code: Annotated[str, Field(description="The problem, for programs; stable.")]
    request_id: Annotated[str, Field(description="The `X-Request-ID` of this answer.")]


class Problem(_Problem, total=False):
    """A problem document (RFC 9457)."""

    errors: Annotated[
        dict[str, list[str]],
        Field(description="Every invalid field with its messages."),
    ]
    error: Annotated[str, Field(description="At the token endpoints: the OAuth error code.")]
    conflicts: Annotated[
        dict[str, Conflict],
        Field(description="With `undo_conflict`: the fields that later versions changed."),
    ]
    job: Annotated[
        str | None,
        Field(description="With `job_running`: its id; null if the command line started it."),
    ]
    log: Annotated[str, Field(description="With `position_unknown`: the `Event-Log`.")]
    head: Annotated[
        int, Field(ge=0, description="With `position_unknown`: the last position of the log.")
    ]
    shared: Annotated[
        int | None,
        Field(
            description="With `position_unknown`: the last position that the client's epoch and "
            "this one have in common, to go on from; null for another log."
        ),
    ]


class OAuthError(TypedDict):
    """The error of an OAuth client (RFC 6749, 5.2)."""

    error: Annotated[str, Field(description="The problem, for programs.")]
    error_description: Annotated[str, Field(description="The problem, for people.")]


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


class Alive(TypedDict):
    """The process is serving."""

    status: Literal["ok"]


class Part(TypedDict, total=False):
    """The status of one part; unknown facts are left out."""

    state: Required[str]
    damage: Annotated[
        str, Field(description="The damage because of which the event store takes no writes.")
    ]
    log: Annotated[str, Field(description="The log identity, as in `Event-Log`.")]
    position: Position
    parked: Annotated[int, Field(ge=0, description="Movies whose events could not be applied.")]
    format: Annotated[
        int, Field(ge=0, description="Row format the live generation was built with.")
    ]
    format_expected: Annotated[int, Field(ge=1, description="Row format of this release.")]
    lag_events: Annotated[int, Field(ge=0, description="Events that are not yet visible.")]
    lag_seconds: Annotated[
        float, Field(ge=0, description="Age of the first event that is not yet visible.")
    ]
    age_seconds: Annotated[float, Field(ge=0, description="Age of the last good backup.")]


class Readiness(TypedDict):
    """The status of each part."""

    status: Literal["ready", "unavailable"]
    event_store: Part
    read_model: Part
    projection: Part
    backup: NotRequired[
        Annotated[Part, Field(description="The last backup; left out without backups.")]
    ]


class Description(TypedDict):
    """An OpenAPI description."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]
