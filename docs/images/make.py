"""Makes the pictures of the page from the sample data: ``.venv/bin/python docs/images/make.py``.

Needs chromium. Every view is written to ``--output`` (default ``docs/images``) as a PNG.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from tests.running import PASSWORD, Cinelog

SIZE = {"width": 1040, "height": 760}


def story(service):
    """Return a client, and the id of a movie with a history."""
    ann = service.account("ann")
    movie = ann.post("/movies/", json={"title": "Alien", "genre": "Horror", "year": 1978}).json()
    url = f"/movies/{movie['id']}/"
    ann.patch(url, json={"year": 1979}, headers={"Change-Reason": "The premiere was in May 1979."})
    ann.patch(url, json={"title": "Alien (director's cut)", "genre": "Science Fiction"})
    return movie["id"]


def pictures(page, url, movie):
    """Yield the name of each view once it is shown."""
    page.goto(url)
    page.get_by_label("Username").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    yield "sign-in"
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("cell", name="demo").first.wait_for()
    yield "movies"
    page.get_by_label("Search in titles").fill("alien")
    page.get_by_text("movies", exact=False).first.wait_for()
    page.wait_for_timeout(600)
    yield "search"
    page.goto(f"{url}/#/movies/{movie}?from=1&to=3")
    page.get_by_role("button", name="Take back").click()
    page.get_by_text("It would be").wait_for()
    yield "history"
    page.goto(f"{url}/#/log")
    page.get_by_text("changed by ann").first.wait_for()
    yield "log"
    page.goto(f"{url}/#/account")
    page.get_by_role("cell", name="this one").wait_for()
    yield "account"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Cinelog(Path(folder) / "var", "--sample") as service,
        sync_playwright() as playwright,
    ):
        movie = story(service)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        scheme = "dark" if options.dark else "light"
        page = browser.new_page(viewport=SIZE, color_scheme=scheme, locale="en-GB")
        for name in pictures(page, service.url, movie):
            page.screenshot(path=options.output / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
