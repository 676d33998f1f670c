"""Create the table and store the rows."""

import json
import os
import uuid
from datetime import UTC, datetime, timedelta

from movies import URL, Base, Movie, engine
from sqlalchemy import insert, text

moment, batch = datetime(2020, 1, 1, tzinfo=UTC), []
Base.metadata.create_all(engine)
with engine.begin() as connection, open(os.environ["ROWS"]) as file:
    for number, line in enumerate(file):
        created = moment + timedelta(seconds=number)
        batch.append(json.loads(line) | {"id": uuid.uuid4(), "created": created})
        if len(batch) == 5_000:
            connection.execute(insert(Movie), batch)
            batch = []
    if batch:
        connection.execute(insert(Movie), batch)
    if URL:
        try:
            with connection.begin_nested():
                connection.execute(text("CREATE EXTENSION pg_trgm"))
                connection.execute(
                    text("CREATE INDEX ON movies USING gin (lower(title) gin_trgm_ops)")
                )
        except Exception:  # noqa: BLE001 - this server has no such extension
            pass
    connection.execute(text("ANALYZE"))
