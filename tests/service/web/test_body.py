"""Request bodies: media type, content coding, text."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.errors import InvalidError
from commands.messages import MovieFields
from commands.text import caseless, fold, is_visible
from tests.controls import ALIEN
from tests.running import problem

JSON, MERGE = "application/json", "application/merge-patch+json"
FORM = "application/x-www-form-urlencoded"
BODY = json.dumps(ALIEN).encode()


@pytest.fixture
def url(ann):
    return f"/movies/{ann.post('/movies/', json=ALIEN).json()['id']}/"


def typed(client, method, url, media, content=BODY, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request(method, url, content=content, headers={"Content-Type": media, **headers})


def test_patch_is_a_merge_patch(ann, url):
    """RFC 7396: named fields change; no field can be removed."""
    done = typed(ann, "PATCH", url, MERGE, b'{"year": 1980}')
    assert (done.status_code, done.json()["title"], done.json()["year"]) == (200, "Alien", 1980)
    assert typed(ann, "PATCH", url, f"{MERGE.upper()}; charset=utf-8", b"{}").is_success
    refused = problem(typed(ann, "PATCH", url, MERGE, b'{"year": null}'), 400, "invalid")
    assert refused["errors"] == {"year": ["This field may not be null."]}
    problem(typed(ann, "PATCH", url, MERGE, b"[]"), 400, "invalid")


def test_patch_names_its_media_types(ann, url):
    for media in ("application/json-patch+json", "text/plain", FORM, ""):
        refused = typed(ann, "PATCH", url, media)
        problem(refused, 415, "unsupported_media_type")
        assert refused.headers["accept-patch"] == f"{JSON}, {MERGE}"
        assert refused.headers["accept"] == f"{JSON}, {MERGE}"
    for path in (url, url.rstrip("/")):
        options = ann.options(path)
        assert (options.status_code, options.headers["accept-patch"]) == (204, f"{JSON}, {MERGE}")
    assert "accept-patch" not in ann.options("/movies/").headers


def test_other_methods_refuse_merge_patches(ann, url):
    for method, path in (("PUT", url), ("POST", "/movies/"), ("POST", f"{url}revert/")):
        refused = typed(ann, method, path, MERGE)
        problem(refused, 415, "unsupported_media_type")
        assert refused.headers["accept"] == JSON
        assert "accept-patch" not in refused.headers


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "x", "gzip, identity"])
def test_a_content_coding_is_refused(ann, url, service, coding):
    """The decoded size would be unbounded."""
    packed = {"gzip": gzip.compress, "deflate": zlib.compress}.get(coding, bytes)(BODY)
    for method, path in (
        ("POST", "/movies/"),
        ("PUT", url),
        ("PATCH", url),
        ("POST", f"{url}revert/"),
    ):
        refused = typed(ann, method, path, JSON, packed, Content_Encoding=coding)
        refusal = problem(refused, 415, "unsupported_media_type")
        assert refusal["detail"] == "Unsupported content encoding in request."
        assert refused.headers["accept-encoding"] == "identity"
        assert JSON in refused.headers["accept"]
    with service.client() as anyone:
        for media in (JSON, FORM):
            refused = typed(anyone, "POST", "/auth/token/", media, packed, Content_Encoding=coding)
            problem(refused, 415, "unsupported_media_type")


def test_identity_coding_is_accepted(ann, url):
    for coding in ("identity", "", "identity, IDENTITY"):
        assert typed(ann, "PUT", url, JSON, Content_Encoding=coding).status_code == 200
    assert ann.get(url, headers={"Content-Encoding": "gzip"}).status_code == 200


def test_a_byte_order_mark_is_skipped(ann, url):
    assert typed(ann, "PUT", url, JSON, b"\xef\xbb\xbf" + BODY).status_code == 200
    for broken in (b"\xef\xbb\xbf" * 2 + BODY, b"\xef\xbb\xbf", BODY.decode().encode("utf-16")):
        problem(typed(ann, "PUT", url, JSON, broken), 400, "parse_error")


def test_two_content_types_are_refused(ann, url):
    headers = [("Content-Type", JSON), ("Content-Type", MERGE)]
    problem(ann.patch(url, content=b"{}", headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("name", ["Idempotency-Key", "Change-Reason"])
def test_repeated_single_value_headers_are_refused(someone, name):
    """Equal values are refused too."""
    for second in ("b", "a"):
        twice = someone.post("/movies/", json=ALIEN, headers=[(name, "a"), (name, second)])
        assert problem(twice, 400, "invalid")["errors"] == {name: ["Send this header once."]}
    params = {"creator__username": someone.account["username"]}
    assert someone.get("/movies/", params=params).json()["count"] == 0


INVISIBLE = [
    "\u200b", "\u2060\ufeff", "\u3164", "\uffa0", "\u115f\u1160", "\ufe0f", "\u2800", "\x07\x1b",
    "\u00ad", " \u200d ", "\u180e", "\U000e0020", "\U000e0100", "\u034f", "\u2028", "\x85", "\u3000",
]  # fmt: skip


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
def test_invisible_text_is_blank(text):
    with pytest.raises(InvalidError) as refused:
        MovieFields.of({"title": text, "genre": text * 3, "year": 1979})
    blank = ["This field may not be blank."]
    assert refused.value.errors == {"title": blank, "genre": blank}
    for seen in ("x", "é", "漢", "\u0301", "🎬", "\U0001f9ff", "!"):
        assert MovieFields.of(ALIEN | {"title": f"{text}{seen}{text}"}).title


@given(st.text(max_size=4))
def test_printable_text_is_visible(text):
    if text.isprintable() and text.strip() and not set(text) & set("".join(INVISIBLE)):
        assert is_visible(text) or all(ord(one) >= 0xFE00 for one in text)


def test_over_http_invisible_text_is_blank(ann, url):
    refused = problem(ann.patch(url, json={"title": "\u200b"}), 400, "invalid")
    assert refused["errors"] == {"title": ["This field may not be blank."]}


def test_turkish_i_variants_are_equal(someone):
    """Dotted, dotless, upper and lower case are equal in searches."""
    spellings = ("İstanbul", "Istanbul", "istanbul", "ISTANBUL", "I\u0307stanbul", "ıstanbul")
    for title in spellings:
        someone.post("/movies/", json=ALIEN | {"title": title})
    known = {"creator__username": someone.account["username"]}
    for query in spellings:
        for name in ("title", "search"):
            assert someone.get("/movies/", params=known | {name: query}).json()["count"] == len(
                spellings
            )
    titles = [
        row["title"]
        for row in someone.get("/movies/", params=known | {"ordering": "title"}).json()["results"]
    ]
    assert titles == list(reversed(spellings))  # ties are ordered newest first


@given(st.text())
def test_folding_is_idempotent(text):
    assert fold(fold(text)) == fold(text)
    if not set(caseless(text)) & set("i\u0131"):
        assert fold(text) == caseless(text)
