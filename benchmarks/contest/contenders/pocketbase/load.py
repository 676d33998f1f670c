"""``load.py DATA FILE``: add rows to a PocketBase whose data directory is DATA.

FILE has one JSON object with title, genre and year a line, the oldest first. The directory must
have been migrated; the server must not run.
"""

import datetime as dt
import json
import secrets
import sqlite3
import string
import sys
from pathlib import Path

ALPHABET = string.ascii_lowercase + string.digits
FIRST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def rows(path):
    """Yield the columns of each movie; ids look like those that PocketBase makes."""
    with Path(path).open() as lines:
        for n, line in enumerate(lines):
            movie = json.loads(line)
            created = FIRST + dt.timedelta(seconds=n)
            yield (
                "".join(secrets.choice(ALPHABET) for _ in range(15)),
                movie["title"],
                movie["genre"],
                movie["year"],
                created.strftime("%Y-%m-%d %H:%M:%S.000Z"),
            )


def main():
    """Insert all rows in one transaction, then gather the planner's statistics."""
    _, data, path = sys.argv
    db = sqlite3.connect(Path(data, "data.db"))
    with db:
        db.executemany(
            "INSERT INTO movies (id, title, genre, year, created, updated)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
            rows(path),
        )
    db.execute("ANALYZE")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


if __name__ == "__main__":
    main()
