"""Faults planted into a copy of the service, each of which the checker must find."""

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from tests.consistency.faults import CUT, KILL, REBUILD, Kind

ROOT = Path(__file__).parents[2]
PACKAGES = ("commands", "projections", "queries", "service", "examples")
_MAIN = "import sys; sys.path.insert(0, {!r}); from service.cli.main import main; main()"


class Planted(NamedTuple):
    """A change of one file, the faults that bring it to light, and rules that find it."""

    file: str
    old: str
    new: str
    kinds: list[Kind]
    rules: set[str]


PLANTED = {
    "an event skipped": Planted(
        "projections/generation/writer.py",
        "changes = fold_batch(batch, prior, epoch.parked)",
        "batch_ = [one for one in batch if one.position % 40 or one is batch[-1]]\n"
        "        changes = fold_batch(batch_, prior, epoch.parked)",
        [Kind(KILL, "projection")],
        {"row", "page", "model"},
    ),
    "a write applied twice": Planted(
        "service/routes/movies/changes.py",
        "fields=fields, idempotency=token",
        "fields=fields, idempotency=None",
        [Kind(CUT, "clients"), Kind(KILL, "workers")],
        {"doubled"},
    ),
    "a stale page after a switch": Planted(
        "projections/generation/lifecycle.py",
        "if other < number or (other == building and other != number):",
        "if False:",
        [Kind(REBUILD, "redis")],
        {"stale", "session"},
    ),
    "an answer before the commit": Planted(
        "commands/execution/group_commit.py",
        "    positions = store.append([aggregate for one in decided for aggregate in one.pending])\n",
        "    aggregates = [aggregate for one in decided for aggregate in one.pending]\n"
        "    if len(aggregates) == 1 and aggregates[0].id.int % 20 == 0:\n"
        "        return {aggregates[0].id: store.head() + 1}, store.head() + 1\n"
        "    positions = store.append(aggregates)\n",
        [Kind(KILL, "worker")],
        {"lost"},
    ),
}


def planted_text(name: str) -> str:
    """Return the file of a planted fault, with the fault."""
    planted = PLANTED[name]
    text = (ROOT / planted.file).read_text()
    if text.count(planted.old) != 1:
        raise AssertionError(f"{planted.file} has changed: adapt the planted fault {name!r}")
    return text.replace(planted.old, planted.new)


def plant(name: str, folder: Path) -> list[str]:
    """Copy the service into a folder with a fault; return the command that runs it."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package)
    (folder / PLANTED[name].file).write_text(planted_text(name))
    return [sys.executable, "-P", "-c", _MAIN.format(str(folder))]
