"""The page that shows the description: our own files, and not one request to another host."""

import gzip
import hashlib
import re
from importlib.resources import files

import httpx
import pytest

from service.routes.docs import Docs
from service.settings import Settings
from tests.running import PASSWORD, eventually, problem
from tests.service.browser import Browser

VENDORED = files("service").joinpath("assets", "swagger-ui")
FILES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}


def test_the_vendored_files_are_those_of_the_readme():
    readme = VENDORED.joinpath("README.md").read_text()
    checksums = dict(re.findall(r"^\| `(\S+)` \| `([0-9a-f]{64})` \|$", readme, re.MULTILINE))
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDORED.iterdir()
        if file.name != "README.md"
    }
    assert found == checksums


def test_the_page(service):
    """Open to all; a browser is told to load nothing but our own files."""
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
def test_its_files(service, name):
    """Kept by browsers, and asked for again only by their tag."""
    url = f"{service.url}/docs/{name}"
    file = httpx.get(url)
    assert (file.status_code, file.headers["content-type"]) == (200, FILES[name])
    assert file.headers["x-content-type-options"] == "nosniff"
    assert file.headers["cache-control"] == "public, max-age=3600"
    again = httpx.get(url, headers={"If-None-Match": file.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def on_the_wire(url, **headers):
    """Return the answer and its body as it was sent."""
    with httpx.stream("GET", url, headers=headers) as answer:
        return answer, b"".join(answer.iter_raw())


def test_the_page_is_small_on_the_wire(service):
    """2.1 MB without a coding, less than 0.6 MB in gzip."""
    paths = ["/docs", "/openapi.json", *(f"/docs/{name}" for name in FILES)]
    plain = packed = 0
    for path in paths:
        whole, content = on_the_wire(service.url + path, **{"Accept-Encoding": "identity"})
        small, sent = on_the_wire(service.url + path, **{"Accept-Encoding": "br, gzip;q=0.5"})
        assert "content-encoding" not in whole.headers
        assert small.headers["content-encoding"] == "gzip"
        assert int(small.headers["content-length"]) == len(sent)
        assert gzip.decompress(sent) == content
        assert whole.headers["vary"] == small.headers["vary"] == "Accept-Encoding"
        assert whole.headers["etag"] != small.headers["etag"]
        plain, packed = plain + len(content), packed + len(sent)
    assert plain > 2_000_000
    assert packed < 600_000


def test_tags_of_a_coding(service):
    """What is in a cache is compared in its own coding; a refusal has none."""
    url = f"{service.url}/openapi.json"
    tag = httpx.get(url).headers["etag"]
    same, body = on_the_wire(url, **{"If-None-Match": tag})
    assert (same.status_code, body, same.headers["etag"]) == (304, b"", tag)
    assert same.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in same.headers
    other, _ = on_the_wire(url, **{"If-None-Match": tag, "Accept-Encoding": "identity"})
    assert other.status_code == 200
    refused = httpx.get(url, headers={"If-Match": '"other"'})
    assert "content-encoding" not in refused.headers
    problem(refused, 412, "precondition_failed")
    whole = httpx.get(url, headers={"If-Match": tag})
    assert (whole.status_code, whole.headers["content-encoding"]) == (200, "gzip")
    head = httpx.head(url)
    assert (head.headers["content-encoding"], head.headers["etag"]) == ("gzip", tag)


@pytest.mark.parametrize("name", ["README.md", "..%2f..%2fsettings.py", "page.html", "%2e%2e"])
def test_no_other_files(service, name):
    problem(httpx.get(f"{service.url}/docs/{name}"), 404, "not_found")


def test_below_a_path():
    """Where a proxy serves the API below a path, the page looks for its files there."""
    docs = Docs.of({}, Settings(public_url="https://example.org/movies/"))
    assert b'src="/movies/docs/start.js"' in docs.page.content
    assert b'data-description="/movies/openapi.json"' in docs.page.content


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def click(browser, selector):
    eventually(lambda: browser.evaluate(f"!!document.querySelector({selector!r})"))
    browser.evaluate(f"document.querySelector({selector!r}).click()")


def write(browser, selector, text):
    """Type into a field: React listens to the event, not to the value."""
    eventually(lambda: browser.evaluate(f"!!document.querySelector({selector!r})"))
    browser.evaluate(f"document.querySelector({selector!r}).focus()")
    browser.call("Input.insertText", text=text)


def test_a_browser_shows_every_operation(browser, service):
    """Without a request to another host, and without a complaint of the browser."""
    described = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    shown = sum(len(item.keys() - {"head", "options", "parameters"}) for item in described.values())
    browser.call("Page.navigate", url=f"{service.url}/docs")
    eventually(lambda: browser.evaluate("document.querySelectorAll('.opblock').length") == shown)
    assert browser.evaluate("document.querySelector('.info .title').innerText").startswith(
        "Cinelog"
    )
    for name in ("Movies-createMovie", "Tokens-signIn"):
        click(browser, f"#operations-{name} .opblock-summary-control")
        eventually(
            lambda name=name: browser.evaluate(
                f"!!document.querySelector('#operations-{name} .responses-table')"
            )
        )
    assert "Alien" in browser.evaluate(
        "document.querySelector('#operations-Movies-createMovie').innerText"
    )
    nothing_else_was_loaded(browser, service)


def test_a_browser_signs_in_and_asks(browser, service, ann):
    """With username and password, on the page itself."""
    browser.call("Page.navigate", url=f"{service.url}/docs")
    click(browser, ".auth-wrapper .authorize")
    write(browser, "#oauth_username", ann.account["username"])
    write(browser, "#oauth_password", PASSWORD)
    browser.evaluate(
        "[...document.querySelectorAll('.auth-container')]"
        ".find(one => one.querySelector('#oauth_username')).querySelector('.authorize').click()"
    )
    eventually(lambda: browser.evaluate("document.body.innerText.includes('Logout')"))
    click(browser, ".btn-done")
    click(browser, "#operations-Accounts-readAccount .opblock-summary-control")
    click(browser, "#operations-Accounts-readAccount .try-out__btn")
    click(browser, "#operations-Accounts-readAccount .execute")
    answered = "document.querySelector('#operations-Accounts-readAccount .live-responses-table')"
    eventually(lambda: browser.evaluate(f"!!{answered}"))
    assert ann.account["email"] in browser.evaluate(f"{answered}.innerText")
    nothing_else_was_loaded(browser, service)


def nothing_else_was_loaded(browser, service):
    urls = [sent["request"]["url"] for sent in browser.happened("Network.requestWillBeSent")]
    assert f"{service.url}/openapi.json" in urls
    others = [url for url in urls if not url.startswith((f"{service.url}/", "data:"))]
    assert others == []
    complaints = [told["entry"] for told in browser.happened("Log.entryAdded")]
    assert [one for one in complaints if one["level"] in ("warning", "error")] == []
    assert browser.happened("Runtime.exceptionThrown") == []
