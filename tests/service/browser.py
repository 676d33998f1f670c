"""A real browser without a window, driven by Playwright.

Playwright's loop runs in the thread of the test, so a module whose tests use it has no
asynchronous ones.
"""

import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.running import PASSWORD

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
# A refused call is no error of the page: the browser tells of every one.
REFUSED = "Failed to load resource"
WAIT_MS = 15_000  # other tests run beside these
expect.set_options(timeout=WAIT_MS)


def find_browser():
    """Return the path of a browser; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or pytest.skip(f"no browser here: none of {', '.join(NAMES)}")


def sign_in(page, username="ann", password=PASSWORD):
    """Sign in on a page, as a person does."""
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Movies")).to_be_visible()


def row_of(page, name):
    """Return the row of a table by its heading."""
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))


class Pages:
    """Opens pages of one browser, each in a profile of its own, and notes what goes wrong."""

    def __init__(self, browser):
        self._browser = browser
        self._contexts = []
        self.errors = []
        self.urls = []

    def open(self, url=None, **options):
        context = self._browser.new_context(**options)
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.urls.append(request.url))
        if url:
            page.goto(url)
        return page

    def _note(self, message):
        if message.type in ("error", "warning") and REFUSED not in message.text:
            self.errors.append(message.text)

    def close(self):
        """Close all pages. Fails if one told of an error."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        errors, self.errors = self.errors, []
        assert errors == []


@contextmanager
def browsing():
    """Yield ``Pages`` of a browser that finds 127.0.0.1 only."""
    path = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        try:
            yield Pages(browser)
        finally:
            browser.close()
