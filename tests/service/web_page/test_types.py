"""The types in the comments of the page's modules are right (``tsc --checkJs``)."""

import subprocess
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[2] / "clients"
TSC = CLIENTS / "node_modules" / ".bin" / "tsc"


# `make test` installs the compiler by npm, which a machine may lack; the page itself needs neither.
@pytest.mark.skipif(not TSC.exists(), reason="`make test` needs npm for it")
def test_types_of_the_page():
    """Vendored modules are checked with those that import them; what is wrong there is not ours."""
    command = [TSC, "--project", "tsconfig.page.json"]
    done = subprocess.run(command, cwd=CLIENTS, check=False, capture_output=True, text=True)
    told = [line for line in done.stdout.splitlines() if ": error TS" in line]
    assert any("/vendor/" in line for line in told) == (done.returncode != 0)
    assert [line for line in told if "/vendor/" not in line] == []
