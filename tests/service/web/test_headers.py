"""Security headers of every answer, and CORS."""

import httpx
import pytest
import sanic

from service.web.response import CSP, ConstantHeaders, HTTPResponse
from tests.running import PASSWORD, Cinelog

SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
PAGE = "https://app.example.org"
PREFLIGHT = {
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization, if-match, x-evil",
}


def cross_origin(headers):
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/movies/"),
        ("GET", "/api/v1/nowhere/"),
        ("DELETE", "/api/v1/movies/"),
        ("HEAD", "/livez"),
        ("OPTIONS", "/api/v1/movies/"),
        ("GET", "/.well-known/jwks.json"),
        ("GET", "/metrics"),
    ],
)
def test_every_answer_has_security_headers(service, method, path):
    answer = httpx.request(method, f"{service.url}{path}", headers={"Origin": PAGE})
    assert SECURITY.items() <= dict(answer.headers).items()
    assert answer.headers["x-request-id"]
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers
    assert not cross_origin(answer.headers)


def test_a_stream_has_security_headers(service, someone):
    with someone.stream("GET", "/events/stream") as answer:
        assert SECURITY.items() <= dict(answer.headers).items()
        assert answer.headers["x-request-id"]


def test_refusals_of_unreadable_requests_have_security_headers(service):
    answer = httpx.get(f"{service.url}/api/v1/movies/", headers={"X-Big": "x" * 20_000})
    assert answer.status_code == 431
    assert SECURITY.items() <= dict(answer.headers).items()


def test_authenticated_answers_are_private(service, someone):
    """This includes refusals and 304; answers with tokens are not stored."""
    alien = {"title": "Alien", "genre": "Horror", "year": 1979}
    created = someone.post("/movies/", json=alien)
    one = f"/movies/{created.json()['id']}/"
    with service.client() as anyone:
        answers = [
            created,
            someone.get("/movies/", headers={"If-None-Match": "*"}),
            someone.get(one, headers={"If-Match": '"9"'}),
            someone.delete(one),
            anyone.get("/movies/"),
            *(
                someone.request(method, path)
                for method in ("GET", "HEAD")
                for path in ("/movies/", one, f"{one}history/", "/events/", "/auth/me/",
                             "/auth/sessions/", "/auth/me/history/", "/movies/?year=x")
            ),
        ]  # fmt: skip
        body = {"username": someone.account["username"], "password": PASSWORD}
        pair = anyone.post("/auth/token/", json=body)
        public = anyone.get(f"{service.url}/.well-known/jwks.json")
    with someone.stream("GET", "/events/stream") as stream:
        answers.append(stream)
    for answer in answers:
        assert answer.headers["cache-control"] == "private, no-cache", answer.url
        assert answer.headers.get_list("vary") == ["Authorization"]
    assert pair.headers["cache-control"] == "no-store"
    assert public.headers["cache-control"] == "public, max-age=300"
    assert "vary" not in public.headers


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """A service behind one proxy, with one allowed origin."""
    folder = tmp_path_factory.mktemp("proxied") / "var"
    with Cinelog(folder, proxies=1, cors_origins=PAGE, api_rate="1000/minute") as proxied:
        yield proxied


def test_hsts_is_sent_over_https_only(proxied):
    url = f"{proxied.url}/api/v1/movies/"
    secure = httpx.get(url, headers={"X-Forwarded-Proto": "https"})
    assert secure.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in httpx.get(url).headers


def test_configured_origins_are_allowed(proxied):
    url = f"{proxied.url}/api/v1/movies/"
    preflight = httpx.options(url, headers={"Origin": PAGE, **PREFLIGHT})
    assert preflight.status_code in (200, 204)
    assert preflight.headers["access-control-allow-origin"] == PAGE
    allowed = preflight.headers["access-control-allow-headers"].split(",")
    assert sorted(allowed) == ["authorization", "if-match"]
    answer = httpx.get(url, headers={"Origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers.get_list("vary") == ["origin, Authorization"]
    assert preflight.headers.get_list("vary") == ["origin"]
    page = httpx.get(f"{proxied.url}/openapi.json", headers={"Origin": PAGE})
    assert page.headers.get_list("vary") == ["origin, Accept-Encoding"]
    exposed = answer.headers["access-control-expose-headers"].split(",")
    assert {"etag", "link", "event-position", "ratelimit", "retry-after"} <= set(exposed)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example.org", f"{PAGE}.evil.org", "null"])
def test_other_origins_are_not_allowed(proxied, origin):
    url = f"{proxied.url}/api/v1/movies/"
    for answer in (
        httpx.options(url, headers={"Origin": origin, **PREFLIGHT}),
        httpx.get(url, headers={"Origin": origin}),
    ):
        assert not cross_origin(answer.headers)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/movies/"), ("GET", "/api/v1/nowhere/"), ("OPTIONS", "/api/v1/movies/"),
     ("HEAD", "/livez"), ("GET", "/docs"), ("GET", "/openapi.json")],
)  # fmt: skip
def test_each_header_is_sent_once(service, method, path):
    """This includes pages with their own content security policy."""
    sent = [name for name, _ in httpx.request(method, service.url + path).headers.raw]
    names = [name.lower() for name in sent]
    assert sorted(names) == sorted(set(names))
    assert {b"x-request-id", b"content-security-policy", b"referrer-policy"} <= set(names)


CONSTANT = ConstantHeaders({"X-One": "1\r\nX-Evil: 1", CSP: "none"}, but=CSP)


@pytest.mark.parametrize("response", [HTTPResponse, sanic.HTTPResponse])
@pytest.mark.parametrize("broken", ["a\r\nX-Evil: 1", "a\nb", "\ra", "a\0b", "é\r\n\r\n<html>"])
def test_header_values_contain_no_line_break(response, broken):
    """This holds for all headers and response classes."""
    answer = response(b"{}", headers={"Link": broken}, content_type=broken)
    CONSTANT.add_to(answer)
    lines = list(answer.processed_headers)
    assert {name.lower() for name, _ in lines} == {
        b"link", b"content-type", b"x-one", b"content-security-policy"
    }  # fmt: skip
    assert not [value for _, value in lines if set(value) & set(b"\r\n\0")]


@pytest.mark.parametrize("response", [HTTPResponse, sanic.HTTPResponse])
def test_a_response_keeps_its_own_policy(response):
    answer = response(b"", headers={CSP: "self"})
    CONSTANT.add_to(answer)
    policies = [
        value for name, value in answer.processed_headers if name.lower() == CSP.lower().encode()
    ]
    assert policies == [b"self"]
