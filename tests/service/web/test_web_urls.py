"""The issuer, and URL settings: invalid ones are refused at start."""

import httpx
import pytest

from commands.errors import ConfigurationError
from service.settings import Settings
from tests.running import Cinelog, run

INVALID_URLS = [
    "example.org", "movies.example.org/x", "//example.org", "ftp://example.org", "javascript:x", "http://",
    "https:///x", "http://a b", "http://a/b c", "http://user:secret@example.org", "http://example.org?x=1",
    "http://example.org/#x", "http://example.org:99999", "http://example.org:0", "http://example.org:x",
    "http://-", "http://a..b", "http://[::1", "http://\u00e9.org", "http://a/\u00e9", "http://a\\b", "*", "/",
    "http://a\r\nx: y", 'http://a/"', "http://a/<script>", f"http://{'a' * 64}.org", "http://example.org:",
]  # fmt: skip
INVALID_ORIGINS = [*(one for one in INVALID_URLS if one != "*"), "https://a.example/", "https://a.example/x", "null",
             "https://*.example.org", "https://a.example, *"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [("public_url", one) for one in INVALID_URLS]
    + [("issuer", one) for one in INVALID_URLS]
    + [("cors_origins", one) for one in INVALID_ORIGINS],
)
def test_invalid_urls_are_refused(name, value):
    """The error is one line with the variable and without the value (it may hold a password)."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.load(**{name: value})
    message = str(refused.value)
    assert message.startswith(f"CINELOG_{name.upper()}: write ")
    assert "\n" not in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "url", ["https://movies.example.org", "http://127.0.0.1:8000", "http://[::1]:8000", "http://cinelog_api:80",
            "https://example.org/a/b", "HTTPS://Example.org", "http://localhost"],
)  # fmt: skip
def test_valid_urls_are_accepted(url):
    assert Settings.load(public_url=f"{url}/").public_url == url
    assert Settings.load(public_url=f" {url} ").issuer == url
    assert Settings.load(issuer=url, public_url="https://example.net").issuer == url


def test_valid_origins_are_accepted():
    given = "https://App.example.org, http://localhost:3000,http://[::1]:5173"
    assert Settings.load(cors_origins=given).cors_origins == given.lower().replace(" ", "")
    assert Settings.load(cors_origins=" * ").cors_origins == "*"
    assert Settings.load(cors_origins="").cors_origins == ""


@pytest.mark.parametrize(
    ("settings", "issuer"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"port": 8123}, "http://127.0.0.1:8123"),
        ({"host": "0.0.0.0", "port": "80"}, "http://127.0.0.1:80"),
        ({"host": "::1"}, "http://[::1]:8000"),
        ({"host": "localhost"}, "http://localhost:8000"),
        ({"public_url": "https://example.org/x/", "port": 8123}, "https://example.org/x"),
        (
            {"issuer": "https://id.example.org", "public_url": "https://x.org"},
            "https://id.example.org",
        ),
    ],
)
def test_the_issuer_is_the_public_address(settings, issuer):
    assert Settings.load(**settings).issuer == issuer
    assert Settings.load(**settings).served_at("http://127.0.0.1:1").issuer == issuer


def test_an_empty_issuer_counts_as_unset(monkeypatch):
    monkeypatch.setenv("CINELOG_ISSUER", "")
    monkeypatch.setenv("CINELOG_PUBLIC_URL", "")
    monkeypatch.setenv("CINELOG_PORT", "9001")
    assert Settings.load().issuer == "http://127.0.0.1:9001"


def test_a_chosen_port_is_part_of_the_issuer():
    assert Settings.load(port=0).issuer == ""
    assert (
        Settings.load(port=0).served_at("http://127.0.0.1:4711").issuer == "http://127.0.0.1:4711"
    )


def test_the_metadata_follows_the_port(service, ann):
    """RFC 8414: the issuer equals the requested URL and leads to every endpoint."""
    metadata = httpx.get(f"{service.url}/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == service.url
    assert metadata["token_endpoint"] == f"{service.url}/api/v1/auth/token/"
    assert metadata["jwks_uri"] == f"{service.url}/.well-known/jwks.json"
    assert httpx.get(metadata["jwks_uri"]).is_success


def test_a_public_url_is_the_base_of_all_links(tmp_path):
    public = "https://movies.example.org/x"
    with Cinelog(tmp_path / "var", public_url=f"{public}/") as service:
        metadata = httpx.get(f"{service.url}/.well-known/oauth-authorization-server").json()
        assert metadata["issuer"] == public
        assert metadata["token_endpoint"] == f"{public}/api/v1/auth/token/"
        alien = {"title": "Alien", "genre": "Horror", "year": 1979}
        created = service.account("ann").post("/movies/", json=alien)
        assert created.headers["location"].startswith(f"{public}/api/v1/movies/")


def test_the_command_reports_an_invalid_url(tmp_path):
    done = run(tmp_path / "var", "serve", public_url="example.org")
    assert (done.returncode, done.stdout) == (2, "")
    assert "CINELOG_PUBLIC_URL: write a URL like " in done.stderr
    assert done.stderr.count("\n") == 1
