"""The head of a whole answer is what Sanic would send."""

import pytest
from sanic.headers import format_http1_response

from service.web.response import ConstantHeaders, HTTPResponse

CONSTANT = ConstantHeaders({"X-Constant": "1", "X-Policy": "none"}, but="X-Policy")


def heads(headers, status=200, **more):
    """Return the head that is sent, and the one of the framework."""
    found = []
    for _ in range(2):
        response = HTTPResponse(b"body", status=status, headers=headers, **more)
        CONSTANT.add_to(response)
        found.append(response)
    response, other = found
    other.headers["content-length"], other.headers["connection"] = 4, "keep-alive"
    return response.head(keep_alive=True), format_http1_response(status, other.processed_headers)


@pytest.mark.parametrize("status", [200, 201, 404, 503])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ETag": 'W/"p1"', "Event-Position": "7"},
        {"Content-Type": "application/problem+json"},
        {"X-Policy": "its own"},
        {"X-Text": "Élan"},
        {"X-Text": "a\udc80b"},
        {"X-Text": "a\r\nInjected: 1"},
        {"X-Text": "a\nInjected: 1"},
        {"X-Text": "a\rInjected: 1"},
        {"X-Text": "a\r\nInjected: 1", "X-Other": "a\r\r\n\nInjected: 1"},
        {"X-Text": "\nInjected: 1", "X-Other": "a\r"},
        {"X-Text": "a\0b"},
        {"X-Text": "a\tb\x7f"},
        {"X-Number": 7},
    ],
)
def test_it_is_that_of_the_framework(headers, status):
    """Line breaks in values never become headers."""
    sent, framework = heads(headers, status, content_type="application/json")
    assert sent.endswith(b"\r\n\r\n")
    assert sorted(sent.split(b"\r\n")) == sorted(framework.split(b"\r\n"))
    assert sent.split(b"\r\n")[0] == framework.split(b"\r\n")[0]
    assert b"\r\nInjected" not in sent


def test_a_connection_that_ends_is_told():
    assert b"connection: close\r\n" in HTTPResponse(b"x").head(keep_alive=False)
