"""Create the table and store the rows."""

import asyncio
import json
import os
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg

TABLE = """
CREATE TABLE movies (
    id uuid PRIMARY KEY, title text NOT NULL, genre text NOT NULL, year int NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON movies (created DESC);
CREATE INDEX ON movies (year);
CREATE INDEX ON movies (title);
"""


async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute(TABLE)
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    with open(os.environ["ROWS"]) as file:
        movies = (json.loads(line) for line in file)
        records = [
            (uuid.uuid4(), one["title"], one["genre"], one["year"], moment + timedelta(seconds=n))
            for n, one in enumerate(movies)
        ]
    columns = ["id", "title", "genre", "year", "created"]
    await connection.copy_records_to_table("movies", records=records, columns=columns)
    try:
        await connection.execute("CREATE EXTENSION pg_trgm")
        await connection.execute("CREATE INDEX ON movies USING gin (lower(title) gin_trgm_ops)")
    except asyncpg.PostgresError:
        pass  # this server has no such extension
    await connection.execute("ANALYZE")


asyncio.run(main())
