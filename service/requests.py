"""The request as Cinelog sees it: with an id that is safe to log, store and echo."""

import re
from typing import Any

import uuid_utils
from sanic import Request

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class CinelogRequest(Request):
    """A request whose ``request_id`` is the client's where that is harmless, else made here."""

    __slots__ = ("_request_id",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request_id = ""

    @property
    def request_id(self) -> str:
        """The id that stands in the answer, the log lines and the events of this request."""
        if not self._request_id:
            given = self.headers.get("x-request-id", "")
            self._request_id = given if _SAFE.fullmatch(given) else str(uuid_utils.uuid7())
        return self._request_id
