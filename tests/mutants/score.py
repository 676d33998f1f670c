"""Print the mutation score of each module; ``make mutants`` runs it after mutmut.

    python -m tests.mutants.score [DIRECTORY]

The score is the share of mutants that a test kills, or that run into a timeout. Mutants in
``equivalent.txt`` do not count. Exit code 1: the total is below 0.9.
"""

import json
import sys
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

LEAST = 0.9
_SURVIVED, _NO_TEST = 0, (5, 33)


def read_equivalents(file: Path) -> list[str]:
    """Return the patterns of a file: one a line, ``#`` begins the reason."""
    lines = [line.partition("#")[0].strip() for line in file.read_text().splitlines()]
    return [line for line in lines if line]


def outcomes(folder: Path, equivalents: list[str]) -> dict[str, Counter[str]]:
    """Return the number of killed, survived and untested mutants by module."""
    found = {}
    for file in sorted(folder.rglob("*.meta")):
        counts: Counter[str] = Counter()
        for name, code in json.loads(file.read_text())["exit_code_by_key"].items():
            if code is None or any(fnmatch(name, pattern) for pattern in equivalents):
                continue
            untested = "untested" if code in _NO_TEST else "killed"
            counts["survived" if code == _SURVIVED else untested] += 1
        found[str(file.relative_to(folder)).removesuffix(".meta")] = counts
    return found


def score(counts: Counter[str]) -> float:
    """Return the share of killed mutants, 1 without any."""
    return counts["killed"] / counts.total() if counts.total() else 1.0


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "mutants")
    found = outcomes(folder, read_equivalents(Path(__file__).with_name("equivalent.txt")))
    total = sum(found.values(), Counter())
    print(f"{'':48} killed survived untested  score")
    for name, counts in [*found.items(), ("total", total)]:
        if counts:
            print(
                f"{name:48} {counts['killed']:6} {counts['survived']:8} "
                f"{counts['untested']:8} {score(counts):6.2f}"
            )
    sys.exit(score(total) < LEAST)


if __name__ == "__main__":
    main()
