"""A strict HTTP parser, against request smuggling.

If a proxy in front of the service sees other request boundaries than the service, one client can
write into another's request. So a head that violates RFC 9112 gets 400 and the connection is
closed, where the framework is lenient:

1. Lines end in CRLF and have no other control character; no line is folded, and no white space
   precedes a colon (RFC 9112, 2.2 and 5.1).
2. There is one well-formed ``Host`` (3.2). ``Content-Length`` has ASCII digits (6.3).
3. ``Transfer-Encoding`` is ``chunked``, without ``Content-Length`` and not from HTTP/1.0 (6.1).
4. A chunk's size is hexadecimal digits, and each chunk ends in CRLF (7.1).
"""

import re
from typing import Any

from sanic.exceptions import BadRequest, SanicException
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE
from sanic.request import Request

from service.web.response import HTTPResponse

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_HEAD = re.compile(
    _TOKEN + rb" [\x21-\x7e]++ HTTP/1\.[01](?:\r\n" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+)*+"
)
_HOST = re.compile(r"[A-Za-z0-9.\-_~%!$&'()*+,;=:\[\]]*")
_LENGTH = re.compile(r"[0-9]{1,15}[ \t]*")
_CHUNK = re.compile(rb"\r\n[0-9A-Fa-f]{1,8}[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_MAX_CHUNK_LINE = 256


class StrictHttp(Http):
    """Checks requests before the framework reads them."""

    __slots__ = ()

    async def http1_request_header(self) -> None:
        """Read the head. Raises BadRequest for a malformed one."""
        await super().http1_request_header()  # type: ignore[no-untyped-call]
        connection: Any = self.protocol
        if connection.reserved:
            self.keep_alive = False
        if not _is_valid(self.request):
            self.request_body = None  # its end is unknown
            raise BadRequest("Bad Request")

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001
        """Send a whole answer at once, or the head of any other."""
        response: Any = self.response
        is_whole = not data and end_stream and isinstance(response, HTTPResponse) and response.body
        if not is_whole or self.head_only or self.expecting_continue or self.protocol.access_log:
            await super().http1_response_header(data, end_stream)
            return
        self.response_func = None  # type: ignore[assignment]
        self.response_size = len(response.body)
        await self._send(response.head(keep_alive=self.keep_alive) + response.body)
        self.stage = Stage.IDLE

    async def read(self) -> bytes | None:
        """Read some of the body. Raises BadRequest for a malformed chunk."""
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
        # The buffer begins with the CRLF of the line before.
        while (end := buffer.find(b"\r\n", 2)) < 0 and len(buffer) <= _MAX_CHUNK_LINE:
            await self._receive_more()
        if not 0 <= end <= _MAX_CHUNK_LINE or not _CHUNK.fullmatch(buffer, 0, end + 2):
            self.keep_alive = False
            raise BadRequest("Bad chunked encoding")

    def create_empty_request(self) -> None:
        """Create the request that represents an unreadable one, whatever its target."""
        try:
            super().create_empty_request()
        except SanicException:
            self.url = None
            super().create_empty_request()


def _is_valid(request: Request) -> bool:
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
