"""Other releases of Cinelog, each in a virtual environment of its own."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.running import Cinelog

ROOT = Path(__file__).parents[2]
# Until a release is tagged: the last state before releases could keep two row formats up to date.
BEFORE = "15c1b45334b0"
PACKAGES = ("commands", "projections", "queries", "service")
_FORMAT = "projections/generation/state.py"


def release_before(folder):
    """Return the release before this one, built from git."""
    tagged = _git("tag", "--list", "v*", "--sort=-creatordate", "--merged", "HEAD^").split()
    commit = tagged[0] if tagged else BEFORE
    if not _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"):
        pytest.skip("the clone is too shallow to build the release before")
    tree = folder / "before"
    tree.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", tree], input=archive.stdout, check=True)
    return _installed(tree, folder / "before-venv")


def release_with_next_row_format(folder):
    """Return this tree as it would be with another row format."""
    tree = folder / "next"
    tree.mkdir()
    for name in (*PACKAGES, "requirements.txt"):
        subprocess.run(["cp", "-r", ROOT / name, tree], check=True)
    state = tree / _FORMAT
    before = row_format(tree)
    text = state.read_text()
    state.write_text(text.replace(f"ROW_FORMAT = {before}\n", f"ROW_FORMAT = {before + 1}\n"))
    assert row_format(tree) == before + 1
    return _installed(tree, folder / "next-venv")


def row_format(tree=ROOT):
    (line,) = [
        one for one in (tree / _FORMAT).read_text().splitlines() if one.startswith("ROW_FORMAT = ")
    ]
    return int(line.rpartition(" ")[2])


def _installed(tree, venv):
    """Return a class that runs the release in ``tree``."""
    own = (tree / "requirements.txt").read_bytes()
    paths = [str(tree)]
    if own == (ROOT / "requirements.txt").read_bytes():  # what is installed is what it asks for
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        paths.append(sysconfig.get_path("purelib"))
    else:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        install = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes"]
        subprocess.run([*install, "-r", tree / "requirements.txt"], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "cinelog.pth").write_text("\n".join(paths) + "\n")
    start = "from service.cli.main import main; main()"

    class Release(Cinelog):
        command = (venv / "bin" / "python", "-P", "-c", start)

    return Release


def _git(*words):
    return subprocess.run(
        ["git", *words], cwd=ROOT, check=False, capture_output=True, text=True
    ).stdout
