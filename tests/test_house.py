"""The four layers, whose imports go only downward, and the papers beside them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_imports_only_downward():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", ["commands", "projections", "queries", "service"])
def test_each_package_says_that_it_is_typed(package):
    assert ROOT.joinpath(package, "py.typed").exists()


def test_each_decision_has_a_number_of_its_own():
    """Other texts refer to it."""
    files = sorted(ROOT.joinpath("docs", "decisions").glob("*.md"))
    titles = [file.read_text().partition(".")[0] for file in files]
    assert titles == [f"# {int(file.name[:4])}" for file in files]
    assert len(set(titles)) == len(titles)
