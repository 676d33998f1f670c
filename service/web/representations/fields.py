"""Fields that several representations have, and what pages have in common."""

from typing import Annotated

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from commands.fields import MAX_TEXT, MAX_YEAR

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
RequestId = Annotated[str, Field(description="The `X-Request-ID` of the request that caused it.")]


class Page(TypedDict):
    """What every page has beside its ``results``."""

    count: Annotated[int, Field(ge=0, description="The number of results on all pages.")]
    next: Next
    previous: Annotated[
        str | None, WithJsonSchema(_LINK), Field(description="Link to the previous page.")
    ]


class Actor(TypedDict):
    """The account that made a change; null if the event cannot be read."""

    id: Id | None
    username: str | None
