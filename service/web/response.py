"""Responses that are faster to send than Sanic's, and the headers of every response.

Sanic removes line breaks from each header's name and value, which takes longer than the rest of its
encoding. Here a value is cleaned only where it has an unprintable character, and headers that are
the same in all responses are encoded once.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
import sanic
from sanic.headers import format_http1_response
from sanic.helpers import STATUS_CODES, has_message_body
from sanic.response import BaseHTTPResponse

_BREAKS = str.maketrans("", "", "\r\n\0")


@lru_cache
def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, STATUS_CODES.get(status, b"UNKNOWN"))


def _is_safe(text: str, lines: int) -> bool:
    """Return whether a text of header lines has no line break or control character in a value."""
    rest = text.replace("\r\n", "")
    return rest.isascii() and rest.isprintable() and len(text) - len(rest) == 2 * lines


class HTTPResponse(sanic.HTTPResponse):
    """A response whose header names are constants of this code, so they need no check."""

    constant: tuple[tuple[bytes, bytes], ...] = ()
    """Encoded headers to send beside its own; ``ConstantHeaders`` sets them."""

    constant_lines = b""
    """The same as lines."""

    varies = ""
    """The request header that the response depends on, for ``Vary``."""

    @property
    def processed_headers(self) -> list[tuple[bytes, bytes]]:  # type: ignore[override]
        """The encoded names and values of all headers."""
        if has_message_body(self.status):  # type: ignore[no-untyped-call]
            self.headers.setdefault("content-type", self.content_type)
        lines = []
        for name, given in self.headers.items():
            value = f"{given}"
            if not value.isprintable():
                value = value.translate(_BREAKS)
            lines.append((name.encode(), value.encode(errors="surrogateescape")))
        lines += self.constant
        return lines

    def head(self, *, keep_alive: bool) -> bytes:
        """Return the encoded head of an answer whose body is sent at once."""
        headers = self.headers
        headers["content-length"] = len(self.body or b"")
        headers["connection"] = "keep-alive" if keep_alive else "close"
        headers.setdefault("content-type", self.content_type)
        text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if not _is_safe(text, len(headers)):
            return format_http1_response(self.status, self.processed_headers)
        return b"%b%b%b\r\n" % (_status_line(self.status), text.encode(), self.constant_lines)


class ConstantHeaders:
    """Headers with the same values in many responses, encoded once.

    A response may set ``but`` itself, and none of the others.
    """

    def __init__(self, headers: Mapping[str, str], but: str) -> None:
        self._headers = dict(headers)
        self._but = but.lower()
        self._lines = tuple(HTTPResponse(status=204, headers=self._headers).processed_headers)
        self._text = b"".join(b"%b: %b\r\n" % line for line in self._lines)

    def add_to(self, response: BaseHTTPResponse) -> None:
        """Add the headers to a response."""
        headers = response.headers
        if isinstance(response, HTTPResponse) and self._but not in headers:
            response.constant, response.constant_lines = self._lines, self._text
            return
        for name, value in self._headers.items():
            headers.setdefault(name, value)


def empty(status: int = 204, headers: dict[str, str] | None = None) -> HTTPResponse:
    """Return a response without a body."""
    return HTTPResponse(status=status, headers=headers)


def json_response(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> HTTPResponse:
    """Return a response with a JSON object."""
    return HTTPResponse(
        orjson.dumps(body),
        status=status,
        headers=dict(headers or {}),
        content_type="application/json",
    )


CSP = "Content-Security-Policy"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    CSP: "default-src 'none'; frame-ancestors 'none'",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000"}
