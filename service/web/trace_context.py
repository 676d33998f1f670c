"""W3C Trace Context: the trace that a request belongs to (https://www.w3.org/TR/trace-context/).

An event stores the id of its request. Where a client sends a ``traceparent`` and no id, the id is
made from it. So the log holds the trace of an event, and a projection can continue it, without a
field for it.
"""

import re
from typing import NamedTuple

# version-trace-parent-flags; later versions may append fields, which are ignored.
_HEADER = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)
_REQUEST_ID = re.compile(r"(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})")


class Trace(NamedTuple):
    """A trace and the caller's span in it, in hexadecimal digits."""

    trace_id: str
    parent_id: str

    @classmethod
    def of_header(cls, traceparent: str) -> "Trace | None":
        """Return the trace of a ``traceparent`` header, None for a malformed one."""
        match = _HEADER.fullmatch(traceparent)
        if match is None or (match[3] and traceparent.startswith("00")):
            return None
        return cls(match[1], match[2])

    @classmethod
    def of_request_id(cls, request_id: str) -> "Trace | None":
        """Return the trace that a request id was made from, None for other ids."""
        match = _REQUEST_ID.fullmatch(request_id)
        return cls(match[1], match[2]) if match else None

    @property
    def request_id(self) -> str:
        """The id of a request that has none of its own."""
        return f"{self.trace_id}-{self.parent_id}"
