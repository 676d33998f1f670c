"""Responses as Sanic's, quicker to send.

Sanic translates each header's name and value to be sure that no line break is in it, which takes
longer than all else that is done for a header. Here a value is translated only where a look tells
that something is in it that does not print.
"""

import sanic
from sanic.helpers import has_message_body

_BREAKS = str.maketrans("", "", "\r\n\0")


class HTTPResponse(sanic.HTTPResponse):
    """A response whose header names are those of our own code, and so are sound."""

    last_lines: tuple[bytes, bytes] | None = None
    """A header to send after all others: its name, and its value with as many lines behind it as
    whoever sets it has made."""

    @property
    def processed_headers(self) -> list[tuple[bytes, bytes]]:  # type: ignore[override]
        """The header lines to send."""
        if has_message_body(self.status):  # type: ignore[no-untyped-call]
            self.headers.setdefault("content-type", self.content_type)
        lines = []
        for name, given in self.headers.items():
            value = f"{given}"
            if not value.isprintable():
                value = value.translate(_BREAKS)
            lines.append((name.encode(), value.encode(errors="surrogateescape")))
        if self.last_lines:
            lines.append(self.last_lines)
        return lines


def empty(status: int = 204, headers: dict[str, str] | None = None) -> HTTPResponse:
    """Return a response without a body."""
    return HTTPResponse(status=status, headers=headers)
