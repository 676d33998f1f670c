"""Personal tokens on the page, in a real browser."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.running import Cinelog, eventually
from tests.service.browser import row_of, sign_in

pytestmark = pytest.mark.xdist_group("page")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Cinelog(tmp_path_factory.mktemp("tokens") / "var") as service:
        service.account("ann")
        yield service


@pytest.fixture
def page(pages, service):
    page = pages.open(service.url)
    sign_in(page)
    page.get_by_role("link", name="Account").click()
    return page


def test_a_token_is_created_shown_once_and_revoked(page, service):
    create = page.get_by_role("button", name="Create a token")
    create.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Days").fill("366")
    page.keyboard.press("Enter")
    for name, told in (("name", "may not be blank"), ("expires_in_days", "less than or equal")):
        expect(dialog.locator(f"#field-{name}-errors")).to_contain_text(told)
    dialog.get_by_label("Name").fill("backup")
    dialog.get_by_label("Days").fill("30")
    page.keyboard.press("Enter")
    token = dialog.get_by_role("textbox", name="Token").input_value()
    page.keyboard.press("Escape")
    row = row_of(page, "backup")
    expect(row).to_contain_text("Read only")
    expect(create).to_be_focused()
    assert token not in page.content()
    assert status_of(service, token, "GET") == 200
    assert status_of(service, token, "POST") == 403

    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    eventually(lambda: status_of(service, token, "GET") == 401)


def status_of(service, token, method):
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"{service.url}/api/v1/movies/", headers=headers).status_code
