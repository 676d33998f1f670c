"""The page as people use it, in a real browser. No test may leave an error in its console."""

import json
import os
import re
import signal

import pytest
from playwright.sync_api import expect

from tests.controls import ALIEN
from tests.running import PASSWORD, Cinelog
from tests.service.browser import sign_in

pytestmark = pytest.mark.xdist_group("page")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Cinelog(
        tmp_path_factory.mktemp("page") / "var", "--sample", login_rate="off", api_rate="off"
    ) as service:
        service.ann = service.account("ann")
        yield service


@pytest.fixture
def page(pages, service):
    return signed_in(pages, service)


def signed_in(pages, service, **options):
    """Return a page on which Ann has signed in."""
    page = pages.open(service.url, **options)
    sign_in(page)
    return page


def movie_of(service, **changes):
    """Create a movie of Ann, changed once for each keyword; return its path."""
    url = f"/movies/{service.ann.post('/movies/', json=ALIEN).json()['id']}/"
    for name, value in changes.items():
        assert service.ann.patch(url, json={name: value}).is_success
    return url


def test_registering_tells_every_error_at_its_field(pages, service):
    page = pages.open(service.url)
    page.get_by_role("link", name="Open one").click()
    page.get_by_label("Username").fill("ann")
    page.get_by_label("E-mail").fill("x")
    page.get_by_label("Password", exact=True).fill("123")
    page.get_by_label("Password again").fill("123")
    page.get_by_role("button", name="Open the account").click()
    for label, text in (("E-mail", "valid email"), ("Password", "too short")):
        field = page.get_by_label(label, exact=True)
        expect(field).to_have_attribute("aria-invalid", "true")
        told = page.locator(f"#{field.get_attribute('id')}-errors")
        expect(told).to_contain_text(text)
    page.get_by_label("Username").fill("zoe")
    page.get_by_label("E-mail").fill("zoe@example.org")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Movies")).to_be_visible()
    page.reload()
    expect(page.get_by_text("zoe")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_wrong_password_is_told(pages, service):
    page = pages.open(service.url)
    page.get_by_label("Username").fill("ann")
    page.get_by_label("Password").fill("wrong-horse-7")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("No active account found")


def test_search_filters_and_ordering_stand_in_the_address(page):
    page.get_by_label("Search in titles").press_sequentially("alien")
    expect(page).to_have_url(re.compile("search=alien"))
    expect(page.get_by_role("link", name="AVP: Alien Vs. Predator")).to_be_visible()
    page.get_by_role("button", name="Year").click()
    expect(page).to_have_url(re.compile("ordering=year"))
    expect(page.get_by_role("columnheader", name="Year")).to_have_attribute(
        "aria-sort", "ascending"
    )
    page.get_by_label("Filter", exact=True).select_option("From year")
    page.get_by_label("From year").fill("2009")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 movie", exact=True)).to_be_visible()
    page.get_by_role("link", name="Monsters vs. Aliens").click()
    expect(page.get_by_role("heading", name="Monsters vs. Aliens")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Search in titles")).to_have_value("alien")
    expect(page.get_by_text("1 movie", exact=True)).to_be_visible()
    page.get_by_role("button", name="Remove the filter: From year 2009").click()
    expect(page.get_by_role("link", name="AVP: Alien Vs. Predator")).to_be_visible()


def test_a_movie_is_added_changed_and_deleted(page, service):
    page.get_by_role("button", name="Add a movie").click()
    dialog = page.get_by_role("dialog", name="Add a movie")
    dialog.get_by_label("Year").fill("soon")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_text("A valid integer is required.")).to_be_visible()
    dialog.get_by_label("Title").fill("Züge der Zeit")
    dialog.get_by_label("Genre").fill("Drama")
    dialog.get_by_label("Year").fill("1994")
    dialog.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("link", name="Züge der Zeit").click()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Year").fill("1995")
    page.get_by_label("Reason").fill("Das Jahr war falsch – 1995")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("“Das Jahr war falsch – 1995”")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("This movie is deleted. Its history stays.")).to_be_visible()
    page.get_by_role("button", name="Undo this change: version 3").click()
    dialog = page.get_by_role("dialog", name="Undo version 3?")
    expect(dialog).to_contain_text("It would be “Züge der Zeit”, Drama, 1995, and back")
    dialog.get_by_label("Reason").fill("Deleted by mistake")
    dialog.get_by_role("button", name="Undo the change").click()
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    expect(page.get_by_text("“Deleted by mistake”")).to_be_visible()
    movie = page.url.split("/movies/")[1].split("?")[0]
    assert service.ann.get(f"/movies/{movie}/").json()["version"] == 4


