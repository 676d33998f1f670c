"""Paging by cursor is opaque, validated and stable during changes."""

import base64
import json
import random
import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from commands.errors import NotFoundError
from queries.movie_query import MovieQuery
from queries.orderings import parse_orderings
from service.routes.pagination import continue_from, cursor_of
from tests.running import problem, run

FILTERS = ({}, {"genre": "drama"}, {"search": "film", "year__gte": "2001"})
ORDERINGS = (
    *("created_at", "-created_at", "year", "-year", "title", "-title", "genre", "-genre"),
    *("creator", "id", "-id", "year,-title", "-genre,title,year"),
)


@pytest.fixture(scope="module")
def kim(service):
    kim = service.account("kim")
    for number in range(40):
        body = {"title": f"Film {'ÄaBb'[number % 4]}", "genre": ("Drama", "Comedy")[number % 2]}
        assert kim.post("/movies/", json=body | {"year": 2000 + number % 5}).status_code == 201
    return kim


def follow(client, path, between=lambda: None, **params):
    """Return all rows from a first page on, following the links."""
    response = client.get(path, params={"creator__username": "kim", **params})
    rows = response.json()["results"]
    while link := re.fullmatch(r'<([^>]+)>; rel="next"', response.headers.get("link", "")):
        between()
        response = httpx.get(link[1], headers=client.headers)
        assert response.status_code == 200, response.text
        assert response.json()["previous"] is None
        assert response.json()["next"] == (
            response.headers["link"][1:].partition(">")[0] if "link" in response.headers else None
        )
        rows += response.json()["results"]
    return rows


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_cursors_page_through_the_whole_list(kim, ordering, filters):
    everything = kim.get(
        "/movies/",
        params={"creator__username": "kim", "ordering": ordering, "page_size": 100, **filters},
    ).json()["results"]
    assert follow(kim, "/movies/", ordering=ordering, page_size=7, **filters) == everything


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_each_remaining_row_is_returned_once(kim, ordering):
    """Each movie that exists throughout is returned exactly once during additions and deletions."""
    params = {"creator__username": "kim", "page_size": 100}
    before = {row["id"] for row in kim.get("/movies/", params=params).json()["results"]}
    rng = random.Random(ordering)
    added = []

    def change():
        body = {"title": f"Film {rng.choice('aZäm')}", "genre": "Drama"}
        body["year"] = rng.randint(1999, 2006)
        added.append(kim.post("/movies/", json=body).json()["id"])
        if len(added) % 2:
            kim.delete(f"/movies/{added.pop(0)}/")

    found = [row["id"] for row in follow(kim, "/movies/", change, ordering=ordering, page_size=5)]
    for movie_id in added:
        kim.delete(f"/movies/{movie_id}/")
    assert len(found) == len(set(found))
    assert before <= set(found)


def test_a_cursor_survives_the_deletion_of_its_movie(kim):
    last = kim.post("/movies/", json={"title": "Film", "genre": "Drama", "year": 2003}).json()
    first = kim.get("/movies/", params={"creator__username": "kim", "page_size": 1})
    assert first.json()["results"] == [last]
    link = first.headers["link"][1:].partition(">")[0]
    expected = httpx.get(link, headers=kim.headers).json()["results"]
    kim.delete(f"/movies/{last['id']}/")
    assert httpx.get(link, headers=kim.headers).json()["results"] == expected


def test_a_changed_cursor_is_refused(kim):
    params = {"creator__username": "kim", "page_size": 1}
    link = kim.get("/movies/", params=params).headers["link"][1:].partition(">")[0]
    cursor = httpx.URL(link).params["cursor"]
    flipped = cursor[:20] + ("A" if cursor[20] != "A" else "B") + cursor[21:]
    for bad in (flipped, cursor[:-4], "", "x", "é", "\0", "A" * 5_000):
        if not bad:
            continue
        response = kim.get("/movies/", params=params | {"cursor": bad})
        assert problem(response, 404, "not_found")["detail"] == "Invalid cursor."
    for other in ({"ordering": "year"}, {"genre": "drama"}, {"creator__username": "x"}):
        response = kim.get("/movies/", params=params | {"cursor": cursor} | other)
        problem(response, 404, "not_found")
    assert kim.get("/movies/", params=params | {"cursor": cursor, "page_size": "2"}).is_success


