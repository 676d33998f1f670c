"""Claims: their ids are stored for ever."""

from typing import NamedTuple
from uuid import UUID

from commands.aggregates.claims import row_claim
from commands.aggregates.movie import MovieDetails
from tests.controls import ANN

ALIEN = MovieDetails("Alien", "Horror", 1979)


class Later(NamedTuple):
    """The fields of a later release."""

    title: str
    genre: str
    year: int
    director: str = ""
    studio: str = ""


def test_row_claims_never_change():
    """A repeated import adds nothing, even if an earlier release made the first one."""
    assert row_claim(str(ANN), ALIEN, 1) == UUID("cf93a4a4-d6f4-57a1-94b1-026ad41060c6")
    assert row_claim(str(ANN), ALIEN, 2) == UUID("cf9fb063-23ae-52a8-8e67-0a7e6f249f40")
    assert row_claim(str(ANN), Later(*ALIEN), 1) == row_claim(str(ANN), ALIEN, 1)


def test_row_claims_differ_by_a_later_field():
    rows = [
        Later(*ALIEN),
        Later(*ALIEN, director="Scott"),
        Later(*ALIEN, studio="Scott"),
        Later(*ALIEN, director="Scott", studio="Scott"),
    ]
    claims = {row_claim(str(ANN), row, nth) for row in rows for nth in (1, 2)}
    assert len(claims) == 8
