"""What there is to say of a route."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from service.openapi.response_headers import CACHED, Header
from service.web.body import JSON

Json = dict[str, Any]
Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class Parameter:
    """What a request may carry in its path, its query or its header."""

    name: str
    place: Literal["path", "query", "header"]
    about: str
    schema: Json
    examples: tuple[Any, ...] = ()
    key: str = ""
    """Its name among the components, where another parameter has the same name."""


@dataclass(frozen=True)
class Body:
    """What a request carries: ``shape`` as JSON, or as the media type ``also``.

    The description tells of the second one in words: client generators would write a second
    function for it.
    """

    shape: Any
    example: Json
    also: str | None = None
    required: bool = True


@dataclass(frozen=True)
class Answer:
    """An answer that is no refusal; without a ``shape`` it has no body.

    ``links`` are operations that take a value of the answer: name → (operation's id, parameters).
    """

    about: str
    shape: Any = None
    headers: tuple[Header, ...] = CACHED
    """Those of its own, beside the headers of every answer."""
    media: str = JSON
    example: Any = None
    links: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """What a route is called, takes, answers and refuses; a decorator of its handler.

    ``id`` is stable: programs made from the description name their functions after it.
    """

    id: str
    tag: str
    summary: str
    about: str
    answers: dict[int, Answer]
    refuses: tuple[Exception, ...] = ()
    takes: tuple[Parameter, ...] = ()
    body: Body | None = None
    open: bool = False
    """Whether it answers without credentials: as the route says, not the table."""
    slash: bool = True
    """Whether its path is written with a slash at the end. It answers without, too."""
    limited: bool = True
    """Whether a rate limit counts it."""
    oauth: bool = False
    """Whether OAuth clients call it, which are refused as RFC 6749, 5.2 has it."""
    hidden: bool = False
    """Whether it is left out of the description: no client calls it."""

    @property
    def produces(self) -> str | None:
        """The media type of what it answers, None where that has no body."""
        return next((one.media for one in self.answers.values() if one.shape is not None), None)

    def __call__(self, handler: Handler) -> Handler:
        """Describe the route of ``handler``; a decorator."""
        OPERATIONS[handler] = self
        return handler


def links_to(place: str, *operations: str, parameter: str = "movie_id") -> dict[str, Json]:
    """Return links to operations; their parameter is the value at a place of the answer's body."""
    value = {parameter: f"$response.body#{place}"}
    return {name: {"operationId": name, "parameters": value} for name in operations}


OPERATIONS: dict[Any, Operation] = {}
"""The described operations by the handlers of their routes; importing the routes fills it."""
