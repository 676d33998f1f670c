"""The request as Cinelog sees it: with an id that is safe to log, store and echo."""

import re
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import uuid_utils
from sanic import Request

from commands.errors import InvalidError, NotAuthenticatedError

if TYPE_CHECKING:
    from commands.errors import RefusedError
    from service.auth.tokens import Principal
    from service.web.trace_context import Trace

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class CinelogRequest(Request):
    """A request whose ``request_id`` is the client's where that is harmless, else made here.

    Made of its trace where it has one, else of nothing (UUIDv7).
    """

    __slots__ = ("_request_id", "began", "caller", "policies", "refused", "stands", "trace")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request_id = ""
        self.began = perf_counter()
        self.caller: Principal | None = None
        """Who sent it, where its credentials are good."""
        self.refused: RefusedError = NotAuthenticatedError()
        """Why there is no ``caller``."""
        self.trace: Trace | None = None
        """The trace it belongs to."""
        self.policies = self.stands = ""
        """Of the limits it met: what they are, and where the caller stands."""

    @property
    def principal(self) -> "Principal":
        """Who sent it. Raises NotAuthenticatedError or TokenNotValidError."""
        if self.caller is None:
            raise self.refused
        return self.caller

    @property
    def request_id(self) -> str:
        """The id that stands in the answer, the log lines and the events of this request."""
        if not self._request_id:
            given = self.headers.get("x-request-id")
            if given is not None and _SAFE.fullmatch(given):
                self._request_id = given
            elif self.trace:
                self._request_id = self.trace.request_id
            else:
                self._request_id = str(uuid_utils.uuid7())
        return self._request_id

    def command_metadata(self, by: UUID) -> dict[str, Any]:
        """Return the fields that every command of this request carries; ``by`` is the account."""
        return {"by": by, "request_id": self.request_id, "at": datetime.now(UTC)}

    def header(self, name: str) -> str | None:
        """Return a header that may have one value, None where it is not sent.

        Raises InvalidError for several values.
        """
        given = self.headers.getall(name, [])
        if len(given) > 1:
            raise InvalidError({name: ["Send this header once."]})
        return given[0] if given else None

    def param(self, name: str) -> str:
        """Return a query parameter, trimmed; of repeated values the last, "" where absent."""
        return self.args[name][-1].strip() if name in self.args else ""
