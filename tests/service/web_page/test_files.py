"""The files of the page: what they may contain, and where the vendored ones are from."""

import hashlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "service" / "web_page"
VENDOR = PAGE / "vendor"
OWN = sorted(
    path
    for path in PAGE.rglob("*")
    if path.suffix in (".js", ".css", ".html") and VENDOR not in path.parents
)
REWRITTEN = {
    b'from"./preact.js"': b'from"preact"',
    b'from"./hooks.js"': b'from"preact/hooks"',
    b'from"./signals-core.js"': b'from"@preact/signals-core"',
}
ROW = re.compile(
    r"^\| `([\w./-]+)` \| .+ \| `[\w./-]+` \| `(\w{64})` \| `(\w{64})` \|$", re.MULTILINE
)
VENDORED = ROW.findall((VENDOR / "README.md").read_text())
FORBIDDEN = (
    "innerHTML",
    "outerHTML",
    "dangerouslySet",
    "insertAdjacent",
    "eval(",
    "style=",
    "http:",
    "https:",
)


@pytest.mark.parametrize("path", OWN, ids=lambda path: str(path.relative_to(PAGE)))
def test_own_files_are_short_and_safe(path):
    """Nothing that makes HTML of text, no style attribute, no other host."""
    text = path.read_text()
    assert [word for word in FORBIDDEN if word in text] == []
    assert len(text.splitlines()) <= 300


def test_every_vendored_file_is_listed():
    kept = {path for path in VENDOR.rglob("*") if path.suffix in (".js", ".css")}
    assert kept == {VENDOR / name for name, *_ in VENDORED}


@pytest.mark.parametrize(("name", "original", "here"), VENDORED)
def test_vendored_files_are_the_published_ones(name, original, here):
    """But for their imports of other packages."""
    content = (VENDOR / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == here
    for ours, theirs in REWRITTEN.items():
        content = content.replace(ours, theirs)
    assert hashlib.sha256(content).hexdigest() == original
