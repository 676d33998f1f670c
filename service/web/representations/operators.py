"""Representations for operators: accounts, parked movies, jobs and the status."""

from typing import Annotated, Any, Literal, Required

from pydantic import Field
from typing_extensions import TypedDict

from service.web.representations.fields import Id, Page, Position, Time
from service.web.representations.root import Part


class AccountSummary(TypedDict):
    """An account as operators see it."""

    id: Id
    username: str
    created_at: Time
    operator: bool
    closed: bool


class AccountPage(Page):
    """A page of accounts, the oldest first."""

    results: list[AccountSummary]


class PasswordLink(TypedDict):
    """A link that sets one new password."""

    url: Annotated[str, Field(description="Of the page `/#/reset?token=…`.")]
    expires_at: Time


class Parked(TypedDict):
    """A movie with an event that cannot be applied, from ``position`` on."""

    movie_id: str
    position: Position
    type: str
    error: str
    dropped: Annotated[bool, Field(description="Whether an operator took it out of the lists.")]


class ParkedPage(Page):
    """A page of parked movies, in log order."""

    results: list[Parked]


class Retried(TypedDict):
    """A movie whose events were applied again."""

    movie_id: str
    parked: bool
    error: Annotated[str | None, Field(description="Why it is parked still.")]


class JobProgress(TypedDict):
    """How far a job is."""

    phase: str
    done: Annotated[int, Field(ge=0)]
    total: Annotated[int | None, Field(ge=0, description="Null if it is not known.")]


class Job(TypedDict):
    """A rebuild or a verification that an operator started."""

    id: Id
    kind: Literal["rebuild", "verify"]
    by: Annotated[str, Field(description="Username of the operator.")]
    started_at: Time
    state: Literal["running", "done", "failed"]
    finished_at: Annotated[Time | None, Field(description="Null also if its process has died.")]
    progress: JobProgress | None
    ok: Annotated[
        bool | None,
        Field(description="Whether no difference and no damage was found; null unless it is done."),
    ]
    outcome: Annotated[
        dict[str, Any] | None, Field(description="What the command line prints with `--json`.")
    ]
    error: Annotated[str | None, Field(description="Why it failed.")]


class EventStoreStatus(TypedDict, total=False):
    """The event store; unknown facts are left out."""

    kind: str
    version: Annotated[str, Field(description="Name and version of the database.")]
    state: Required[str]
    position: Position
    events: Annotated[int, Field(ge=0, description="Events stored.")]
    log: Annotated[str, Field(description="The log identity, as in `Event-Log`.")]
    damage: str


class ReadModelStatus(Part, total=False):
    """The live generation, and how far it is behind; unknown facts are left out."""

    generation: int
    events_applied: int
    dropped: Annotated[int, Field(ge=0, description="Parked movies that were dropped.")]
    events_missing: int
    mirror_bytes: Annotated[
        int, Field(ge=0, description="Memory of the records that lists search, of all processes.")
    ]


class ProjectionStatus(TypedDict):
    """The projection."""

    active: bool


class RebuildStatus(TypedDict, total=False):
    """How far the running rebuild is; empty if none is running."""

    phase: str
    done: Annotated[int, Field(ge=0)]
    total: Annotated[int, Field(ge=0)]


class BackupStatus(TypedDict, total=False):
    """The last backup to the place in the settings; empty without backups."""

    age_seconds: Annotated[float, Field(ge=0, description="Age of the last good backup.")]
    position: Position
    failed: Annotated[bool, Field(description="Whether the latest attempt failed.")]
    error: Annotated[str, Field(description="Why it failed.")]


class Status(TypedDict):
    """The status of all parts."""

    event_store: EventStoreStatus
    read_model: ReadModelStatus
    projection: ProjectionStatus
    rebuild: RebuildStatus
    backup: BackupStatus
    job: Annotated[Job | None, Field(description="The job that was started last.")]
