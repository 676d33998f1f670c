"""Files, moments and keys of the list, in a real browser."""

import csv
import json

import pytest
from playwright.sync_api import expect

from tests.controls import ALIEN
from tests.running import Cinelog
from tests.service.browser import sign_in

pytestmark = pytest.mark.xdist_group("page")

FILMS = 'title;genre;year\n"Heat; the ""film""";Crime;1995\n;Drama;2000\n=Sum;Maths;x\n=Sum;Maths;1999\n'


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Cinelog(
        tmp_path_factory.mktemp("page") / "var", login_rate="off", api_rate="off"
    ) as service:
        service.ann = service.account("ann")
        yield service


@pytest.fixture
def page(pages, service):
    page = pages.open(service.url)
    sign_in(page)
    return page


def titles_of(service, **query):
    found = service.ann.get("/movies/", params={"page_size": 100, **query}).json()["results"]
    return sorted(movie["title"] for movie in found)


def drop(page, name, content):
    """Drop a file on the list."""
    files = page.evaluate_handle(
        """([name, content]) => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([content], name));
            return dropped;
        }""",
        [name, content],
    )
    for event in ("dragover", "drop"):
        page.dispatch_event("main", event, {"dataTransfer": files})


def test_a_file_is_imported_and_adds_nothing_twice(page, service):
    drop(page, "films.csv", FILMS)
    expect(page.get_by_role("region", name="First rows")).to_contain_text('Heat; the "film"')
    page.get_by_label("Reason").fill("From the card index")
    page.get_by_role("button", name="Add 4 movies").click()
    expect(page.get_by_text("Done. 2 movies added, 2 refused")).to_be_visible()
    refused = page.get_by_role("region", name="Refused rows")
    expect(refused).to_contain_text("title: This field may not be blank.")
    expect(refused).to_contain_text("year: A valid integer is required.")
    expect(refused.get_by_role("row").nth(1)).to_contain_text("3")
    assert titles_of(service) == ["=Sum", 'Heat; the "film"']
    events = service.ann.get("/events/").json()["results"]
    assert {event["reason"] for event in events} == {"From the card index"}
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    drop(page, "films.csv", FILMS)
    page.get_by_role("button", name="Add 4 movies").click()
    expect(page.get_by_text("Done. 0 movies added, 2 added before, 2 refused")).to_be_visible()
    assert titles_of(service) == ["=Sum", 'Heat; the "film"']


def test_what_the_list_shows_is_exported(page, service):
    for number in range(120):
        service.ann.post(
            "/movies/", json=ALIEN | {"title": f"=Part {number:03}", "genre": "Serial"}
        )
    page.goto(f"{service.url}/#/movies?genre=serial&ordering=title")
    expect(page.get_by_text("120 movies")).to_be_visible()
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as csv_file:
        page.get_by_role("dialog").get_by_role("button", name="Export").click()
    with csv_file.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["title"] for row in rows] == [f"'=Part {number:03}" for number in range(120)]
    page.get_by_role("button", name="Export").click()
    page.get_by_label("JSON").check()
    with page.expect_download() as json_file:
        page.get_by_role("dialog").get_by_role("button", name="Export").click()
    movies = json.loads(json_file.value.path().read_text())
    assert [movie["title"] for movie in movies] == [f"=Part {number:03}" for number in range(120)]


def test_what_changes_while_a_list_is_exported_is_in_it_once(page, service):
    """A movie that moves to a page that was read already is not left out."""
    ids = [
        service.ann.post("/movies/", json=ALIEN | {"title": f"Part {number:03}"}).json()["id"]
        for number in range(101)
    ]

    def rename(route):
        if ids:
            service.ann.patch(f"/movies/{ids.pop()}/", json={"title": "Part 0"})
            ids.clear()
        route.continue_()

    page.route("**/movies/?*cursor=*", rename)
    page.goto(f"{service.url}/#/movies?title=part+&genre=horror&ordering=title")
    expect(page.get_by_text("101 movies")).to_be_visible()
    page.get_by_role("button", name="Export").click()
    page.get_by_label("JSON").check()
    with page.expect_download() as file:
        page.get_by_role("dialog").get_by_role("button", name="Export").click()
    titles = [movie["title"] for movie in json.loads(file.value.path().read_text())]
    assert titles == ["Part 0", *(f"Part {number:03}" for number in range(100))]


def test_the_slider_shows_the_list_as_it_was(page, service):
    service.ann.post("/movies/", json=ALIEN)
    page.reload()
    slider = page.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuetext", "now")
    slider.press("Home")
    expect(page.get_by_text("There was no movie then.")).to_be_visible(timeout=30_000)
    assert slider.get_attribute("aria-valuetext") != "now"
    assert "at=" in page.url
    slider.press("End")
    expect(page.get_by_role("table")).to_be_visible()
    assert "at=" not in page.url


def test_a_search_that_is_due_does_not_lead_back_to_the_list(page):
    """The search waits for a pause in typing; meanwhile one may have gone to another view."""
    expect(page.get_by_role("table").or_(page.get_by_text("no movie yet"))).to_be_visible()
    page.get_by_label("Search in titles").fill("alien")
    page.evaluate(
        """() => {
            location.hash = "#/log";
            const until = performance.now() + 1000;
            while (performance.now() < until);
        }"""
    )
    expect(page.get_by_role("heading", name="Log", exact=True)).to_be_visible()
    page.wait_for_timeout(500)
    assert page.url.endswith("#/log")


def test_two_moments_are_compared(page, service):
    ann = service.ann
    kept, gone = (ann.post("/movies/", json=ALIEN).json() for _ in range(2))
    before = ann.get(f"/movies/{gone['id']}/").json()["created_at"]
    ann.patch(f"/movies/{kept['id']}/", json={"year": 1980})
    ann.delete(f"/movies/{gone['id']}/")
    ann.post("/movies/", json=ALIEN | {"title": "Brand new"})
    page.goto(f"{service.url}/#/moments?from={before}")
    for kind, text in (("added", "Brand new"), ("changed", "1980"), ("deleted", ALIEN["title"])):
        group = page.get_by_role("region", name=f"Movies {kind}")
        expect(group.get_by_role("heading")).to_have_text(f"1 {kind}")
        expect(group).to_contain_text(text)


def test_rows_that_changed_are_marked_for_a_while(page, service):
    service.ann.post("/movies/", json=ALIEN)
    page.reload()
    expect(page.get_by_role("table")).to_be_visible()
    service.ann.post("/movies/", json=ALIEN | {"title": "Just now"})
    page.get_by_role("button", name="1 change: show").click()
    row = page.get_by_role("row", name="Just now")
    expect(row).to_have_class("fresh")
    expect(row).not_to_have_class("fresh")


def test_keys_rest_while_one_types_and_can_be_turned_off(page):
    page.keyboard.press("/")
    expect(page.get_by_label("Search in titles")).to_be_focused()
    page.keyboard.type("n?/")
    expect(page.get_by_label("Search in titles")).to_have_value("n?/")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("link", name="Log", exact=True).click()
    expect(page.get_by_role("heading", name="Log", exact=True)).to_be_visible()
    page.keyboard.press("n")
    expect(page.get_by_role("dialog", name="Add a movie")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_label("Keys of one letter are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.keyboard.press("n")
    expect(page.get_by_role("dialog")).to_have_count(0)
