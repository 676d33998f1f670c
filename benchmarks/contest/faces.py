"""The requests of each kind, for the three faces that contenders have."""

import json
import urllib.parse
import urllib.request

READS = (
    "first page",
    "random page",
    "deep page",
    "cursor",
    "one at random",
    "filter at random",
    "filter repeated",
    "sorted filter",
    "history",
)
WRITES = ("create", "update", "mixed")
KINDS = READS + WRITES
PATHS = 2_000


class Face:
    """The plain face."""

    movies = "/movies/"
    change = "PUT"
    lists = "results"
    count = "count"

    def list(self, page=1, size=10, title="", years=None, ordering=""):
        query = {"page": page} if page != 1 else {}
        query |= {"page_size": size} if size != 10 else {}
        query |= {"title": title} if title else {}
        query |= {"year__gte": years[0], "year__lte": years[1]} if years else {}
        query |= {"ordering": ordering} if ordering else {}
        return self.movies + ("?" + urllib.parse.urlencode(query) if query else "")

    def one(self, movie_id):
        return f"{self.movies}{movie_id}/"


class Cinelog(Face):
    movies = "/api/v1/movies/"


class PocketBase(Face):
    movies = "/api/collections/movies/records"
    change = "PATCH"
    lists = "items"
    count = "totalItems"

    def list(self, page=1, size=10, title="", years=None, ordering=""):
        tests = [f"title~'{title}'"] if title else []
        tests += [f"year>={years[0]}", f"year<={years[1]}"] if years else []
        query = {
            "page": page,
            "perPage": size,
            "sort": f"{ordering},-id" if ordering else "-created,-id",
        }
        query |= {"filter": "(" + "&&".join(tests) + ")"} if tests else {}
        return f"{self.movies}?{urllib.parse.urlencode(query)}"

    def one(self, movie_id):
        return f"{self.movies}/{movie_id}"


FACES = {"plain": Face(), "cinelog": Cinelog(), "pocketbase": PocketBase()}


class Api:
    """One server, asked a few times before it is measured."""

    def __init__(self, face, port, token):
        self.face, self.base, self.token = face, f"http://127.0.0.1:{port}", token

    def call(self, path, method="GET", body=None):
        """Return the headers and the JSON of an answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.headers, json.loads(answer.read() or b"{}")

    def counted(self, **query):
        """Return how many movies a list has."""
        return self.call(self.face.list(**query))[1][self.face.count]

    def ids(self, pages):
        """Return the ids on some pages of 100."""
        found = []
        for page in pages:
            found += [row["id"] for row in self.call(self.face.list(page, 100))[1][self.face.lists]]
        return found

    def cursors(self, most):
        """Return the paths of the pages that follow each other by cursor."""
        path, found = self.face.movies, []
        while len(found) < most:
            link = self.call(path)[0].get("Link")
            if not link:
                break
            path = link[link.index("<") + 1 : link.index(">")].removeprefix(self.base)
            found.append(path)
        return found


def part_of(title, rng):
    """Return three letters of a title, "" if it has none."""
    at = rng.randrange(max(1, len(title) - 2))
    part = title[at : at + 3].lower()
    return part if len(part) == 3 and part.isascii() and part.isalpha() else ""


def parts(titles, rng, most):
    """Return different parts of titles."""
    found = {}
    for _ in range(20 * most):
        found[part_of(rng.choice(titles), rng)] = None
        if len(found) > most:
            break
    found.pop("", None)
    return list(found)


def reads(kind, api, titles, rng):
    """Return the paths of a kind of reads, in the order in which they are asked."""
    face, pages = api.face, max(1, len(titles) // 10)
    texts = parts(titles, rng, PATHS)
    if kind == "first page":
        return [face.list()]
    if kind == "random page":
        return [face.list(rng.randint(1, pages)) for _ in range(PATHS)]
    if kind == "deep page":
        return [face.list(pages - rng.randint(0, pages // 100)) for _ in range(PATHS)]
    if kind == "cursor":
        return api.cursors(200)
    if kind == "filter at random":
        return [face.list(title=rng.choice(texts), years=_years(rng)) for _ in range(PATHS)]
    if kind == "filter repeated":
        return [face.list(title="man")]
    if kind == "sorted filter":
        return [face.list(title=text, ordering="title") for text in texts]
    ids = api.ids(rng.sample(range(1, pages // 10 + 1), min(10, max(1, pages // 10))))
    tail = "history/" if kind == "history" else ""
    return [face.one(movie_id) + tail for movie_id in ids]


def _years(rng):
    first = rng.randint(1950, 2005)
    return first, first + 10
