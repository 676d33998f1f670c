"""docs/settings.md and ``cinelog --help`` list every setting."""

from pathlib import Path

from service.settings_page import page, rows
from tests.running import run

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_settings_page_is_up_to_date():
    """Otherwise run: python -m service.settings_page > docs/settings.md."""
    assert PAGE.read_text() == page()
    assert [name for name, _, description in rows() if not description] == []


def test_help_lists_every_setting(tmp_path):
    output = run(tmp_path / "var", "--help").stdout
    assert [name for name, _, _ in rows() if name not in output] == []
