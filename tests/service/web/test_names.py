"""All spellings of a username are equal on all endpoints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from commands.fields import username
from commands.text import fold_name
from tests.controls import ALIEN
from tests.running import PASSWORD, problem, run

SPELLINGS = (" yve{} ", "\tyve{}\n", "\u3000YVE{}\u00a0", "\uff59\uff56\uff45{}", "Yve{}")


def registration(name, number):
    body = {"username": name, "email": f"yve{number}@example.org"}
    return body | {"password": PASSWORD, "password2": PASSWORD}


@pytest.mark.parametrize("number", range(len(SPELLINGS)))
def test_a_username_signs_in_as_it_was_registered(service, number):
    """Every other spelling of the name signs in too."""
    written = [one.format(number) for one in SPELLINGS]
    with service.client() as anyone:
        created = anyone.post("/auth/register/", json=registration(written[number], number))
        assert created.status_code == 201, created.text
        stored = created.json()["username"]
        for name in (written[number], *written):
            body = {"username": name, "password": PASSWORD}
            for kind in ("json", "data"):
                pair = anyone.post("/auth/token/", **{kind: body})
                assert pair.status_code == 200, (name, pair.text)
            taken = anyone.post("/auth/register/", json=registration(name, f"{number}-other"))
            errors = problem(taken, 400, "invalid")["errors"]
            assert errors["username"] == ["A user with that username already exists."]
    eve = service.client(pair.json()["access"])
    assert eve.get("/auth/me/").json()["username"] == stored
    eve.post("/movies/", json=ALIEN)
    for name in written:
        found = eve.get("/movies/", params={"creator__username": name}).json()
        assert [row["creator"] for row in found["results"]] == [stored], name


def test_an_import_accepts_other_spellings(service, someone, tmp_path):
    file = tmp_path / "movies.csv"
    file.write_text("title,genre,year\nAlien,Horror,1979\n")
    name = f" {someone.account['username'].upper()} "
    done = run(service.data_dir, "import", file, "--as", name)
    assert done.returncode == 0, done.stderr


@given(
    st.text(min_size=1, max_size=6)
    | st.text(" \t\u3000\uff45\ufb01eE\u0130", min_size=1, max_size=6)
)
def test_a_stored_username_is_found_by_its_original_spelling(written):
    try:
        stored = username(written)
    except PydanticCustomError:  # not a valid username
        return
    assert fold_name(written) == fold_name(stored)
    assert username(stored) == stored


def test_links_contain_known_parameters_only(ann):
    """Unknown parameters are dropped; otherwise links would grow beyond the limit."""
    ann.post("/movies/", json=ALIEN)
    ann.post("/movies/", json=ALIEN)
    junk = {
        "utm": "x" * 6000,
        "Title": "a",
        "year__gte": "1",
        "page_size": "1",
        "ordering": "-year",
    }
    page = ann.get("/movies/", params=junk | {"title": ["b", "alien"]})
    links = [page.json()["next"], page.headers["link"]]
    for link in links:
        assert "utm" not in link
        assert "Title" not in link
        assert "year__gte=1" in link
        assert "page_size=1" in link
        assert "ordering=-year" in link
        assert "title=alien" in link
    assert ann.get(links[0]).status_code == 200
    assert "utm" not in ann.get("/movies/", params=junk | {"page": "2"}).json()["previous"]
    one = f"/movies/{page.json()['results'][0]['id']}/"
    ann.patch(one, json={"year": 1980})
    history = ann.get(f"{one}history/", params=junk).json()
    assert history["next"].endswith("/history/?page_size=1&page=2")
