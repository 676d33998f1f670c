"""Fixed answers of the usual size: the floor of everything built on Sanic."""

import json
import os

from sanic import Sanic
from sanic.response import raw

MOVIE = {
    "id": "01a21e3f-c813-76b7-ab45-8e2e42f255db",
    "title": "Alien",
    "genre": "Horror",
    "year": 1979,
}
ONE = json.dumps(MOVIE).encode()
LIST = json.dumps({"count": 1, "next": None, "previous": None, "results": [MOVIE]}).encode()
app = Sanic("bare")


@app.get("/movies/", name="list")
async def movies(_request):
    return raw(LIST, content_type="application/json")


@app.get("/movies/<movie_id>", name="one")
async def one(_request, movie_id):
    return raw(ONE, content_type="application/json")


@app.post("/movies/", name="create")
async def create(_request):
    return raw(ONE, status=201, content_type="application/json")


if __name__ == "__main__":
    port, workers = int(os.environ["PORT"]), int(os.environ["WORKERS"])
    app.run(host="127.0.0.1", port=port, workers=workers, access_log=False, motd=False)
