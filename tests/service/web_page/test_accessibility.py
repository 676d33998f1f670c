"""Every view passes axe-core's rules for WCAG 2.2 AA: light, dark and narrow."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.controls import ALIEN
from tests.running import Cinelog, run
from tests.service.browser import sign_in

AXE = Path(__file__).parents[2] / "clients" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 700}},
}
# `make test` installs axe-core by npm, which a machine may lack; then there is nothing that looks.
pytestmark = [
    pytest.mark.xdist_group("accessibility"),
    pytest.mark.skipif(not AXE.exists(), reason="npm has not installed axe-core"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Cinelog(
        tmp_path_factory.mktemp("axe") / "var", "--sample", login_rate="off", api_rate="off"
    ) as service:
        ann = service.account("ann")
        movie = ann.post("/movies/", json=ALIEN).json()["id"]
        reason = {"Change-Reason": "the second one"}
        ann.patch(f"/movies/{movie}/", json={"title": "Aliens", "year": 1986}, headers=reason)
        service.movie = movie
        assert run(service.data_dir, "operator", "add", "ann").returncode == 0
        yield service


def findings(page):
    """Return what axe finds: rule, and the elements."""
    page.evaluate(AXE.read_text())
    rules = {"runOnly": {"type": "tag", "values": RULES}}
    found = page.evaluate("rules => axe.run(document, rules)", rules)["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


@pytest.mark.parametrize("look", LOOKS)
def test_no_view_has_a_finding(browser, service, look):
    page = browser.open(service.url, reduced_motion="reduce", **LOOKS[look])
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    found = {"sign in": findings(page)}
    page.get_by_role("link", name="Open one").click()
    page.get_by_role("button", name="Open the account").click()
    expect(page.get_by_label("Username")).to_have_attribute("aria-invalid", "true")
    found["register"] = findings(page)
    page.goto(f"{service.url}/#/reset?token=x")
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_label("New password", exact=True)).to_have_attribute("aria-invalid", "true")
    found["new password"] = findings(page)
    page.goto(f"{service.url}/#/")
    sign_in(page)
    expect(page.get_by_role("table")).to_be_visible()
    found["movies"] = findings(page)
    page.get_by_role("button", name="Add a movie").click()
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_label("Genre", exact=True)).to_have_attribute("aria-invalid", "true")
    found["dialog"] = findings(page)
    for name, path, heading in (
        ("movie", f"movies/{service.movie}?from=1&to=2", "Comparison"),
        ("log", "log", "Log"),
        ("account", "account", "Account"),
        ("operations", "operations", "Accounts"),
    ):
        page.goto(f"{service.url}/#/{path}")
        page.reload()
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        found[name] = findings(page)
    page.goto(f"{service.url}/#/account")
    page.get_by_role("button", name="Create a token").click()
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    found["new token"] = findings(page)
    browser.close()
    assert {view: one for view, one in found.items() if one} == {}
