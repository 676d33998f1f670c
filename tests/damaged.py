"""Damage to the file of a SQLite store, as disks and people do it.

The file is written by another process: in ours, to close it would take SQLite's locks away.
"""

import random
import subprocess
import sys

PAGE = 4096
TABLE, INDEX = 13, 10
"""How a leaf page begins (https://sqlite.org/fileformat2.html)."""
_WRITE = """
import sys
path, at, junk = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
with open(path, "r+b") as file:
    if junk:
        file.seek(at)
        file.write(junk)
    else:
        file.truncate(at)
"""


def overwrite(path, at, junk):
    """Write ``junk`` at a place of a file; where that is empty, cut the file off there."""
    subprocess.run([sys.executable, "-c", _WRITE, path, str(at), junk.hex()], check=True)


def cut(path, count):
    """Cut so many bytes off the end."""
    overwrite(path, path.stat().st_size - count, b"")


def leaves(path, kind):
    """Return the numbers of the leaf pages of a kind, but those of the first, which has the schema.

    No store may be open on the file in this process.
    """
    file = path.read_bytes()
    return [n for n in range(2, len(file) // PAGE + 1) if file[(n - 1) * PAGE] == kind]


def junk_page(path, page, count=PAGE, *, seed=1):
    """Write random bytes over a page, from 1, or over the middle of it."""
    at = (page - 1) * PAGE + (PAGE - count) // 2
    overwrite(path, at, random.Random(seed).randbytes(count))
