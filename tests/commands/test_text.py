"""How text is compared."""

import pytest

from commands.text import caseless, fold, fold_name, is_visible


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Alien", "alien"),
        ("\u00c9lan", "\u00e9lan"),
        ("E\u0301lan", "\u00e9lan"),
        ("Stra\u00dfe", "strasse"),
        ("\u0130I\u0131i", "iiii"),
        ("\u1e9e", "ss"),
        ("\u03a3\u03c2", "\u03c3\u03c3"),
    ],
)
def test_lists_compare_without_regard_to_case(text, folded):
    """Composed or not; the dotted and the dotless i of Turkish are one letter."""
    assert fold(text) == folded


def test_names_keep_the_turkish_letters_apart():
    """The ids of claims are made of this form: it must never change."""
    assert caseless("\u0130I\u0131i") == "i\u0307i\u0131i"
    assert caseless("E\u0301") == "\u00e9"
    assert fold_name(" \uff21nn ") == "ann"


@pytest.mark.parametrize("text", ["", " ", "\u200b\u2060", "\u3164", "\U000e0020", "\ufe0f"])
def test_text_without_a_visible_character(text):
    assert not is_visible(text)
    assert is_visible(f"{text}a")
