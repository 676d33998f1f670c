"""What ``/`` answers, and how the files of the page are kept."""

import re

import httpx
import pytest

from tests.running import Cinelog, problem

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Cinelog(tmp_path_factory.mktemp("page") / "var") as service:
        yield service


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
def test_scripts_get_links(service, accept):
    answer = httpx.get(service.url, headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json"
    links = answer.json()["links"]
    assert links["movies"] == f"{service.url}/api/v1/movies/"
    assert httpx.get(links["description"]).json()["openapi"] == "3.1.0"


def test_browsers_get_the_page(service):
    """Its policy allows no other host, no inline code, and no text that becomes HTML."""
    answer = httpx.get(service.url, headers=HTML)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    again = httpx.get(service.url, headers=HTML | {"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_files_are_kept_for_ever_under_the_name_of_their_release(service):
    """The first view is small: its files and the page are below 50 KB, compressed."""
    page = httpx.get(service.url, headers=HTML)
    named = re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)
    assert len(named) > 20
    size = int(page.headers["Content-Length"])
    for name in named:
        file = httpx.get(f"{service.url}/{name}")
        assert file.status_code == 200, name
        assert "immutable" in file.headers["Cache-Control"]
        assert file.headers["Content-Encoding"] == "gzip"
        size += int(file.headers["Content-Length"])
    assert size < 50_000


def test_a_page_of_another_release_gets_no_file_that_it_loads_later(service):
    """Its own ones would not fit; the first ones are there while nodes are upgraded."""
    other = f"{service.url}/page/0123456789abcdef"
    assert httpx.get(f"{other}/main.js").headers["Cache-Control"] == "no-cache"
    assert httpx.get(f"{other}/style.css").status_code == 200
    problem(httpx.get(f"{other}/views/log.js"), 404, "not_found")


def test_other_files_are_not_served(service):
    for missing in ("x.js", "vendor/README.md", "page.html", "../app.py", "views"):
        problem(httpx.get(f"{service.url}/page/x/{missing}"), 404, "not_found")
