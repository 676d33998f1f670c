"""Stored text cannot control a terminal."""

import io
import json

import pytest
from rich.table import Table

from service.cli.console import SafeConsole, print_json, printable

UNSAFE = ["\x1b[31m", "\x00", "\x07", "\x9b31m", "\x7f", "\u202e", "\u2028", "\ud800", "\r"]


@pytest.mark.parametrize("text", UNSAFE)
def test_control_characters_are_escaped(text):
    for shown in (printable(f"a{text}b"), _printed(f"a{text}b")):
        assert text[0] not in shown
        assert f"\\u{ord(text[0]):04x}" in shown
    assert text[0] not in _printed(_table(f"a{text}b"))


def test_letters_are_unchanged():
    assert printable("Zoë 映画 🎬\n\t") == "Zoë 映画 🎬\n\t"


def test_escaped_json_is_valid(capsys):
    print_json({"title": "\x9b\u202e\x1b"})
    line = capsys.readouterr().out
    assert line.strip().isascii()
    assert json.loads(line) == {"title": "\x9b\u202e\x1b"}


def _table(text):
    table = Table("title")
    table.add_row(text)
    return table


def _printed(content):
    out = io.StringIO()
    SafeConsole(file=out, width=80).print(content, markup=False)
    return out.getvalue()
