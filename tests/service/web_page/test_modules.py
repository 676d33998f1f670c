"""The modules of the page that need no browser, tested by Node."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "service" / "web_page"


@pytest.mark.parametrize("tests", sorted(HERE.glob("*.test.js")), ids=lambda path: path.name)
def test_modules(tests, tmp_path):
    node = shutil.which("node") or pytest.skip("no Node.js here, which runs the page's modules")
    for folder in ("data", "operations"):
        shutil.copytree(PAGE / folder, tmp_path / folder)
    shutil.copy(tests, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    command = [node, "--test", tests.name]
    done = subprocess.run(
        command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
