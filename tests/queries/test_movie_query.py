"""Parameters of a list request."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.errors import InvalidError, NotFoundError
from queries.movie_query import MovieQuery, parse_query


def query(**params):
    return parse_query({name: [value] for name, value in params.items()})


def test_the_default_is_the_ten_newest_movies():
    parsed = parse_query({})
    assert parsed == MovieQuery()
    assert (parsed.orderings, parsed.page, parsed.page_size) == ((("created_at", True),), 1, 10)


def test_texts_are_trimmed_and_folded():
    """Folding ignores case, Unicode included."""
    parsed = query(title="  ÉLAN ", genre="E\u0301", creator__username="Straße", search="ŻÓŁW")
    assert (parsed.title, parsed.genre, parsed.creator, parsed.search) == (
        "élan",
        "é",
        "strasse",
        "żółw",
    )


@pytest.mark.parametrize("params", [{"title": " "}, {"colour": "red"}, {"year": ""}, {"page": " "}])
def test_blank_and_unknown_parameters_are_ignored(params):
    assert query(**params) == MovieQuery()


def test_the_last_of_repeated_parameters_counts():
    assert parse_query({"title": ["a", "b"], "year": ["x", "1979"], "page": []}) == MovieQuery(
        title="b", year_from=1979, year_to=1979
    )


@pytest.mark.parametrize(
    ("params", "years"),
    [
        ({"year": "2018"}, (2018, 2018)),
        ({"year": " 2018.0 "}, (2018, 2018)),
        ({"year": "2e3"}, (2000, 2000)),
        ({"year__gt": "2018"}, (2019, 10_000)),
        ({"year__gt": "2018.5"}, (2019, 10_000)),
        ({"year__gte": "2018.5"}, (2019, 10_000)),
        ({"year__gte": "2018"}, (2018, 10_000)),
        ({"year__lt": "2018"}, (0, 2017)),
        ({"year__lt": "2018.5"}, (0, 2018)),
        ({"year__lte": "2018.5"}, (0, 2018)),
        ({"year__lte": "-0"}, (0, 0)),
        ({"year__gt": "2019", "year__lt": "2022"}, (2020, 2021)),
        ({"year__gte": "1990", "year__gt": "1980", "year__lte": "1e999999"}, (1990, 10_000)),
    ],
)
def test_bounds_on_years_are_exact(params, years):
    """A bound may be a fraction: 2018.5 is after 2018 and before 2019."""
    parsed = query(**params)
    assert (parsed.year_from, parsed.year_to) == years


@pytest.mark.parametrize("year", ["2018.5", "-1", "1e999999999", "1e-999999999", "10000"])
def test_an_impossible_year_matches_no_movie(year):
    parsed = query(year=year)
    assert parsed.year_from > parsed.year_to or parsed.year_from == parsed.year_to == 10_000


@given(
    st.sampled_from(["year", "year__gt", "year__gte", "year__lt", "year__lte"]),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.integers(1, 9999),
)
def test_bounds_agree_with_the_comparison(name, number, year):
    parsed = query(**{name: str(number)})
    exact = {
        "year": Decimal(year) == number,
        "year__gt": Decimal(year) > number,
        "year__gte": Decimal(year) >= number,
        "year__lt": Decimal(year) < number,
        "year__lte": Decimal(year) <= number,
    }[name]
    assert (parsed.year_from <= year <= parsed.year_to) == exact


def test_all_invalid_filters_are_reported_at_once():
    """No message repeats a value."""
    with pytest.raises(InvalidError) as refused:
        query(year="soon", year__gt="nan", year__lt="1_0", year__gte="inf", title="a\0b", page="0")
    assert refused.value.errors == {
        "year": ["Enter a number."],
        "year__gt": ["Enter a number."],
        "year__lt": ["Enter a number."],
        "year__gte": ["Enter a number."],
        "title": ["Null characters are not allowed."],
    }


@pytest.mark.parametrize("name", ["title", "genre", "creator__username", "search", "year__lte"])
def test_nul_is_refused(name):
    with pytest.raises(InvalidError) as refused:
        query(**{name: "1\0"})
    assert refused.value.errors == {name: ["Null characters are not allowed."]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "-created_at"),
        (" , ,", "-created_at"),
        ("title", "title"),
        ("-genre", "-genre"),
        (" -year ", "-year"),
        ("creator", "creator"),
        ("id", "id"),
        ("-id", "-id"),
        ("year,-title", "year,-title"),
        (" year , -title ,", "year,-title"),
        ("colour,-title,year", "-title,year"),
        ("year,--title", "year"),
        ("year,-year,title", "year,title"),
        ("genre,id,title,year", "genre,id"),
        ("genre,-id,title", "genre"),
        ("title,-id", "title"),
        ("created_at,year,title,creator,genre,id", "created_at,year,title,creator,genre,id"),
    ],
)
def test_orderings_without_effect_are_left_out(text, expected):
    """The others keep their order."""
    assert ",".join(map(str, query(ordering=text).orderings)) == expected


@pytest.mark.parametrize(
    "text", ["colour", "--year", "-", "- year", "Title", "title;year", "titles", "a,b", "year\0"]
)
def test_an_unknown_ordering_is_refused(text):
    """It is ignored beside a known one, and reported with all other errors of the request."""
    with pytest.raises(InvalidError) as refused:
        query(ordering=text, year="soon")
    assert set(refused.value.errors) == {"ordering", "year"}
    assert query(ordering=f"{text},year").orderings == (("year", False),)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("15", 15), ("100", 100), ("101", 100), ("9" * 5000, 100)]
    + [(nonsense, 10) for nonsense in ("0", "000", "-1", "ten", "1.5", "²", "1_0")],
)
def test_page_size_has_a_maximum_and_a_default(text, size):
    """A larger number becomes 100, an invalid one 10."""
    assert query(page_size=text).page_size == size


def test_a_page_is_a_number_or_last():
    assert query(page="3").page == 3
    assert query(page="last").page is None


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.0", "²", "9" * 5000, "LAST", "1\0"])
def test_an_invalid_page_is_refused(text):
    with pytest.raises(NotFoundError, match=r"^Invalid page\.$"):
        query(page=text)
