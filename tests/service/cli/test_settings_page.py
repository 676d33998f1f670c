"""Every setting stands in docs/settings.md and in the help."""

from pathlib import Path

from service.settings_page import page, rows
from tests.running import run

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_is_that_of_the_settings():
    """Where it is not: python -m service.settings_page > docs/settings.md."""
    assert PAGE.read_text() == page()
    assert [name for name, _, what in rows() if not what] == []


def test_the_help_names_every_setting(tmp_path):
    said = run(tmp_path / "var", "--help").stdout
    assert [name for name, _, _ in rows() if name not in said] == []
