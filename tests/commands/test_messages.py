"""Request bodies: valid values, and the messages for the others."""

import pytest

from commands.errors import InvalidError
from commands.execution.handlers import HANDLERS
from commands.messages import MovieChanges, MovieFields, Registration

GOOD = {"title": "Alien", "genre": "Horror", "year": 1979}
ACCOUNT = {"username": "ann", "email": "ann@example.org", "password": "p", "password2": "p"}


def refused(kind, body):
    with pytest.raises(InvalidError) as caught:
        kind.of(body)
    return caught.value.errors


@pytest.mark.parametrize("given", [2018, "2018", " 2018 ", "2018.0", "2018.000 ", 2018.0, "+2018"])
def test_numeric_text_is_an_integer(given):
    assert MovieFields.of(GOOD | {"year": given}).year == 2018


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "This field may not be null."),
        (True, "A valid integer is required."),
        ("", "A valid integer is required."),
        ("2018.5", "A valid integer is required."),
        ("2_018", "A valid integer is required."),
        ("２０１８", "A valid integer is required."),
        (2018.5, "A valid integer is required."),
        ([2018], "A valid integer is required."),
        (0, "Ensure this value is greater than or equal to 1."),
        ("-3", "Ensure this value is greater than or equal to 1."),
        (10_000, "Ensure this value is less than or equal to 9999."),
        (1e300, "Ensure this value is less than or equal to 9999."),
    ],
)
def test_invalid_years_have_a_message(given, message):
    assert refused(MovieFields, GOOD | {"year": given}) == {"year": [message]}


@pytest.mark.parametrize("field", ["title", "genre"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "This field may not be null."),
        ("", "This field may not be blank."),
        (" \t\n", "This field may not be blank."),
        (True, "Not a valid string."),
        ([], "Not a valid string."),
        ({}, "Not a valid string."),
        ("x" * 101, "Ensure this field has no more than 100 characters."),
        ("a\0b", "Null characters are not allowed."),
    ],
)
def test_invalid_texts_have_a_message(field, given, message):
    assert refused(MovieFields, GOOD | {field: given}) == {field: [message]}


def test_text_is_trimmed_and_counted_in_characters():
    assert MovieFields.of(GOOD | {"title": f"  {'é' * 100} "}).title == "é" * 100


def test_a_number_becomes_its_text():
    assert MovieFields.of(GOOD | {"title": 1917}).title == "1917"


def test_all_errors_are_reported_at_once():
    assert refused(MovieFields, {"year": "x"}) == {
        "title": ["This field is required."],
        "genre": ["This field is required."],
        "year": ["A valid integer is required."],
    }
    assert refused(MovieFields, GOOD | {"title": "\0" * 101})["title"] == [
        "Ensure this field has no more than 100 characters.",
        "Null characters are not allowed.",
    ]


def test_unknown_and_read_only_fields_are_ignored():
    body = GOOD | {"id": 7, "creator": "eve", "version": 99, "poster": None}
    assert MovieFields.of(body).changes() == GOOD


def test_partial_change_has_only_the_given_fields():
    assert MovieChanges.of({"year": "1986"}).changes() == {"year": 1986}
    assert MovieChanges.of({}).changes() == {}
    assert refused(MovieChanges, {"title": None}) == {"title": ["This field may not be null."]}


def test_errors_contain_no_value():
    """An error never repeats the input."""
    with pytest.raises(InvalidError) as caught:
        Registration.of(ACCOUNT | {"username": "sesame!", "email": "sesame"})
    assert "sesame" not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize(
    "name", ["a", "Ann.O'x".replace("'", ""), "a@b", "a+b", "a-b", "a_b", "Zoë", "x" * 150]
)
def test_valid_usernames_are_accepted(name):
    assert Registration.of(ACCOUNT | {"username": name}).username == name


@pytest.mark.parametrize("name", ["a b", "a/b", "a'b", "a\u200bb", "😀", "a\u202eb"])
def test_invalid_usernames_are_refused(name):
    (message,) = refused(Registration, ACCOUNT | {"username": name})["username"]
    assert message.startswith("Enter a valid username. This value may contain only letters,")


@pytest.mark.parametrize(
    "address", ["ann", "ann@", "@x.org", "a b@x.org", "ann@nodot", "a@b@c.org"]
)
def test_invalid_addresses_are_refused(address):
    errors = refused(Registration, ACCOUNT | {"email": address})
    assert errors == {"email": ["Enter a valid email address."]}


@pytest.mark.parametrize(
    "address", ["email@email.com", "a.b+c@x.test", "ann@localhost", "ann@bücher.example"]
)
def test_valid_addresses_are_accepted(address):
    assert Registration.of(ACCOUNT | {"email": address}).email == address


def test_password_is_not_trimmed_and_has_two_names():
    assert Registration.of(ACCOUNT | {"password": " p "}).password == " p "
    other = {k: v for k, v in ACCOUNT.items() if k != "password"} | {"password1": "q"}
    assert Registration.of(other).password == "q"
    assert refused(Registration, {k: v for k, v in ACCOUNT.items() if k != "password"}) == {
        "password": ["This field is required."]
    }


def test_commands_carry_plain_data():
    """A command can be serialized: it has no exception and no object with behaviour."""
    for kind in HANDLERS:
        assert not kind.model_config.get("arbitrary_types_allowed"), kind.__name__
        assert kind.model_json_schema(mode="serialization")["type"] == "object"
