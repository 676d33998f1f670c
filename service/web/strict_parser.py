"""Where a request begins and ends: what two readers could read in two ways is refused.

A proxy in front of us that sees other boundaries than we do lets one client write into another's
request (request smuggling). So a head that is not to the letter of RFC 9112 is answered with 400
and the connection is closed, where the framework is lenient:

1. Lines end in CRLF; no other control character stands in them, no line is folded, and there is no
   white space before a colon (RFC 9112, 2.2 and 5.1).
2. One ``Host``, of its form (3.2). ``Content-Length`` in ASCII digits (6.3).
3. ``Transfer-Encoding`` is ``chunked``, without ``Content-Length`` and not from HTTP/1.0 (6.1).
4. A chunk's size is hexadecimal digits, and each chunk ends in CRLF (7.1).
"""

import re
from typing import Any

from sanic.exceptions import BadRequest, SanicException
from sanic.http import Http
from sanic.http.http1 import HTTP_CONTINUE
from sanic.request import Request

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_HEAD = re.compile(
    _TOKEN + rb" [\x21-\x7e]++ HTTP/1\.[01](?:\r\n" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+)*+"
)
_HOST = re.compile(r"[A-Za-z0-9.\-_~%!$&'()*+,;=:\[\]]*")
_LENGTH = re.compile(r"[0-9]{1,15}[ \t]*")
_CHUNK = re.compile(rb"\r\n[0-9A-Fa-f]{1,8}[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_MAX_CHUNK_LINE = 256


class StrictHttp(Http):
    """Reads requests as the framework does, having checked what it reads."""

    __slots__ = ()

    async def http1_request_header(self) -> None:
        """Read the head. Raises BadRequest for one that is not to the letter."""
        await super().http1_request_header()  # type: ignore[no-untyped-call]
        connection: Any = self.protocol
        if connection.kept_back:
            self.keep_alive = False
        if not _is_sound(self.request):
            self.request_body = None  # where it would end, nobody can tell
            raise BadRequest("Bad Request")

    async def read(self) -> bytes | None:
        """Read some of the body. Raises BadRequest for a chunk that is not to the letter."""
        body: Any = self.request_body
        if body == "chunked" and self.request_bytes_left == 0:
            await self._check_chunk()
        data: bytes | None = await super().read()
        return data

    async def _check_chunk(self) -> None:
        if self.expecting_continue:
            self.expecting_continue = False
            await self._send(HTTP_CONTINUE)
        buffer = self.recv_buffer
        # What is left of the line before comes first: its CRLF.
        while (end := buffer.find(b"\r\n", 2)) < 0 and len(buffer) <= _MAX_CHUNK_LINE:
            await self._receive_more()
        if not 0 <= end <= _MAX_CHUNK_LINE or not _CHUNK.fullmatch(buffer, 0, end + 2):
            self.keep_alive = False
            raise BadRequest("Bad chunked encoding")

    def create_empty_request(self) -> None:
        """Stand in for a request that could not be read, whatever its target."""
        try:
            super().create_empty_request()
        except SanicException:
            self.url = None
            super().create_empty_request()


def _is_sound(request: Request) -> bool:
    if not _HEAD.fullmatch(request.head):
        return False
    headers, old = request.headers, request.version == "1.0"
    hosts = headers.getall("host", [])
    if len(hosts) != 1 and not (old and not hosts):
        return False
    if hosts and not _HOST.fullmatch(hosts[0].rstrip(" \t")):
        return False
    if "transfer-encoding" in headers:
        return not old
    length = headers.get("content-length")
    return length is None or bool(_LENGTH.fullmatch(length))
