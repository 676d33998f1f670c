"""A strict HTTP parser, against request smuggling.

If a proxy in front of the service sees other request boundaries than the service, one client can
write into another's request. So a head that violates RFC 9112 gets 400 and the connection is
closed, where the framework is lenient:

1. Lines end in CRLF and have no other control character; no line is folded, and no white space
   precedes a colon (RFC 9112, 2.2 and 5.1).
2. There is one well-formed ``Host`` (3.2). ``Content-Length`` has ASCII digits (6.3).
3. ``Transfer-Encoding`` is ``chunked``, without ``Content-Length`` and not from HTTP/1.0 (6.1).
4. A chunk's size is hexadecimal digits, and each chunk ends in CRLF (7.1).

Clients repeat their headers, so a connection keeps the last ones that passed. If the next head has
the same bytes, only its request line is parsed and checked.
"""

import re
from typing import Any, NamedTuple, cast

from sanic.compat import Header
from sanic.exceptions import BadRequest, SanicException
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE
from sanic.request import Request

from service.web.response import HTTPResponse

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_HEAD = re.compile(
    _TOKEN + rb" [\x21-\x7e]++ HTTP/1\.[01](?:\r\n" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+)*+"
)
_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]++) HTTP/1\.1")
_HOST = re.compile(r"[A-Za-z0-9.\-_~%!$&'()*+,;=:\[\]]*")
_LENGTH = re.compile(r"[0-9]{1,15}[ \t]*")
_CHUNK = re.compile(rb"\r\n[0-9A-Fa-f]{1,8}[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_MAX_CHUNK_LINE = 256
_MAX_KEPT = 4_096


class _Fields(NamedTuple):
    """Header fields that passed: from the end of the request line to the end of the head.

    ``length`` is the size of the body in bytes, None without a body.
    """

    raw: bytes
    headers: Header
    length: int | None


class StrictHttp(Http):
    """Checks requests before the framework reads them."""

    __slots__ = ("_kept",)

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self._kept: _Fields | None = None

    async def http1_request_header(self) -> None:
        """Read the head. Raises BadRequest for a malformed one."""
        if self._kept is not None and self._repeats(self._kept):
            return
        self._kept = None
        await super().http1_request_header()  # type: ignore[no-untyped-call]
        connection: Any = self.protocol
        if connection.reserved:
            self.keep_alive = False
        if not _is_valid(self.request):
            self.request_body = None  # its end is unknown
            raise BadRequest("Bad Request")
        self._keep()

    def _keep(self) -> None:
        """Keep the fields of a valid head, unless they ask for more than an answer."""
        request, body = self.request, cast("Any", self.request_body)
        if (
            self.keep_alive
            and request.version == "1.1"
            and len(request.head) <= _MAX_KEPT
            and not self.expecting_continue
            and not self.upgrade_websocket
            and body != "chunked"
        ):
            raw = request.head[request.head.find(b"\r\n") :]
            length = self.request_bytes if body else None
            self._kept = _Fields(raw, Header(request.headers), length)

    def _repeats(self, kept: _Fields) -> bool:
        """Read a head with the fields ``kept``; return False, with nothing read, for any other.

        Does for it what the framework does.
        """
        buffer, connection = self.recv_buffer, cast("Any", self.protocol)
        start = buffer.find(b"\r\n")
        end = start + len(kept.raw)
        if not buffer.startswith(kept.raw + b"\r\n\r\n", start) or end >= self.HEADER_MAX_SIZE:
            return False
        head = bytes(buffer[:end])
        line = _LINE.fullmatch(head, 0, start)
        if line is None or not connection.app.config.KEEP_ALIVE:
            return False
        method, self.url = line[1].decode(), line[2].decode()
        self.keep_alive, self.head_only = True, method.upper() == "HEAD"
        request = connection.request_class(
            url_bytes=line[2],
            headers=kept.headers,
            head=head,
            version="1.1",
            method=method,
            transport=connection.transport,
            app=connection.app,
        )
        connection.request_class._current.set(request)  # noqa: SLF001 - as the framework
        self.request_body = None if kept.length is None else cast("Any", True)
        self.request_bytes_left = self.request_bytes = kept.length or 0
        del buffer[: end + 4]
        self.request, request.stream = request, self
        connection.state["requests_count"] += 1
        return True

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
