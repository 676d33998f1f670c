"""The request as Cinelog sees it: with an id that is safe to log, store and echo."""

import re
from time import perf_counter
from typing import TYPE_CHECKING, Any

import uuid_utils
from sanic import Request

if TYPE_CHECKING:
    from service.tokens import Principal

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class CinelogRequest(Request):
    """A request whose ``request_id`` is the client's where that is harmless, else made here."""

    __slots__ = ("_request_id", "began", "policies", "principal", "stands", "trace_id")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request_id = ""
        self.began = perf_counter()
        self.principal: Principal | None = None
        """Who sent it, once that was asked and found good."""
        self.trace_id = ""
        """The trace it belongs to, of a ``traceparent`` that came with it."""
        self.policies = self.stands = ""

    @property
    def request_id(self) -> str:
        """The id that stands in the answer, the log lines and the events of this request."""
        if not self._request_id:
            given = self.headers.get("x-request-id")
            if given is not None and _SAFE.fullmatch(given):
                self._request_id = given
            else:
                self._request_id = str(uuid_utils.uuid7())
        return self._request_id

    def tell_limit(self, policy: str, stands: str) -> None:
        """Have the answer tell of a limit, and where the caller stands, beside those before it."""
        self.policies = f"{self.policies}, {policy}" if self.policies else policy
        self.stands = f"{self.stands}, {stands}" if self.stands else stands
