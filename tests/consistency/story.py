"""Made histories that are consistent, for tests of the checker."""

import random
from itertools import islice

from tests.consistency.history import (
    CHANGE,
    CREATE,
    DELETE,
    HISTORY,
    LIST,
    READ,
    Event,
    History,
    Operation,
    Row,
)

PAGE_SIZE = 3


class Story:
    """Makes a consistent history, one operation after the other."""

    def __init__(self):
        self.clock = 0
        self.operations, self.log = [], []
        self.live: dict[str, Row] = {}
        self.entries: dict[str, list[Row]] = {}

    def history(self):
        return History(self.operations, self.log, [*self.live.values()])

    @property
    def position(self):
        return self.log[-1].position if self.log else 0

    def _record(self, kind, **facts):
        self.clock += 10
        one = Operation("c1", kind, self.clock - 5, self.clock, 200, **facts)
        self.operations.append(one)
        return one

    def _append(self, kind, movie, title):
        write = title or f"w{len(self.log)}"
        row = Row(movie, len(self.entries.setdefault(movie, [])) + 1, title)
        self.entries[movie].append(row)
        self.log.append(Event(self.position + 1, movie, row.version, write, title))
        if title is None:
            del self.live[movie]
        else:
            self.live[movie] = row
        facts = {"write": write, "movie": movie, "position": self.position}
        return self._record(kind, **facts, version=row.version if title else 0)

    def create(self):
        return self._append(CREATE, f"m{len(self.entries):06}", f"w{len(self.log)}")

    def change(self, movie):
        return self._append(CHANGE, movie, f"w{len(self.log)}")

    def delete(self, movie):
        return self._append(DELETE, movie, None)

    def read(self, movie):
        row = self.live[movie]
        return self._record(
            READ, movie=movie, version=row.version, position=self.position, rows=[row]
        )

    def page(self):
        newest = [*islice(reversed(self.live.values()), PAGE_SIZE)]
        facts = {"count": len(self.live), "size": PAGE_SIZE, "rows": newest}
        return self._record(LIST, position=self.position, **facts)

    def entries_of(self, movie):
        facts = {"movie": movie, "position": self.position, "rows": [*self.entries[movie]]}
        return self._record(HISTORY, **facts)


def long_story(length):
    """Return a random consistent history, in which a movie is deleted for each that is created."""
    story, chance = Story(), random.Random(1)
    for _ in range(200):
        story.create()
    while len(story.operations) < length:
        movie = chance.choice([*story.live])
        step = chance.randrange(20)
        if step == 0:
            story.create()
        elif step == 1:
            story.delete(movie)
        elif step < 8:
            story.change(movie)
        elif step < 14:
            story.read(movie)
        else:
            story.page()
    return story.history()
