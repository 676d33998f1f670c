"""Damage the file of a SQLite store, as failing disks and users do.

Another process writes the file: closing it in this one would release SQLite's locks.
"""

import random
import subprocess
import sys
from pathlib import Path

import psycopg

PAGE = 4096
TABLE, INDEX = 13, 10
"""First byte of a leaf page (https://sqlite.org/fileformat2.html)."""
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
    """Write ``junk`` at an offset of a file; empty junk truncates the file there."""
    subprocess.run([sys.executable, "-c", _WRITE, path, str(at), junk.hex()], check=True)


def cut(path, count):
    """Cut ``count`` bytes off the end of a file."""
    overwrite(path, path.stat().st_size - count, b"")


def leaf_pages(path, kind):
    """Return the numbers of the leaf pages of a kind, without page 1 (the schema).

    This process must not have a store open on the file.
    """
    file = path.read_bytes()
    return [n for n in range(2, len(file) // PAGE + 1) if file[(n - 1) * PAGE] == kind]


def junk_page(path, page, count=PAGE, *, seed=1):
    """Write random bytes over a page (numbered from 1) or over its middle."""
    at = (page - 1) * PAGE + (PAGE - count) // 2
    overwrite(path, at, random.Random(seed).randbytes(count))


def damaged_copy_of(url):
    """Return the URL of a copy of a PostgreSQL database whose event log has a corrupt block.

    The server has cached nothing of the copy, so it reads the damaged file.
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
    at = 8192  # the second block
    overwrite(Path(folder) / file, at, random.Random(2).randbytes(8192))
    return copied
