"""Secrets in files: a URL, or the password of one; each given once, and shown by no message."""

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from redis.connection import parse_url

from commands.database.urls import with_password
from commands.errors import ConfigurationError
from projections.redis_client import open_redis
from service.secret_files import MAX_BYTES, read_urls
from service.settings import Settings
from tests.running import run


@pytest.fixture
def secret(tmp_path):
    """Write a secret to a file; return its path."""

    def write(content, name="secret"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_holds_the_url(secret, end):
    urls = read_urls("CINELOG_", {"CINELOG_REDIS_URL_FILE": secret("redis://:pw@host/0" + end)})
    assert urls == {"redis_url": "redis://:pw@host/0"}


def test_only_one_newline_is_stripped(secret):
    """Spaces may belong to a password; a second line is a mistake."""
    environ = {
        "CINELOG_EVENT_STORE_URL": "postgresql://u@h/db",
        "CINELOG_EVENT_STORE_PASSWORD_FILE": secret(" a b \n"),
    }
    url = read_urls("CINELOG_", environ)["event_store_url"]
    assert conninfo_to_dict(url)["password"] == " a b "
    with pytest.raises(ConfigurationError, match="more than one line"):
        read_urls("CINELOG_", environ | {"CINELOG_EVENT_STORE_PASSWORD_FILE": secret("a\n\n")})


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1))
def test_any_password_is_inserted_into_a_url(password):
    for url in ("postgresql://u@h1:1,h2/db?sslmode=disable", "postgresql:///db?host=/run/a@b"):
        without, with_it = conninfo_to_dict(url), conninfo_to_dict(with_password(url, password))
        assert with_it == without | {"password": password}
    for url in ("redis://h:1/2", "redis://u@h/2", "unix:///run/a@b.sock?db=2"):
        assert parse_url(with_password(url, password)) == parse_url(url) | {"password": password}


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://u:old@h/db", "has a password, too"),
        ("postgresql://u:@h/db", "has a password, too"),
        ("postgresql://u@h/db?password=old", "has a password, too"),
        ("sqlite:////var/events.db", "no server"),
        ("", "no server"),
    ],
)
def test_a_password_needs_a_url_of_a_server_without_one(secret, url, problem):
    environ = {
        "CINELOG_EVENT_STORE_URL": url,
        "CINELOG_EVENT_STORE_PASSWORD_FILE": secret("new"),
    }
    with pytest.raises(ConfigurationError, match=problem) as refused:
        read_urls("CINELOG_", environ)
    assert refused.value.variable == "CINELOG_EVENT_STORE_PASSWORD_FILE"
    assert "old" not in str(refused.value)
    assert "new" not in str(refused.value)


def test_a_url_file_may_leave_the_password_to_another_file(secret):
    environ = {
        "CINELOG_REDIS_URL_FILE": secret("redis+sentinel://u@h:1,h:2/mymaster", "url"),
        "CINELOG_REDIS_PASSWORD_FILE": secret("p@ss/w"),
    }
    urls = read_urls("CINELOG_", environ)
    assert urls == {"redis_url": "redis+sentinel://u:p%40ss%2Fw@h:1,h:2/mymaster"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "not text in UTF-8"),
        (b"a\nb", "more than one line"),
        (b"a\x00b", "more than one line"),
        (b"a" * (MAX_BYTES + 1), "more than one line"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(secret, content, problem):
    with pytest.raises(ConfigurationError, match=problem) as refused:
        read_urls("CINELOG_", {"CINELOG_REDIS_URL_FILE": secret(content)})
    assert refused.value.variable == "CINELOG_REDIS_URL_FILE"


@pytest.mark.parametrize("variable", ["CINELOG_REDIS_URL_FILE", "CINELOG_REDIS_PASSWORD_FILE"])
def test_a_missing_file_is_named(tmp_path, variable):
    environ = {variable: str(tmp_path / "none")}
    if "PASSWORD" in variable:
        environ["CINELOG_REDIS_URL"] = "redis://h"
    with pytest.raises(ConfigurationError, match=r"none cannot be read \(No such file") as refused:
        read_urls("CINELOG_", environ)
    assert refused.value.variable == variable


def test_an_empty_variable_counts_as_unset():
    assert read_urls("CINELOG_", {"CINELOG_REDIS_URL_FILE": "", "CINELOG_REDIS_URL": "x"}) == {}


def test_the_settings_take_the_secrets(secret, monkeypatch):
    monkeypatch.setenv("CINELOG_EVENT_STORE_URL_FILE", secret("postgresql://u:p@h/db\n"))
    assert Settings.load().event_store_url == "postgresql://u:p@h/db"


def test_a_secret_given_twice_is_one_line_that_names_the_variable(tmp_path, secret):
    done = run(
        tmp_path / "var",
        "status",
        redis_url="redis://:one@h",
        redis_url_file=secret("redis://:two@h"),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "cinelog: CINELOG_REDIS_URL_FILE: CINELOG_REDIS_URL is set, too; set one of them\n"
    )


def test_a_server_that_refuses_the_password_does_not_reveal_it(tmp_path, own_valkey, secret):
    """The child that cannot start reports to the supervisor, which prints one line."""
    with closing(open_redis(own_valkey.url)) as client:
        client.config_set("requirepass", "another")
    done = run(
        tmp_path / "var",
        "serve",
        port=0,
        redis_url=own_valkey.url,
        redis_password_file=secret("hush-hush"),
    )
    assert done.returncode == 2
    assert "CINELOG_REDIS_URL: the Redis it names refuses the user or the password" in done.stderr
    assert "hush" not in done.stderr
