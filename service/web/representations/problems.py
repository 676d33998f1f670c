"""Representations of refusals: problem documents, and the errors of OAuth clients."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from service.web.representations.fields import Version


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
