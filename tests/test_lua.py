"""Every Lua file states its contract, names its arguments and has a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("projections", "queries", "service")
    for path in (ROOT / folder).rglob("*.lua")
)
TESTS = "".join(path.read_text() for path in (ROOT / "tests").rglob("lua/test_*.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_script_has_a_contract_named_arguments_and_a_test(path):
    head, body = (ROOT / path).read_text().split("\n\n", 1)
    assert head.startswith("-- ")
    assert not re.search(r"\b(KEYS|ARGV)\[", body), "name the argument at the top of the file"
    for given in ("KEYS", "ARGV"):
        if re.search(rf"^[^-]*\b{given}\b", f"{head}\n{body}", re.MULTILINE):
            assert re.search(rf"^-- {given}: ", head, re.MULTILINE), f"say what {given} are"
    assert f'"{".".join(path.with_suffix("").parts)}"' in TESTS, "call it in a test"
