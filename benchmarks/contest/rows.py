"""The rows that all contenders store: titles recombined from the words of real ones."""

import csv
import json
import random
from pathlib import Path

SAMPLE = Path(__file__).parent.parent.parent / "examples" / "movies.csv"


def write_rows(path, count):
    """Write ``count`` rows, the same ones each time; return the titles."""
    rng = random.Random(count)
    with SAMPLE.open(newline="") as file:
        sample = list(csv.DictReader(file))
    words = [word for row in sample for word in row["title"].split()]
    titles = []
    with path.open("w") as file:
        for _ in range(count):
            row = rng.choice(sample)
            title = " ".join(rng.choices(words, k=rng.choice([1, 2, 2, 3, 3, 4])))[:100]
            titles.append(title)
            fields = {"title": title, "genre": row["genre"] or "Drama"}
            fields["year"] = int(row["year"] or 1990)
            file.write(json.dumps(fields) + "\n")
    return titles
