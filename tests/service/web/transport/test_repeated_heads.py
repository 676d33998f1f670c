"""A connection keeps the header fields of its last request; answers are those of a new connection."""

import re
import socket

import pytest

from tests.service.web.transport.test_server import running_server

FIELDS = b"Host: localhost\r\nX-One: 1\r\nX-One: 2"
SIZED = FIELDS + b"\r\nContent-Length: 3"
READ = b"GET /echo?a=1 HTTP/1.1\r\n" + FIELDS + b"\r\n\r\n"
WRITE = b"POST /echo HTTP/1.1\r\n" + SIZED + b"\r\n\r\nabc"
LAST = b"GET /echo?last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f-]{27}")


@pytest.fixture(scope="module")
def port():
    with running_server() as port:
        yield port


def answers(port, *parts):
    """Send parts one by one; return what the server sends until it closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for part in parts:
                sock.sendall(part)
            while data := sock.recv(65_536):
                received += data
        except ConnectionError:
            pass
    return _ID.sub(b"ID", received)


def with_line(line, fields=FIELDS, body=b""):
    return line + b"\r\n" + fields + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (READ, READ),
        (READ, with_line(b"GET /echo?b=2&b=3 HTTP/1.1")),
        (READ, with_line(b"HEAD /echo HTTP/1.1")),
        (READ, with_line(b"POST /echo HTTP/1.1")),
        (READ, with_line(b"PUT /echo HTTP/1.1")),
        (READ, with_line(b"get /echo HTTP/1.1")),
        (READ, with_line(b"GET http://localhost/echo HTTP/1.1")),
        (READ, with_line(b"GET /echo HTTP/1.0")),
        (READ, with_line(b"GET /echo HTTP/2.0")),
        (READ, with_line(b"GET  /echo HTTP/1.1")),
        (READ, with_line(b"GET /echo HTTP/1.1 ")),
        (READ, with_line(b"GET /ec\x7fho HTTP/1.1")),
        (READ, with_line(b"GET /echo\xc3 HTTP/1.1")),
        (READ, with_line(b"GET http://[ HTTP/1.1")),
        (READ, with_line(b"GET /echo HTTP/1.1\nX-Two: 2")),
        (READ, with_line(b"")),
        (READ, with_line(b"GET /echo HTTP/1.1", FIELDS + b"\r\nX-Two: 2")),
        (READ, with_line(b"GET /echo HTTP/1.1", FIELDS + b"\r\nX-Two : 2")),
        (READ, with_line(b"GET /echo HTTP/1.1", FIELDS + b"\r\nHost: localhost")),
        (READ, with_line(b"GET /echo HTTP/1.1", FIELDS.replace(b"2", b"3"))),
        (READ, with_line(b"GET /echo HTTP/1.1", FIELDS.replace(b"\r\n", b"\n"))),
        (READ, WRITE),
        (WRITE, WRITE),
        (WRITE, READ),
        (WRITE, with_line(b"POST /echo HTTP/1.1", SIZED, b"xyz")),
        (WRITE, with_line(b"GET /echo HTTP/1.1", SIZED, b"xyz")),
        (WRITE, with_line(b"POST /echo HTTP/1.1", SIZED + b"\r\nContent-Length: 3", b"xyz")),
        (
            WRITE,
            with_line(
                b"POST /echo HTTP/1.1",
                FIELDS + b"\r\nTransfer-Encoding: chunked",
                b"3\r\nxyz\r\n0\r\n\r\n",
            ),
        ),
    ],
)
def test_answers_are_those_of_a_new_connection(port, first, second):
    """The handler gets the same method, parameters, fields and body, or the request is refused."""
    last = answers(port, LAST)
    begun = answers(port, first, LAST).removesuffix(last)
    assert begun.startswith(b"HTTP/1.1 200 OK")
    assert answers(port, first, second, LAST) == begun + answers(port, second, LAST)
    assert answers(port, first + second + LAST) == begun + answers(port, second + LAST)


def test_a_head_may_arrive_in_parts(port):
    begun = answers(port, READ, LAST)
    parts = [READ[at : at + 1] for at in range(len(READ))]
    assert answers(port, READ, READ, LAST) == answers(port, READ, *parts, LAST)
    assert len(answers(port, READ, READ, LAST)) > len(begun)


def test_what_a_handler_adds_to_the_headers_is_not_kept(port):
    assert b"by the handler" not in answers(port, READ, READ, READ, LAST)


def test_fields_are_kept_within_a_bound(port):
    large = with_line(b"GET /echo HTTP/1.1", FIELDS + b"\r\nX-Large: " + b"x" * 5_000)
    assert answers(port, large, large, LAST).count(b"HTTP/1.1 200 OK") == 3
