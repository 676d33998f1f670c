"""Representations of what the paths at the root answer: probes and the API's description."""

from typing import Annotated, Any, Literal, NotRequired, Required

from pydantic import Field
from typing_extensions import TypedDict

from service.web.representations.fields import Position


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
