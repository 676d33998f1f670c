"""A password in a URL needs no percent-encoding, and no message shows a part of it."""

from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from commands.database.urls import quoted
from commands.errors import ConfigurationError
from commands.event_store.store import Store


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/a@b:c/events.db",
        "sqlite:///events.db",
        "postgresql://host:5432/db?application_name=a@b",
        "postgresql://host/db?user=a@b",
        "postgresql:///db?host=/run/a@b",
        "postgresql://u:p%40%2F@host:5432/db",
        "postgresql://u@h1:1,h2:2/db",
        "redis://:p@[::1]:6379/0",
        "unix:///run/a@b.sock?db=1",
        "redis+sentinel://u:p@h:1,h:2/mymaster/0",
        "postgresql://:5432/db?application_name=a@b",
        "postgresql://[::1]/db?application_name=a@b",
        "postgresql://h:1,h:2/db?application_name=a@b",
        "nonsense",
        "",
    ],
)
def test_valid_url_is_unchanged(url):
    assert quoted(url) == url


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="%"), min_size=1)
)
@example(":0/")
@example("0[/")
@example("0[?/")
def test_any_password_without_a_percent_sign_is_read(password):
    """A question mark after a colon and digits is excluded: these may be a port."""
    if password.lstrip("0123456789")[:1] in ("/", "?", "#", ""):
        password = f"x{password}"
    if "?" in password:
        password = password.replace("=", "-")  # else "?a=@" may be a query
    read = conninfo_to_dict(quoted(f"postgresql://ann:{password}@host:5432/db?sslmode=disable"))
    assert (read["user"], read["password"], read["host"]) == ("ann", password, "host")
    assert read["dbname"] == "db"


@pytest.mark.parametrize("password", ["p@ss/w?rd#1", "50%", "a%zz", "a%40b"])
def test_a_percent_sign_may_be_encoded_or_not(password):
    read = conninfo_to_dict(quoted(f"postgresql://ann:{password}@host/db"))
    assert read["password"] == password.replace("%40", "@")


@pytest.fixture(scope="module")
def url_of_guarded_database(postgres):
    """Return a function that returns the URL of a database with a given password."""
    url = postgres()
    password = "p@ss/w%rd"
    with psycopg.connect(url, autocommit=True) as connection:
        name, folder = connection.execute(
            "SELECT current_database(), current_setting('hba_file')"
        ).fetchone()
        connection.execute(f"CREATE ROLE cautious LOGIN PASSWORD '{password}'")
        connection.execute("GRANT ALL ON SCHEMA public TO cautious")
        rules = Path(folder).read_text(encoding="utf-8")
        own = "local all cautious scram-sha-256\nlocal all refused reject\n"
        Path(folder).write_text(own + rules, encoding="utf-8")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE ROLE refused LOGIN")
    host = conninfo_to_dict(url)["host"]

    def url_of(user=f"cautious:{password}", database=name):
        return f"postgresql://{user}@/{database}?host={quote(host, safe='')}"

    yield url_of
    Path(folder).write_text(rules, encoding="utf-8")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY cautious")
        connection.execute("DROP ROLE cautious, refused")


def test_password_without_percent_encoding(url_of_guarded_database):
    Store.open(url_of_guarded_database()).close()


@pytest.mark.parametrize(
    ("user", "database", "said"),
    [
        ("cautious:hush/hush@1", None, "refuses the user or the password"),
        ("cautious", None, "wants a password"),
        ("cautious:p@ss/w%rd", "nowhere", "has no database of that name"),
        ("refused:hush", None, "refuses the connection"),
    ],
)
def test_refusal_names_the_problem_without_the_password(
    url_of_guarded_database, user, database, said
):
    url = url_of_guarded_database(user, database) if database else url_of_guarded_database(user)
    with pytest.raises(ConfigurationError) as refused:
        Store.open(url)
    assert said in refused.value.problem
    assert "hush" not in str(refused.value)
    assert "ss/w" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:hush@127.0.0.1:1/x", "does not answer"),
        ("postgresql://u:hush@no-such-host.invalid/x", "host"),
        ("postgresql://u:hush@[::1/x", "not a PostgreSQL URL"),
        ("postgresql://u:hush@host.invalid:port/x", "correct the URL"),
        ("postgresql://u:hush@127.0.0.1:1/x?nonsense=hush", "not a PostgreSQL URL"),
        ("oracle://u:hush@x", "begin it with"),
        ("postgresql://u:[hush@x.invalid/y]z", "correct the URL"),
    ],
)
def test_refusal_shows_no_part_of_the_url(url, said):
    with pytest.raises(ConfigurationError) as refused:
        Store.open(url)
    assert said in refused.value.problem
    assert "hush" not in str(refused.value)
