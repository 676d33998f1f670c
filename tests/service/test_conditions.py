"""Conditional requests: what a client has already is not sent again."""

import pytest

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


@pytest.fixture
def movie(ann):
    return ann.post("/movies/", json=ALIEN).json()


def asked(client, path, tag):
    return client.get(path, headers={"If-None-Match": tag})


def test_a_movie_that_has_not_changed(ann, movie):
    url = f"/movies/{movie['id']}/"
    tag = ann.get(url).headers["etag"]
    assert tag == '"1"'
    for given in (tag, f"W/{tag}", f'"7", {tag}', "*"):
        unchanged = asked(ann, url, given)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == tag
        assert int(unchanged.headers["event-position"]) > 0
    assert asked(ann, url, '"7"').json() == movie
    ann.patch(url, json={"year": 1980})
    assert asked(ann, url, tag).json()["year"] == 1980
    assert asked(ann, f"{url}?version=1", '"1"').status_code == 304


@pytest.mark.parametrize("query", ["", "?title=alien", "?ordering=year&page_size=3"])
def test_a_list_that_has_not_changed(ann, bob, movie, query):
    first = ann.get(f"/movies/{query}")
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    unchanged = asked(bob, f"/movies/{query}", tag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == tag
    for change in (
        lambda: ann.post("/movies/", json=ALIEN),
        lambda: ann.patch(f"/movies/{movie['id']}/", json={"title": "Alien 3"}),
        lambda: ann.delete(f"/movies/{movie['id']}/"),
    ):
        assert change().is_success
        changed = asked(bob, f"/movies/{query}", tag)
        assert changed.status_code == 200
        tag = changed.headers["etag"]
        assert asked(bob, f"/movies/{query}", tag).status_code == 304


def test_without_credentials_nothing_is_told(service, ann):
    tag = ann.get("/movies/").headers["etag"]
    with service.client() as anyone:
        assert asked(anyone, "/movies/", tag).status_code == 401


def test_a_list_is_compared_weakly(ann):
    """With or without ``W/``; and ``*`` is whatever there is, but no page that is none."""
    tag = ann.get("/movies/").headers["etag"]
    for given in (tag.removeprefix("W/"), f'"p1", {tag.removeprefix("W/")}', "*"):
        unchanged = asked(ann, "/movies/", given)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == tag
    assert asked(ann, "/movies/", '"p1"').status_code == 200
    assert asked(ann, "/movies/?page=999999", "*").status_code == 404
