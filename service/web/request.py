"""Cinelog's request: its id, its caller, its parameters."""

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
    from service.auth.personal_tokens import GivenToken
    from service.auth.tokens import Principal
    from service.web.trace_context import Trace

API = "/api/v1"
_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class CinelogRequest(Request):
    """A request whose id is safe to log, store and echo.

    It is the client's where that is safe, else the ids of its trace, else a new UUIDv7.
    """

    __slots__ = (
        "_request_id",
        "auth_error",
        "began",
        "by_cookie",
        "caller",
        "personal_token",
        "rate_limit",
        "rate_limit_policy",
        "trace",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request_id = ""
        self.began = perf_counter()
        self.caller: Principal | None = None
        self.by_cookie = False
        """Whether a cookie of the service's own page names the ``caller``."""
        self.personal_token: GivenToken | None = None
        """The personal token of the ``caller``, whose scope applies."""
        self.auth_error: RefusedError = NotAuthenticatedError()
        """Why there is no ``caller``."""
        self.trace: Trace | None = None
        self.rate_limit_policy = self.rate_limit = ""
        """The limits that counted the request, and their state."""

    @property
    def principal(self) -> "Principal":
        """The caller. Raises NotAuthenticatedError or TokenNotValidError."""
        if self.caller is None:
            raise self.auth_error
        return self.caller

    @property
    def request_id(self) -> str:
        """The id in the answer, the log lines and the events of this request."""
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
