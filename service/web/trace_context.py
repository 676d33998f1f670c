"""W3C Trace Context: the trace that a request belongs to (https://www.w3.org/TR/trace-context/).

An event keeps the id of its request. Where a client sends a ``traceparent`` and no id, the id is
made of it: so the trace of an event stands in the log, and the projection, on whatever machine and
however late, can go on with it. No event has a field for it.
"""

import re
from typing import NamedTuple

# version-trace-parent-flags; a later version may have more behind it, which is not for us.
_HEADER = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)
_REQUEST_ID = re.compile(r"(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})")


class Trace(NamedTuple):
    """A trace, and the caller's span in it, both in hexadecimal digits."""

    trace_id: str
    parent_id: str

    @classmethod
    def of_header(cls, traceparent: str) -> "Trace | None":
        """Return the trace of a ``traceparent`` header, None for a malformed one."""
        found = _HEADER.fullmatch(traceparent)
        if found is None or (found[3] and traceparent.startswith("00")):
            return None
        return cls(found[1], found[2])

    @classmethod
    def of_request_id(cls, request_id: str) -> "Trace | None":
        """Return the trace that a request's id was made of."""
        found = _REQUEST_ID.fullmatch(request_id)
        return cls(found[1], found[2]) if found else None

    @property
    def request_id(self) -> str:
        """The id of a request that brought none of its own."""
        return f"{self.trace_id}-{self.parent_id}"
