"""What operators see and do on the page, and password links, in a real browser."""

import json
import re

import pytest
from playwright.sync_api import expect

from commands.event_store.store import Store
from tests.library import corrupt_event, library
from tests.running import Cinelog, run
from tests.service.browser import row_of, sign_in

pytestmark = pytest.mark.xdist_group("page")
NEW_PASSWORD = "battery-staple-9"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One with an operator, and a movie with an event that cannot be read."""
    data_dir = tmp_path_factory.mktemp("operations") / "var"
    data_dir.mkdir(mode=0o700)
    store = Store.open(f"sqlite:///{data_dir}/events.db")
    books = library(store)
    store.close()
    corrupt_event(data_dir / "events.db", books.changed, version=2)
    with Cinelog(data_dir) as service:
        service.parked = books.changed
        service.opal = service.account("opal")
        assert run(data_dir, "operator", "add", "opal").returncode == 0
        for name in ("ray", "zed"):
            service.account(name)
        yield service


@pytest.fixture
def page(pages, service):
    """A page on which the operator looks at the operations."""
    page = pages.open(service.url)
    sign_in(page, "opal")
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
    return page


def test_only_operators_see_the_view(pages, service):
    page = pages.open(service.url)
    sign_in(page, "zed")
    expect(page.get_by_role("link", name="Operations")).to_have_count(0)
    page.goto(f"{service.url}/#/operations")
    page.reload()
    expect(page.get_by_role("heading", name="Movies")).to_be_visible()
    assert not [url for url in pages.urls if re.search("uplot|operations|/ops/", url)]


def test_the_parts_are_shown(page):
    expect(row_of(page, "Event store")).to_contain_text("ok")
    expect(row_of(page, "Read model")).to_contain_text("generation 1")
    expect(row_of(page, "Projection")).to_contain_text("no lag")


def test_while_roles_cannot_be_checked_the_probe_tells_the_states(page):
    """The view stays, and goes on when it can."""
    problem = {"status": 503, "detail": "The event store is unavailable.", "code": "unavailable"}
    page.route(
        "**/ops/status/",
        lambda route: route.fulfill(
            status=503, content_type="application/problem+json", body=json.dumps(problem)
        ),
    )
    parts = {
        "event_store": {"state": "unavailable"},
        "read_model": {"state": "live", "position": 5},
        "projection": {"state": "active"},
    }
    page.route("**/readyz", lambda route: route.fulfill(status=503, json=parts))
    expect(row_of(page, "Event store")).to_contain_text("unavailable")
    expect(page.get_by_role("alert")).to_contain_text("The event store is unavailable.")
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
    page.unroute("**/ops/status/")
    expect(row_of(page, "Event store")).to_contain_text("ok")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_verification_is_started_and_followed(page):
    page.get_by_role("button", name="Verify …").click()
    page.get_by_role("dialog").get_by_role("button", name="Verify").click()
    expect(page.get_by_text("Verification by opal")).to_be_visible()
    expect(page.get_by_text("No difference was found.")).to_be_visible(timeout=60_000)


def test_the_progress_of_a_job_is_shown(page):
    """And no other can be started meanwhile."""
    status = page.evaluate(
        "fetch('api/v1/ops/status/', {headers: {'X-Cinelog': 'page'}}).then((one) => one.json())"
    )
    progress = {"phase": "replay", "done": 1200, "total": 6000}
    job = dict.fromkeys(("finished_at", "ok", "outcome", "error"))
    job |= {"id": "1", "kind": "rebuild", "by": "opal", "state": "running", "progress": progress}
    job |= {"started_at": "2026-01-02T12:00:00.000000Z"}
    page.route("**/ops/status/", lambda route: route.fulfill(json=status | {"job": job}))
    expect(page.get_by_text("Rebuild: replay, 1,200 of 6,000")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "1200")
    expect(page.get_by_role("button", name="Rebuild …")).to_be_disabled()


def test_parked_movies_are_retried_and_dropped(page, service):
    movie = row_of(page, service.parked)
    expect(movie).to_contain_text("as before")
    movie.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("It is parked still")).to_be_visible()
    movie.get_by_role("button", name="Drop").click()
    page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    expect(movie).to_contain_text("dropped")


def test_traffic_is_plotted_and_told_as_numbers(page, service):
    for _ in range(20):
        service.opal.get("/movies/")
    expect(page.locator(".plot canvas")).to_have_count(2)
    page.get_by_text("The numbers as a table").click()
    numbers = page.get_by_role("region", name="Numbers of the plots")
    expect(numbers.get_by_role("rowheader").nth(1)).to_be_visible(timeout=15_000)


def test_a_hidden_tab_asks_nothing(page, pages):
    def is_asked():
        return [url for url in pages.urls if url.endswith(("/metrics", "/ops/status/"))]

    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(500)  # what is under way
    before = len(is_asked())
    page.wait_for_timeout(3_000)
    assert len(is_asked()) == before
    with page.expect_request("**/ops/status/"):
        page.evaluate(
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))"
        )


def test_a_password_link_sets_a_password_once(page, pages, service):
    """It is shown once; its holder needs no session, and signs in after it."""
    page.get_by_role("button", name="Password link ray").click()
    page.get_by_role("button", name="Make the link").click()
    link = page.get_by_role("textbox", name="Link").input_value()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    rays = pages.open(link)
    rays.get_by_label("New password", exact=True).fill("123")
    rays.get_by_label("New password again").fill("123")
    rays.get_by_role("button", name="Set the password").click()
    expect(rays.locator("#field-password-errors")).to_contain_text("too short")
    for label in ("New password", "New password again"):
        rays.get_by_label(label, exact=True).fill(NEW_PASSWORD)
    rays.get_by_role("button", name="Set the password").click()
    expect(rays.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "token" not in rays.url
    sign_in(rays, "ray", NEW_PASSWORD)

    rays.goto(link)
    for label in ("New password", "New password again"):
        rays.get_by_label(label, exact=True).fill(NEW_PASSWORD)
    rays.get_by_role("button", name="Set the password").click()
    expect(rays.get_by_role("alert")).to_contain_text("This link is not valid")


def test_an_account_is_closed_after_a_question(page, service):
    page.get_by_label("Username").fill("ZED")
    page.get_by_role("button", name="Find").click()
    expect(row_of(page, "ray")).to_have_count(0)
    page.get_by_role("button", name="Close zed").click()
    page.get_by_role("dialog").get_by_role("button", name="Close the account").click()
    expect(row_of(page, "zed")).to_contain_text("closed")
    expect(page.get_by_role("button", name="Close zed")).to_have_count(0)
    assert service.opal.get("/ops/accounts/?username=zed").json()["results"][0]["closed"]


def test_a_narrow_window_does_not_scroll_sideways(page):
    page.set_viewport_size({"width": 320, "height": 700})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
