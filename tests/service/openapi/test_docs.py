"""The API documentation page: own files only, no request to another host."""

import gzip
import hashlib
import re
from importlib.resources import files

import httpx
import pytest
from playwright.sync_api import expect

from service.routes.docs import Docs
from service.settings import Settings
from tests.running import PASSWORD, problem
from tests.service.browser import browsing

VENDORED = files("service").joinpath("assets", "swagger-ui")
FILES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}


def test_vendored_files_match_the_readme():
    readme = VENDORED.joinpath("README.md").read_text()
    checksums = dict(re.findall(r"^\| `(\S+)` \| `([0-9a-f]{64})` \|$", readme, re.MULTILINE))
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDORED.iterdir()
        if file.name != "README.md"
    }
    assert found == checksums


def test_the_page_allows_own_files_only(service):
    """The page is public, and its policy allows own files only."""
    for path in ("/docs", "/docs/"):
        page = httpx.get(service.url + path)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert page.headers["x-content-type-options"] == "nosniff"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert not re.search(r"""(src|href)=["'](?!/|data:,)""", page.text)


@pytest.mark.parametrize("name", FILES)
def test_files_are_cached_and_revalidated(service, name):
    """Browsers cache the files and revalidate them by ETag."""
    url = f"{service.url}/docs/{name}"
    file = httpx.get(url)
    assert (file.status_code, file.headers["content-type"]) == (200, FILES[name])
    assert file.headers["x-content-type-options"] == "nosniff"
    assert file.headers["cache-control"] == "public, max-age=3600"
    again = httpx.get(url, headers={"If-None-Match": file.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def fetch_raw(url, **headers):
    """Return the response and its raw body."""
    with httpx.stream("GET", url, headers=headers) as answer:
        return answer, b"".join(answer.iter_raw())


def test_the_page_is_compressed(service):
    """The files have 2.1 MB uncompressed and less than 0.6 MB in gzip."""
    paths = ["/docs", "/openapi.json", *(f"/docs/{name}" for name in FILES)]
    plain = packed = 0
    for path in paths:
        whole, content = fetch_raw(service.url + path, **{"Accept-Encoding": "identity"})
        small, sent = fetch_raw(service.url + path, **{"Accept-Encoding": "br, gzip;q=0.5"})
        assert "content-encoding" not in whole.headers
        assert small.headers["content-encoding"] == "gzip"
        assert int(small.headers["content-length"]) == len(sent)
        assert gzip.decompress(sent) == content
        assert whole.headers["vary"] == small.headers["vary"] == "Accept-Encoding"
        assert whole.headers["etag"] != small.headers["etag"]
        plain, packed = plain + len(content), packed + len(sent)
    assert plain > 2_000_000
    assert packed < 600_000


def test_each_coding_has_its_own_etag(service):
    """Each content coding has its own ETag; a refusal has no coding."""
    url = f"{service.url}/openapi.json"
    tag = httpx.get(url).headers["etag"]
    same, body = fetch_raw(url, **{"If-None-Match": tag})
    assert (same.status_code, body, same.headers["etag"]) == (304, b"", tag)
    assert same.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in same.headers
    other, _ = fetch_raw(url, **{"If-None-Match": tag, "Accept-Encoding": "identity"})
    assert other.status_code == 200
    refused = httpx.get(url, headers={"If-Match": '"other"'})
    assert "content-encoding" not in refused.headers
    problem(refused, 412, "precondition_failed")
    whole = httpx.get(url, headers={"If-Match": tag})
    assert (whole.status_code, whole.headers["content-encoding"]) == (200, "gzip")
    head = httpx.head(url)
    assert (head.headers["content-encoding"], head.headers["etag"]) == ("gzip", tag)


@pytest.mark.parametrize("name", ["README.md", "..%2f..%2fsettings.py", "page.html", "%2e%2e"])
def test_other_files_are_not_found(service, name):
    problem(httpx.get(f"{service.url}/docs/{name}"), 404, "not_found")


def test_the_page_below_a_path():
    """Behind a proxy that serves the API below a path, the page loads its files from that path."""
    docs = Docs.of({}, Settings(public_url="https://example.org/movies/"))
    assert b'src="/movies/docs/start.js"' in docs.page.content
    assert b'data-description="/movies/openapi.json"' in docs.page.content


@pytest.fixture(scope="module")
def pages():
    with browsing() as pages:
        yield pages


@pytest.fixture
def page(pages, service):
    """The page of the description. It contacts no other host and logs no error."""
    pages.urls.clear()
    page = pages.open(f"{service.url}/docs")
    yield page
    assert f"{service.url}/openapi.json" in pages.urls
    assert [url for url in pages.urls if not url.startswith((f"{service.url}/", "data:"))] == []
    pages.close()


def test_a_browser_shows_every_operation(page, service):
    described = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    shown = sum(len(item.keys() - {"head", "options", "parameters"}) for item in described.values())
    expect(page.locator(".opblock")).to_have_count(shown)
    expect(page.locator(".info .title")).to_contain_text("Cinelog")
    for name in ("Movies-createMovie", "Tokens-signIn"):
        page.locator(f"#operations-{name} .opblock-summary-control").click()
        expect(page.locator(f"#operations-{name} .responses-table")).to_be_visible()
    expect(page.locator("#operations-Movies-createMovie")).to_contain_text("Alien")


def test_a_browser_signs_in_and_calls_an_operation(page, ann):
    """A user signs in on the page and calls an operation."""
    page.locator(".auth-wrapper .authorize").click()
    page.locator("#oauth_username").fill(ann.account["username"])
    page.locator("#oauth_password").fill(PASSWORD)
    form = page.locator(".auth-container", has=page.locator("#oauth_username"))
    form.locator(".authorize").click()
    expect(
        page.get_by_role("button", name="Logout").or_(page.get_by_text("Logout")).first
    ).to_be_visible()
    page.locator(".btn-done").first.click()
    operation = page.locator("#operations-Accounts-readAccount")
    operation.locator(".opblock-summary-control").click()
    operation.locator(".try-out__btn").click()
    operation.locator(".execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text(ann.account["email"])
