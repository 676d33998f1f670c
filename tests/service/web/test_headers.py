"""Headers that every answer carries, and what other sites' pages may do."""

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
def test_every_answer_carries_them(service, method, path):
    answer = httpx.request(method, f"{service.url}{path}", headers={"Origin": PAGE})
    assert SECURITY.items() <= dict(answer.headers).items()
    assert answer.headers["x-request-id"]
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers
    assert not cross_origin(answer.headers)


def test_a_stream_carries_them(service, someone):
    with someone.stream("GET", "/events/stream") as answer:
        assert SECURITY.items() <= dict(answer.headers).items()
        assert answer.headers["x-request-id"]


def test_what_cannot_be_read_is_answered_with_them(service):
    answer = httpx.get(f"{service.url}/api/v1/movies/", headers={"X-Big": "x" * 20_000})
    assert answer.status_code == 431
    assert SECURITY.items() <= dict(answer.headers).items()


def test_what_is_behind_a_token_is_its_callers(service, someone):
    """Also where it is refused, and where nothing has changed; tokens are not kept at all."""
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
def behind(tmp_path_factory):
    """A service behind one proxy, for one page."""
    folder = tmp_path_factory.mktemp("behind") / "var"
    with Cinelog(folder, proxies=1, cors_origins=PAGE, api_rate="1000/minute") as behind:
        yield behind


def test_https_is_to_stay_where_the_proxy_speaks_it(behind):
    url = f"{behind.url}/api/v1/movies/"
    secure = httpx.get(url, headers={"X-Forwarded-Proto": "https"})
    assert secure.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in httpx.get(url).headers


def test_pages_of_configured_origins_may_call(behind):
    url = f"{behind.url}/api/v1/movies/"
    asked = httpx.options(url, headers={"Origin": PAGE, **PREFLIGHT})
    assert asked.status_code in (200, 204)
    assert asked.headers["access-control-allow-origin"] == PAGE
    allowed = asked.headers["access-control-allow-headers"].split(",")
    assert sorted(allowed) == ["authorization", "if-match"]
    answer = httpx.get(url, headers={"Origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers.get_list("vary") == ["origin, Authorization"]
    assert asked.headers.get_list("vary") == ["origin"]
    page = httpx.get(f"{behind.url}/openapi.json", headers={"Origin": PAGE})
    assert page.headers.get_list("vary") == ["origin, Accept-Encoding"]
    exposed = answer.headers["access-control-expose-headers"].split(",")
    assert {"etag", "link", "event-position", "ratelimit", "retry-after"} <= set(exposed)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example.org", f"{PAGE}.evil.org", "null"])
def test_pages_of_other_origins_may_not(behind, origin):
    url = f"{behind.url}/api/v1/movies/"
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
    """Each is a header of its own on the wire, also where a page has a policy of its own."""
    sent = [name for name, _ in httpx.request(method, service.url + path).headers.raw]
    names = [name.lower() for name in sent]
    assert sorted(names) == sorted(set(names))
    assert {b"x-request-id", b"content-security-policy", b"referrer-policy"} <= set(names)


CONSTANT = ConstantHeaders({"X-One": "1\r\nX-Evil: 1", CSP: "none"}, but=CSP)


@pytest.mark.parametrize("response", [HTTPResponse, sanic.HTTPResponse])
@pytest.mark.parametrize("broken", ["a\r\nX-Evil: 1", "a\nb", "\ra", "a\0b", "é\r\n\r\n<html>"])
def test_no_value_holds_a_line_break(response, broken):
    """Whoever sets it, and whatever kind of response it is."""
    answer = response(b"{}", headers={"Link": broken}, content_type=broken)
    CONSTANT.add_to(answer)
    lines = list(answer.processed_headers)
    assert {name.lower() for name, _ in lines} == {
        b"link", b"content-type", b"x-one", b"content-security-policy"
    }  # fmt: skip
    assert not [value for _, value in lines if set(value) & set(b"\r\n\0")]


@pytest.mark.parametrize("response", [HTTPResponse, sanic.HTTPResponse])
def test_a_response_keeps_a_policy_of_its_own(response):
    answer = response(b"", headers={CSP: "self"})
    CONSTANT.add_to(answer)
    policies = [
        value for name, value in answer.processed_headers if name.lower() == CSP.lower().encode()
    ]
    assert policies == [b"self"]
