"""A browser for the tests of the page."""

import pytest

from tests.service.browser import browsing


@pytest.fixture(scope="module")
def browser():
    with browsing() as pages:
        yield pages


@pytest.fixture
def pages(browser):
    """``Pages`` of the module's browser; the test fails if a page told of an error."""
    yield browser
    browser.close()
