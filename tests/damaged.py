"""Damage to the file of a SQLite store, as disks and people do it.

The file is written by another process: in ours, to close it would take SQLite's locks away.
"""

import random
import subprocess
import sys
from pathlib import Path

import psycopg

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


def copy_of(url):
    """Return the URL of a copy of a PostgreSQL database, a block of whose log is junk.

    The server has read nothing of the copy, so that it reads the file.
    """
    with psycopg.connect(url) as connection:
        name = connection.info.dbname
    copied = url.replace(name, f"{name}_copy")
    with psycopg.connect(url.replace(name, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name} STRATEGY file_copy")
        (folder,) = connection.execute("SHOW data_directory").fetchone()
    with psycopg.connect(copied) as connection:
        query = "SELECT pg_relation_filepath('cinelog_events')"
        (file,) = connection.execute(query).fetchone()
    at = 8192  # its second block
    overwrite(Path(folder) / file, at, random.Random(2).randbytes(8192))
    return copied
