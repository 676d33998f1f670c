"""A browser's session: tokens in cookies that count for the service's own page only."""

import re

import httpx
import pytest

from tests.controls import ALIEN
from tests.running import PASSWORD, Cinelog, problem

SESSION = "/auth/session/"
SAME = {"Sec-Fetch-Site": "same-origin"}
PAGE = SAME | {"X-Cinelog": "page"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Cinelog(tmp_path_factory.mktemp("cookies") / "var", login_rate="off") as service:
        service.account("ann")
        yield service


@pytest.fixture
def browser(service):
    """A client that keeps cookies, as the service's own page."""
    with httpx.Client(base_url=f"{service.url}/api/v1", headers=PAGE) as client:
        yield client


def sign_in(client, **headers):
    body = {"username": "ann", "password": PASSWORD}
    return client.post(SESSION, json=body, headers=headers)


def set_cookies(response):
    """Return name → (value, attributes) of what a response sets."""
    lines = (line.partition("=") for line in response.headers.get_list("set-cookie"))
    return {name: tuple(rest.split("; ", 1)) for name, _, rest in lines}


def test_signing_in_gives_tokens_to_the_browser_alone(browser, service):
    answer = sign_in(browser)
    assert answer.status_code == 200
    assert answer.json() == browser.get("/auth/me/").json()
    assert answer.headers["Cache-Control"] == "no-store"
    given = set_cookies(answer)
    assert given["cinelog"][1] == "Path=/; Max-Age=300; HttpOnly; SameSite=Strict"
    refresh = "Path=/api/v1/auth/session/; Max-Age=86400; HttpOnly; SameSite=Strict"
    assert given["cinelog-refresh"][1] == refresh
    for token, _ in given.values():
        assert token.count(".") == 2
        assert token not in answer.text
        assert token not in service.log_path.read_text()


def test_a_wrong_password_sets_no_cookie(browser):
    body = {"username": "ann", "password": "wrong-horse-7"}
    refused = browser.post(SESSION, json=body)
    problem(refused, 401, "no_active_account")
    assert not set_cookies(refused)


OURS = [SAME, {"Origin": "{url}"}, {"Sec-Fetch-Site": "same-origin", "Origin": "{url}"}]
NOT_OURS = [
    {},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
]


@pytest.mark.parametrize("headers", OURS)
def test_the_cookie_counts_for_our_page(browser, service, headers):
    sign_in(browser)
    headers = {name: value.format(url=service.url) for name, value in headers.items()}
    with httpx.Client(base_url=browser.base_url, cookies=browser.cookies) as page:
        answer = page.get("/movies/", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["Vary"] == "Authorization, Cookie"
        written = page.post("/movies/", json=ALIEN, headers=headers | {"X-Cinelog": "page"})
        assert written.status_code == 201


@pytest.mark.parametrize("headers", NOT_OURS)
def test_the_cookie_does_not_count_for_other_pages(browser, headers):
    sign_in(browser)
    with httpx.Client(base_url=browser.base_url, cookies=browser.cookies) as page:
        problem(page.get("/movies/", headers=headers), 401, "not_authenticated")
        headers = headers | {"X-Cinelog": "page"}
        problem(page.post("/movies/", json=ALIEN, headers=headers), 401, "not_authenticated")


def test_a_change_needs_the_header_of_the_page(browser):
    sign_in(browser)
    del browser.headers["X-Cinelog"]
    assert browser.get("/movies/").status_code == 200
    assert browser.head("/movies/").status_code == 200
    problem(browser.post("/movies/", json=ALIEN), 401, "not_authenticated")
    other = {"X-Cinelog": "other"}
    problem(browser.post("/movies/", json=ALIEN, headers=other), 401, "not_authenticated")


def test_authorization_counts_instead_of_the_cookie(browser):
    sign_in(browser)
    bad = {"Authorization": "Bearer x"}
    problem(browser.get("/movies/", headers=bad), 401, "token_not_valid")
    basic = {"Authorization": "Basic YW5uOng="}
    problem(browser.get("/movies/", headers=basic), 401, "not_authenticated")


@pytest.mark.parametrize("headers", NOT_OURS[2:])
def test_pages_of_other_sites_cannot_sign_in_or_out(browser, headers):
    """A browser signed in by another site would write into that site's account."""
    sign_in(browser)
    del browser.headers["Sec-Fetch-Site"]
    refused = sign_in(browser, **headers)
    problem(refused, 403, "permission_denied")
    assert not set_cookies(refused)
    problem(browser.post(f"{SESSION}refresh/", headers=headers), 403, "permission_denied")
    problem(browser.delete(SESSION, headers=headers), 403, "permission_denied")
    assert browser.get("/auth/me/", headers=SAME).status_code == 200


def test_a_refresh_renews_both_cookies(browser):
    sign_in(browser)
    before = dict(browser.cookies)
    answer = browser.post(f"{SESSION}refresh/")
    assert (answer.status_code, answer.json()["username"]) == (200, "ann")
    given = set_cookies(answer)
    assert given.keys() == {"cinelog", "cinelog-refresh"}
    assert given["cinelog-refresh"][0] != before["cinelog-refresh"]
    assert browser.get("/auth/me/").status_code == 200


def test_two_tabs_that_refresh_at_once_get_the_same_tokens(browser):
    sign_in(browser)
    tabs = [httpx.Client(base_url=browser.base_url, headers=PAGE) for _ in range(2)]
    answers = []
    for tab in tabs:
        cookie = f"cinelog-refresh={browser.cookies['cinelog-refresh']}"
        answers.append(tab.post(f"{SESSION}refresh/", headers={"Cookie": cookie}))
        tab.close()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert set_cookies(answers[0]) == set_cookies(answers[1])


@pytest.mark.parametrize(
    ("cookie", "code"),
    [
        ("", "not_authenticated"),
        ("cinelog-refresh=x", "token_not_valid"),
        ("cinelog-refresh=a; cinelog-refresh=b", "token_not_valid"),
    ],
)
def test_a_refresh_without_a_good_token_removes_the_cookies(browser, cookie, code):
    refused = browser.post(f"{SESSION}refresh/", headers={"Cookie": cookie} if cookie else {})
    problem(refused, 401, code)
    given = set_cookies(refused)
    assert {name: value for name, (value, _) in given.items()} == {
        "cinelog": "",
        "cinelog-refresh": "",
    }
    assert all("Max-Age=0" in attributes for _, attributes in given.values())


def test_signing_out_ends_the_session(browser):
    """Also once the access token has expired, when the browser has only the other cookie."""
    sign_in(browser)
    refresh = browser.cookies["cinelog-refresh"]
    del browser.cookies["cinelog"]
    ended = browser.delete(SESSION)
    assert (ended.status_code, ended.content) == (204, b"")
    assert all(value == "" for value, _ in set_cookies(ended).values())
    assert not browser.cookies
    again = browser.post(f"{SESSION}refresh/", headers={"Cookie": f"cinelog-refresh={refresh}"})
    problem(again, 401, "token_not_valid")
    assert browser.delete(SESSION).status_code == 204


def test_a_page_follows_the_stream(browser):
    sign_in(browser)
    movie = browser.post("/movies/", json=ALIEN).json()
    del browser.headers["X-Cinelog"]  # a browser's EventSource sends no header of ours
    with browser.stream("GET", "/events/stream?after=0") as stream:
        assert stream.status_code == 200
        assert any(movie["id"] in line for line in stream.iter_lines())


def test_cookies_over_tls_belong_to_this_host(tmp_path):
    with Cinelog(tmp_path / "var", proxies=1, public_url="https://movies.example") as service:
        service.account("ann")
        headers = PAGE | {"X-Forwarded-Proto": "https", "Host": "movies.example"}
        with httpx.Client(base_url=f"{service.url}/api/v1", headers=headers) as client:
            given = set_cookies(sign_in(client))
            secure = "Secure; HttpOnly; SameSite=Strict"
            assert given["__Host-cinelog"][1] == f"Path=/; Max-Age=300; {secure}"
            path = "/api/v1/auth/session/"
            refresh = given["__Secure-cinelog-refresh"]
            assert refresh[1] == f"Path={path}; Max-Age=86400; {secure}"
            cookie = {"Cookie": f"__Host-cinelog={given['__Host-cinelog'][0]}"}
            assert client.get("/movies/", headers=cookie).status_code == 200
            plain = {"Cookie": f"cinelog={given['__Host-cinelog'][0]}"}
            problem(client.get("/movies/", headers=plain), 401, "not_authenticated")
            ours = cookie | {"Sec-Fetch-Site": "none", "Origin": "https://movies.example"}
            assert client.get("/movies/", headers=ours).status_code == 200
            cookie = {"Cookie": f"__Secure-cinelog-refresh={refresh[0]}"}
            renewed = set_cookies(client.post(f"{SESSION}refresh/", headers=cookie))
            assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", renewed["__Host-cinelog"][0])