def test_what_somebody_else_saved_meanwhile_is_shown(page, service):
    """Nothing that was typed is lost."""
    url = movie_of(service)
    page.goto(f"{service.url}/#{url}")
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Title").fill("Alien, mine")
    service.ann.patch(url, json={"year": 1980})
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("was changed while you edited it")
    expect(dialog.get_by_role("alert")).to_contain_text("1980")
    expect(dialog.get_by_label("Title")).to_have_value("Alien, mine")
    dialog.get_by_role("button", name="Save mine over it").click()
    expect(page.get_by_role("heading", name="Alien, mine")).to_be_visible()
    assert service.ann.get(url).json()["version"] == 3


def test_versions_are_compared_and_taken_back_after_a_look(page, service):
    url = movie_of(service, title="Aliens", year=1986, genre="Action")
    page.goto(f"{service.url}/#{url.rstrip('/')}?from=1&to=4")
    row = page.get_by_role("row", name="title")
    expect(row.locator("del")).to_have_text("Alien")
    expect(row.locator("ins")).to_have_text("Aliens")
    page.get_by_role("button", name="Take back to version 1 …").click()
    expect(page.get_by_text("It would be “Alien”, Horror, 1979")).to_be_visible()
    assert service.ann.get(url).json()["version"] == 4
    page.get_by_label("Reason").fill("The first was better")
    page.get_by_role("button", name="Take back to version 1", exact=True).click()
    expect(page.get_by_role("heading", name="Alien", exact=True)).to_be_visible()
    expect(page.get_by_text("“The first was better”")).to_be_visible()
    page.goto(f"{service.url}/#{url.rstrip('/')}?from=1&to=5")
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()
    expect(page.get_by_role("button", name="Take back")).to_have_count(0)


def test_a_change_that_later_ones_stand_against_is_not_undone(page, service):
    url = movie_of(service, title="Aliens")
    service.ann.patch(url, json={"title": "Aliens 2"})
    page.goto(f"{service.url}/#{url}")
    page.get_by_role("button", name="Undo this change: version 2").click()
    expect(page.get_by_role("alert")).to_contain_text("title (version 3: Aliens 2)")


def test_changes_by_others_arrive_without_moving_the_list(page, service):
    first = page.get_by_role("row").nth(1)
    before = first.inner_text()
    service.ann.post("/movies/", json=ALIEN | {"title": "Live"})
    news = page.get_by_role("button", name="1 change: show")
    expect(news).to_be_visible()
    assert first.inner_text() == before
    news.click()
    expect(page.get_by_role("link", name="Live")).to_be_visible()
    expect(news).to_have_count(0)


def test_lists_that_are_behind_say_so_until_they_are_not(page, service):
    """A change of one's own is saved; of others, one is told when one wants to see them."""
    [projection] = service.processes("projection_worker")
    banner = page.get_by_role("banner").get_by_role("status")
    os.kill(projection, signal.SIGSTOP)
    try:
        page.get_by_role("button", name="Add a movie").click()
        for label, text in (("Title", "Patience"), ("Genre", "Drama"), ("Year", "2001")):
            page.get_by_role("dialog").get_by_label(label).fill(text)
        page.keyboard.press("Enter")
        expect(banner).to_have_text("Your change is saved. Lists do not show it yet; they follow.")
        expect(page.get_by_role("link", name="Patience")).to_have_count(0)
    finally:
        os.kill(projection, signal.SIGCONT)
    expect(page.get_by_role("link", name="Patience")).to_be_visible()
    expect(banner).to_have_count(0)
    os.kill(projection, signal.SIGSTOP)
    try:
        service.ann.post("/movies/", json=ALIEN | {"title": "Theirs"})
        page.get_by_role("button", name="change: show").click()
        expect(banner).to_have_text("Lists are behind the last changes; they follow.")
    finally:
        os.kill(projection, signal.SIGCONT)
    expect(page.get_by_role("link", name="Theirs")).to_be_visible()
    expect(banner).to_have_count(0)


def test_the_log_is_live_and_leads_to_the_version(page, service):
    page.get_by_role("link", name="Log", exact=True).click()
    url = movie_of(service, title="Logged")
    entry = page.get_by_role("listitem").filter(has_text="Logged").first
    entry.get_by_role("link", name="Version 2").click()
    expect(page.get_by_role("heading", name="Logged")).to_be_visible()
    assert url.split("/")[2] in page.url
    page.go_back()
    page.get_by_label("What").select_option("deleted")
    expect(page).to_have_url(re.compile("type=MovieDeleted"))


