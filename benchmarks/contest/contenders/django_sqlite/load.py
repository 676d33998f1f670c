"""Create the table and store the rows."""

import json
import os
from datetime import UTC, datetime, timedelta

from django.db import connection
from movies import Movie

with connection.schema_editor() as editor:
    editor.create_model(Movie)
moment, batch = datetime(2020, 1, 1, tzinfo=UTC), []
with open(os.environ["ROWS"]) as file:
    for number, line in enumerate(file):
        batch.append(Movie(**json.loads(line), created=moment + timedelta(seconds=number)))
        if len(batch) == 5_000:
            Movie.objects.bulk_create(batch)
            batch = []
Movie.objects.bulk_create(batch)
with connection.cursor() as cursor:
    cursor.execute("ANALYZE")