ID = "019a0b6c-57e4-7d31-9d4c-2f1d3f0a6b58"


@pytest.mark.parametrize(
    ("ordering", "seek_key"),
    [
        ("year", f"inf\0{ID}"),
        ("year", f"(1979\0{ID}"),
        ("year", f"1979\0{ID[:-1]}"),
        ("year", f"1979\0{ID.upper()}"),
        ("year", f"1979{ID}"),
        ("year", "7"),
        ("year", ""),
        ("created_at", f"1e9\0{ID}"),
        ("created_at", f"\0{ID}"),
        ("title", f"a\0b\0{ID}"),
        ("title", ID),
        ("genre,year", f"drama\0{ID}"),
        ("genre,year", f"drama\x0019\0{ID}"),
        ("year,genre", f"1979\0drama\0drama\0{ID}"),
        ("id", f"7\0{ID}"),
    ],
)
def test_a_cursor_needs_a_valid_seek_key(ordering, seek_key):
    """A checksum can be forged: the content is validated before it reaches Redis."""
    query = MovieQuery(orderings=parse_orderings(ordering))
    with pytest.raises(NotFoundError, match=r"Invalid cursor\."):
        continue_from(query, cursor_of(seek_key, query))


@given(
    cursor=st.text(max_size=80) | st.binary(max_size=80).map(lambda b: base64.b64encode(b).decode())
)
def test_invalid_cursors_are_refused(cursor):
    with pytest.raises(NotFoundError, match=r"Invalid cursor\."):
        continue_from(MovieQuery(), cursor)


@given(
    title=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300)
)
def test_a_cursor_has_one_encoding(title):
    """Other Base64 encodings of a cursor and ignorable characters are refused."""
    query = MovieQuery(orderings=parse_orderings("title"))
    cursor = cursor_of(f"{title}\0{ID}", query)
    assert continue_from(query, cursor).after == f"{title}\0{ID}"
    for other in (f"{cursor}=", f"{cursor}\n", f"{cursor[:9]}!{cursor[9:]}", cursor.swapcase()):
        with pytest.raises(NotFoundError):
            continue_from(query, other)


def test_cursors_survive_changes_of_signing_keys(kim, service):
    """Cursors are independent of the signing keys."""
    path = service.data_dir / "signing-keys.json"
    params = {"creator__username": "kim", "page_size": 2}
    page = kim.get("/movies/", params=params)
    link = page.headers["link"][1:].partition(">")[0]
    second = httpx.get(link, headers=kim.headers).json()["results"]
    before = path.read_text()
    added = ECKey.generate_key("P-256", auto_kid=True).as_dict(private=False)

    def append_by_hand():
        keys = json.loads(path.read_text())["keys"]
        path.write_text(json.dumps({"keys": [*keys, added]}))

    def change(*args):
        done = run(service.data_dir, "keys", *args)
        assert done.returncode == 0, done.stderr

    retired = json.loads(before)["keys"][0]["kid"]
    try:
        for step in (
            append_by_hand,
            lambda: change("rotate"),
            lambda: change("rotate"),
            lambda: change("retire", added["kid"]),
        ):
            step()
            again = kim.get("/movies/", params=params)
            assert again.json() == page.json()
            assert httpx.get(link, headers=kim.headers).json()["results"] == second
            listed = json.loads(run(service.data_dir, "keys", "list", "--json").stdout)
            published = httpx.get(f"{service.url}/.well-known/jwks.json").json()["keys"]
            assert [key["kid"] for key in published] == [key["kid"] for key in listed]
        assert retired in [key["kid"] for key in listed]
    finally:
        path.write_text(before)
