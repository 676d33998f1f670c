"""Content negotiation and methods."""

import pytest

from service.web.negotiation import accepts, prefers_gzip
from tests.controls import ALIEN
from tests.running import problem

JSON = "application/json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
ROOT = {
    "/openapi.json": JSON,
    "/docs": "text/html",
    "/docs/swagger-ui.css": "text/css",
    "/livez": JSON,
    "/readyz": JSON,
    "/metrics": "text/plain",
    "/.well-known/jwks.json": JSON,
}


@pytest.fixture
def movie(ann):
    return ann.post("/movies/", json=ALIEN).json()


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        ("*/*", True),
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("APPLICATION/JSON", True),
        ("application/*", True),
        ("application/*;q=0.1", True),
        ("text/html, application/json;q=0.5", True),
        (BROWSER, True),
        ("", True),
        ("nonsense", True),
        ("application/json;q=much", True),
        ("text/html", False),
        ("text/*", False),
        ("application/xml, text/html;q=0.9", False),
        ("application/problem+json", False),
        ("application/json;q=0", False),
        ("*/*, application/json;q=0", False),
        ("*/*;q=0", False),
        ("*/*;q=0, application/*", True),
        ("text/html, " * 300 + "application/json", True),
        ("text/html, " * 300 + "text/csv", False),
    ],
)
def test_accept_header(accept, accepted):
    """The most specific range decides by its q; a malformed header is ignored."""
    assert accepts(accept, JSON) is accepted


def test_unacceptable_media_types_are_406(ann, movie):
    for method, path in (
        ("GET", "/movies/"),
        ("HEAD", "/movies/"),
        ("POST", "/movies/"),
        ("PATCH", f"/movies/{movie['id']}/"),
        ("GET", "/events/stream"),
        ("POST", "/auth/token/"),
    ):
        response = ann.request(method, path, headers={"Accept": "text/html"})
        assert response.status_code == 406
        if method != "HEAD":
            body = problem(response, 406, "not_acceptable")
            assert body["detail"] == "Could not satisfy the request Accept header."
    assert ann.get(f"/movies/{movie['id']}/").json() == movie


def test_accept_is_ignored_without_a_body(ann, movie):
    response = ann.delete(f"/movies/{movie['id']}/", headers={"Accept": "text/html"})
    assert response.status_code == 204


def test_acceptable_media_types(ann, service):
    for accept in ("*/*", "application/json", "application/*;q=0.2", BROWSER):
        assert ann.get("/movies/", headers={"Accept": accept}).status_code == 200
    metrics = ann.get(f"{service.url}/metrics", headers={"Accept": PROMETHEUS})
    assert metrics.headers["content-type"].startswith("text/plain")
    assert ann.get(f"{service.url}/metrics", headers={"Accept": JSON}).status_code == 406
    assert ann.get(f"{service.url}/docs", headers={"Accept": JSON}).status_code == 406
    with ann.stream("GET", "/events/stream", headers={"Accept": "text/event-stream"}) as stream:
        assert stream.status_code == 200
    assert ann.get("/events/stream", headers={"Accept": JSON}).status_code == 406


def test_head_is_get_without_the_body(ann, movie, service):
    """Status and headers are the same; the connection stays usable."""
    paths = ["/movies/", f"/movies/{movie['id']}/", f"/movies/{movie['id']}/history/", "/events/"]
    paths += ["/auth/me/", "/auth/sessions/", "/auth/me/history/", "/movies/nonsense/"]
    for path in [*paths, *(service.url + path for path in ROOT)]:
        got = ann.get(path, headers={"X-Request-ID": "same"})
        headed = ann.head(path, headers={"X-Request-ID": "same"})
        assert headed.content == b""
        assert headed.status_code == got.status_code
        volatile = {"content-length"} if path.endswith("/metrics") else set()
        assert _stable_headers(headed, volatile) == _stable_headers(got, volatile)


def test_head_of_a_stream_has_no_body(ann):
    response = ann.head("/events/stream")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert ann.get("/auth/me/").status_code == 200


def _stable_headers(response, volatile):
    return {name: value for name, value in response.headers.items() if name not in volatile}


def test_options_names_the_methods(service, movie):
    """Every path names its methods, with or without credentials."""
    one = f"/movies/{movie['id']}/"
    with service.client() as anyone:
        for path, methods in {
            "/movies/": "GET HEAD POST OPTIONS",
            "/movies": "GET HEAD POST OPTIONS",
            one: "GET HEAD PUT PATCH DELETE OPTIONS",
            f"{one}revert/": "POST OPTIONS",
            "/auth/token/": "POST OPTIONS",
            "/events/stream": "GET HEAD OPTIONS",
            f"{service.url}/docs": "GET HEAD OPTIONS",
            f"{service.url}/livez": "GET HEAD OPTIONS",
        }.items():
            response = anyone.options(path)
            assert (response.status_code, response.content) == (204, b"")
            assert _methods(response) == set(methods.split())
            assert _methods(anyone.request("TRACE", path)) == set(methods.split())
        assert anyone.options("/nowhere/").status_code == 404


def test_unsupported_methods_are_405(ann, movie, service):
    """Before credentials are checked, 405 names the path's methods."""
    one = f"/movies/{movie['id']}/"
    with service.client() as anyone:
        for client in (ann, anyone):
            for method, path in (
                ("POST", one),
                ("POST", one.rstrip("/")),
                ("DELETE", "/movies/"),
                ("GET", "/auth/register/"),
                ("PUT", f"{one}history/"),
                ("BREW", one),
            ):
                response = client.request(method, path)
                body = problem(response, 405, "method_not_allowed")
                assert body["detail"] == f'Method "{method}" not allowed.'
                assert method not in _methods(response)
                assert "OPTIONS" in _methods(response)


def _methods(response):
    return {name.strip() for name in response.headers["allow"].split(",")}


def test_415_names_the_accepted_media_types(ann):
    text = {"Content-Type": "text/plain"}
    response = ann.post("/movies/", content=b"x", headers=text)
    problem(response, 415, "unsupported_media_type")
    assert response.headers["accept"] == JSON
    problem(ann.post("/movies/", content=b" " * (1024 * 1024 + 1)), 413, "payload_too_large")
    assert ann.post("/movies/", json=ALIEN).status_code == 201


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ("gzip", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.001", True),
        ("*", True),
        ("*;q=0.5, identity;q=0.5", True),
        ("gzip ; q=0.8 , identity; q=0.5", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=2", False),
        ("gzip;level=9", False),
        ("gzip gzip", False),
        (",,gzip,", True),
    ],
)
def test_gzip_follows_accept_encoding(given, accepted):
    assert prefers_gzip(given) is accepted