def test_the_log_is_filtered_by_time(pages, service):
    """In the reader's zone, with UTC at hand; with other filters; kept in the address."""
    page = signed_in(pages, service, timezone_id="Europe/Berlin")
    url = movie_of(service, title="Timed")
    created = service.ann.get(f"{url}history/").json()["results"][0]["at"]
    page.goto(f"{service.url}/#/log?actor__username=ann&at__lt={created}")
    entries = page.locator(".timeline > li")
    expect(entries.filter(has_text="Timed")).to_have_count(0)
    page.goto(
        f"{service.url}/#/log?actor__username=ann&at__gte={created}&movie={url.split('/')[2]}"
    )
    expect(entries).to_have_count(2)
    service.ann.patch(url, json={"title": "Timed again"})
    expect(entries).to_have_count(3)
    until = page.get_by_label("Until", exact=True)
    until.fill("2020-01-01T00:30")
    until.press("Enter")
    expect(page.get_by_text("Nothing like that was found.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"at__lt=2019-12-31T23%3A30"))
    expect(until).to_have_accessible_description("2019-12-31 23:30:00 UTC")
    service.ann.patch(url, json={"title": "Timed, later"})
    page.get_by_role("slider", name="Until").press("End")
    expect(entries).to_have_count(4)
    assert "at__lt" not in page.url


def test_the_list_as_it_was(page, service):
    """From the time of the log; what came later is not there."""
    expect(page.get_by_role("table")).to_be_visible()
    service.ann.post("/movies/", json=ALIEN | {"title": "Much later"})
    expect(page.get_by_role("button", name="1 change: show")).to_be_visible()
    page.goto(f"{service.url}/#/movies?search=much+later&at=2020-01-01T00:00:00Z")
    expect(page.get_by_text("No movie is like that.")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Back to now").click()
    expect(page.get_by_role("link", name="Much later")).to_be_visible()


def test_one_tab_signs_out_all(page, service):
    other = page.context.new_page()
    other.goto(service.url)
    expect(other.get_by_role("heading", name="Movies")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_expired_token_is_renewed_once_for_all_calls(page):
    """The access token is gone, as when its time has passed; the session goes on."""
    page.context.clear_cookies(name="cinelog")
    with page.expect_request(re.compile("auth/session/refresh/")):
        page.get_by_role("link", name="Account").click()
    expect(page.get_by_role("cell", name="this one")).to_be_visible()
    expect(page.get_by_text("User registered")).to_be_visible()


def test_offline_and_back(page, service):
    page.context.set_offline(True)
    page.get_by_label("Search in titles").fill("zorro")
    expect(page.get_by_role("alert")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_role("link", name="The Mask of Zorro")).to_be_visible()


def test_all_by_keyboard(page):
    """A dialog gives the focus back to what opened it."""
    page.reload()
    expect(page.get_by_role("heading", name="Movies")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    add = page.get_by_role("button", name="Add a movie")
    add.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(add).to_be_focused()


@pytest.mark.parametrize("view", ["movies", "log", "account"])
def test_a_narrow_window_does_not_scroll_sideways(pages, service, view):
    page = signed_in(pages, service, viewport={"width": 320, "height": 700})
    page.goto(f"{service.url}/#/{view}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_views_are_loaded_when_they_are_opened(pages, service):
    """One that cannot be loaded says so. What a first visit loads is named in the page."""
    page = pages.open()
    before = len(pages.urls)
    page.route("**/views/account.js", lambda route: route.abort())
    document = page.goto(service.url).text()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    loaded = {url.split("/page/")[1] for url in pages.urls[before:] if "/page/" in url}
    assert loaded == {name.split("/", 1)[1] for name in re.findall(r'="(page/[^"]+)"', document)}
    sign_in(page)
    page.get_by_role("link", name="Account").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be loaded")
    page.unroute("**/views/account.js")
    page.get_by_role("button", name="Load the page again").click()
    expect(page.get_by_role("heading", name="Account")).to_be_visible()


def test_a_movie_that_cannot_be_read_just_now_is_asked_for_again(page, service):
    problem = {"status": 503, "detail": "The read model is unavailable.", "code": "unavailable"}
    answer = {
        "status": 503,
        "content_type": "application/problem+json",
        "body": json.dumps(problem),
    }
    page.route("**/history/*", lambda route: route.fulfill(**answer, headers={"Retry-After": "1"}))
    page.goto(f"{service.url}/#{movie_of(service, title='Away')}")
    expect(page.get_by_role("alert")).to_have_text("The read model is unavailable.")
    page.unroute("**/history/*")
    expect(page.get_by_role("heading", name="Away")).to_be_visible()
