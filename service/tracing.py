"""W3C Trace Context: the trace that a request belongs to (https://www.w3.org/TR/trace-context/)."""

import re

# version-trace-parent-flags; a later version may have more behind it, which is not for us.
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def trace_id_of(traceparent: str) -> str:
    """Return the trace id of a ``traceparent`` header, empty where it is malformed."""
    found = _FORM.fullmatch(traceparent)
    if found is None or (found[2] and traceparent.startswith("00")):
        return ""
    return found[1]
