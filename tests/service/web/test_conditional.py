"""Conditional requests: unchanged representations are not sent, outdated writes are refused."""

import json

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from sanic.compat import Header

from service.web.conditional import check_read, excluded_versions, expected_versions
from tests.controls import ALIEN
from tests.running import problem


@pytest.fixture
def movie(ann):
    return ann.post("/movies/", json=ALIEN).json()


def get_if_none_match(client, path, tag):
    return client.get(path, headers={"If-None-Match": tag})


def test_an_unchanged_movie_is_304(ann, movie):
    url = f"/movies/{movie['id']}/"
    tag = ann.get(url).headers["etag"]
    assert tag == '"1"'
    for given in (tag, f"W/{tag}", f'"7", {tag}', "*"):
        unchanged = get_if_none_match(ann, url, given)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == tag
        assert int(unchanged.headers["event-position"]) > 0
    assert get_if_none_match(ann, url, '"7"').json() == movie
    ann.patch(url, json={"year": 1980})
    assert get_if_none_match(ann, url, tag).json()["year"] == 1980
    assert get_if_none_match(ann, f"{url}?version=1", '"1"').status_code == 304


@pytest.mark.parametrize("query", ["", "?title=alien", "?ordering=year&page_size=3"])
def test_an_unchanged_list_is_304(ann, bob, movie, query):
    first = ann.get(f"/movies/{query}")
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    unchanged = get_if_none_match(bob, f"/movies/{query}", tag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == tag
    for change in (
        lambda: ann.post("/movies/", json=ALIEN),
        lambda: ann.patch(f"/movies/{movie['id']}/", json={"title": "Alien 3"}),
        lambda: ann.delete(f"/movies/{movie['id']}/"),
    ):
        assert change().is_success
        changed = get_if_none_match(bob, f"/movies/{query}", tag)
        assert changed.status_code == 200
        tag = changed.headers["etag"]
        assert get_if_none_match(bob, f"/movies/{query}", tag).status_code == 304


def test_credentials_are_checked_before_preconditions(service, ann):
    tag = ann.get("/movies/").headers["etag"]
    with service.client() as anyone:
        assert get_if_none_match(anyone, "/movies/", tag).status_code == 401


def test_list_tags_are_compared_weakly(ann):
    """``W/`` is ignored; ``*`` matches every existing page."""
    tag = ann.get("/movies/").headers["etag"]
    for given in (tag.removeprefix("W/"), f'"p1", {tag.removeprefix("W/")}', "*"):
        unchanged = get_if_none_match(ann, "/movies/", given)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == tag
    assert get_if_none_match(ann, "/movies/", '"p1"').status_code == 200
    assert get_if_none_match(ann, "/movies/?page=999999", "*").status_code == 404


MALFORMED = [
    'junk "1" more', "1", '"1', '1"', '"1" "2"', '"1";"2"', 'w/"1"', 'W/ "1"', '"1" x', '*, "1"',
    "**", "", '"1\t"', '" 1"', '"1", junk', "'1'",
]  # fmt: skip
OTHER_TAGS = [
    '"004"',
    '"4.0"',
    '"+1"',
    '"01"',
    '"1 "',
    '"\u0661"',
    'W/"2"',
    '""',
    '"9", "10"',
    '"1,1"',
]
WRITES = [
    ("PUT", "", ALIEN | {"title": "Aliens"}),
    ("PATCH", "", {"title": "Aliens"}),
    ("POST", "revert/", {"version": 1}),
    ("POST", "revert/?dry_run=true", {"version": 1}),
    ("DELETE", "", None),
]


@pytest.fixture
def changed(ann, movie):
    """A movie at version 4."""
    for year in (1980, 1981, 1982):
        ann.patch(f"/movies/{movie['id']}/", json={"year": year})
    return f"/movies/{movie['id']}/"


def header_lines(name, *values):
    return [(name, value.encode()) for value in values]


def send(client, method, url, headers, body=None):
    content = None if body is None else json.dumps(body)
    headers = [*headers, *([("Content-Type", "application/json")] if body else [])]
    return client.request(method, url, headers=headers, content=content)


def test_if_match_with_another_tag_is_412(ann, changed):
    for number, given in enumerate([*MALFORMED, *OTHER_TAGS, '"3"', 'W/"4"']):
        method, path, body = WRITES[number % len(WRITES)]
        for sent in ((method, changed + path, body), ("GET", changed, None)):
            answer = send(ann, *sent[:2], header_lines("If-Match", given), sent[2])
            refusal = problem(answer, 412, "version_conflict")
            assert refusal["detail"].endswith("is at version 4."), given
            assert answer.headers["etag"] == '"4"'


def test_if_match_with_the_current_tag_succeeds(ann, changed):
    for given in (
        ('"4"',),
        ("*",),
        ('"3" ,\t"4"',),
        (',, "4",',),
        ('"3"', '"4"'),
        ('"a,b", "4"',),
        ('W/"4", "4"',),
    ):
        for method, path, body in (("PATCH", "", {"year": 1982}), WRITES[3]):
            assert send(
                ann, method, changed + path, header_lines("If-Match", *given), body
            ).is_success


def test_if_none_match_with_the_current_tag_is_412(ann, changed):
    """``*``, the tag (compared weakly) and malformed lists match the current state."""
    named = [("*",), ('"4"',), ('W/"4"',), ('"9"', '"4"'), ('"a,b",W/"4"',)]
    for number, given in enumerate([*named, *((one,) for one in MALFORMED)]):
        method, path, body = WRITES[number % len(WRITES)]
        answer = send(ann, method, changed + path, header_lines("If-None-Match", *given), body)
        problem(answer, 412, "version_conflict")
        assert answer.headers["etag"] == '"4"', given


def test_if_none_match_with_another_tag_succeeds(ann, changed):
    for given in ('"004"', '"3"', 'W/"5"', '"x"'):
        assert send(
            ann, "PATCH", changed, header_lines("If-None-Match", given), {"year": 1982}
        ).is_success
    # If-Match is evaluated first.
    both = header_lines("If-Match", '"3"') + header_lines("If-None-Match", '"9"')
    problem(send(ann, "PATCH", changed, both, {"year": 1}), 412, "version_conflict")
    both = header_lines("If-Match", '"4"') + header_lines("If-None-Match", '"4"')
    problem(send(ann, "PATCH", changed, both, {"year": 1}), 412, "version_conflict")


def test_preconditions_are_checked_last(ann, bob, changed, service):
    """Preconditions are evaluated after all other checks (RFC 9110, 13.2.1)."""
    stale = header_lines("If-Match", '"1"') + header_lines("If-None-Match", "*")
    none = "/movies/019a0b6c-57e4-7d31-9d4c-2f1d3f0a6b58/"
    for client, method, url, body, status in (
        (ann, "PUT", none, ALIEN, 404),
        (ann, "DELETE", none, None, 404),
        (ann, "GET", none, None, 404),
        (bob, "PUT", changed, ALIEN, 403),
        (bob, "DELETE", changed, None, 403),
        (ann, "PUT", changed, {"title": ""}, 400),
        (ann, "GET", f"{changed}?version=x", None, 400),
        (ann, "POST", "/movies/", {"title": ""}, 400),
        (ann, "GET", "/movies/?page=0", None, 404),
    ):
        assert send(client, method, url, stale, body).status_code == status
    with service.client() as anyone:
        assert send(anyone, "PUT", changed, stale, ALIEN).status_code == 401


def test_preconditions_on_a_deleted_movie(ann, changed):
    """``*`` does not match it, but the version in its history does."""
    ann.delete(changed)
    target = {"version": 1}
    problem(
        send(ann, "POST", f"{changed}revert/", header_lines("If-Match", "*"), target),
        412,
        "version_conflict",
    )
    named = send(ann, "POST", f"{changed}revert/?dry_run", header_lines("If-Match", '"5"'), target)
    assert named.status_code == 200
    back = send(ann, "POST", f"{changed}revert/", header_lines("If-None-Match", "*"), target)
    assert (back.status_code, back.headers["etag"]) == (200, '"6"')


@pytest.mark.parametrize(
    "path",
    ["/movies/{id}/", "/movies/{id}/?version=1", "/movies/", "/movies/?at_position=3", "/movies/{id}/history/",
     "/events/", "/auth/me/", "/auth/sessions/", "/../../openapi.json", "/../../docs", "/../../livez"],
)  # fmt: skip
def test_reads_evaluate_both_preconditions(ann, movie, path):
    """This holds with and without an ETag, for GET and HEAD."""
    url = path.format(**movie)
    plain = ann.get(url)
    tag = plain.headers.get("etag")
    for method in ("GET", "HEAD"):
        for header, given, status in [
            ("If-None-Match", "*", 304),
            ("If-None-Match", '"x"', 200),
            ("If-None-Match", "junk", 200),
            ("If-Match", "*", 200),
            ("If-Match", '"x"', 412),
            ("If-Match", "junk", 412),
            *([("If-None-Match", f'"y", {tag}', 304)] if tag else []),
            *([("If-None-Match", tag.removeprefix("W/"), 304)] if tag else []),
            *([("If-Match", tag, 412 if tag.startswith("W/") else 200)] if tag else []),
            ("If-Modified-Since", "Fri, 01 Jan 2038 00:00:00 GMT", 200),
            ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ]:
            answer = send(ann, method, url, header_lines(header, given))
            assert answer.status_code == status, (method, header, given)
            if path not in ("/events/", "/movies/", "/../../livez"):
                assert answer.headers.get("etag") == tag
            if status == 304 or method == "HEAD":
                assert answer.content == b""
            elif status == 412:
                problem(
                    answer,
                    412,
                    "version_conflict" if tag and tag[1:-1].isdigit() else "precondition_failed",
                )
        both = header_lines("If-Match", '"x"') + header_lines("If-None-Match", "*")
        assert send(ann, method, url, both).status_code == 412


def test_list_tags_are_opaque(ann):
    """Tags are compared as opaque strings, not as numbers."""
    ann.post("/movies/", json=ALIEN)
    tag = ann.get("/movies/").headers["etag"]
    for given in (tag.replace("p", "p0"), tag.replace("p", "P"), tag.replace("p", "p+")):
        assert get_if_none_match(ann, "/movies/", given).status_code == 200
    assert get_if_none_match(ann, "/movies/", f'W/"p99999999", {tag}').status_code == 304


def test_creating_evaluates_preconditions_on_the_list(ann):
    count = ann.get("/movies/", params={"creator__username": "ann"}).json()["count"]
    tag = ann.get("/movies/").headers["etag"]
    for header, given in [
        ("If-None-Match", "*"), ("If-None-Match", tag), ("If-None-Match", "junk"),
        ("If-Match", tag), ("If-Match", '"1"'), ("If-Match", "junk"),
    ]:  # fmt: skip
        answer = send(ann, "POST", "/movies/", header_lines(header, given), ALIEN)
        assert problem(answer, 412, "precondition_failed")
        assert answer.headers["etag"].startswith('W/"')
    assert ann.get("/movies/", params={"creator__username": "ann"}).json()["count"] == count
    for header, given in [("If-Match", "*"), ("If-None-Match", 'W/"p0"')]:
        assert send(ann, "POST", "/movies/", header_lines(header, given), ALIEN).status_code == 201


def test_ending_sessions_evaluates_preconditions(someone):
    for path in ("/auth/sessions/", "/auth/sessions/x/"):
        for header, given in (("If-Match", '"1"'), ("If-None-Match", "*")):
            problem(
                send(someone, "DELETE", path, header_lines(header, given)),
                412,
                "precondition_failed",
            )


class StubRequest:
    def __init__(self, *headers):
        self.headers = Header(headers)


TAGS = st.from_regex(r'(W/)?"[!#-~\x80-\xff]{0,3}"', fullmatch=True) | st.sampled_from(
    ['"1"', 'W/"1"']
)
GAPS = st.sampled_from([", ", ",", " ,\t", ",,", " , , "])


@examples(tags=st.lists(TAGS, min_size=1, max_size=4), gaps=st.lists(GAPS, min_size=3, max_size=3))
def test_lists_of_tags_are_parsed_exactly(tags, gaps):
    text = tags[0] + "".join(gap + tag for gap, tag in zip(gaps, tags[1:], strict=False))
    strong = tuple(1 for tag in tags if tag == '"1"')
    either = tuple(1 for tag in tags if tag in ('"1"', 'W/"1"'))
    found = expected_versions(StubRequest(("if-match", text)))
    assert tuple(one for one in found if one == 1) == strong
    found = excluded_versions(StubRequest(("if-none-match", text)))
    assert tuple(one for one in found if one == 1) == either
    assert check_read(StubRequest(("if-none-match", text)), '"1"') is not bool(either)


@examples(text=st.text(st.sampled_from(' \t",*W/1x'), max_size=12))
def test_malformed_lists_of_tags_match_nothing(text):
    """The result equals that of another implementation of the grammar of RFC 9110."""
    rest, listed, sound = text.strip(" \t"), [], True
    parts = rest.split('"')
    sound = len(parts) % 2 == 1 and len(parts) > 1
    for number, part in enumerate(parts):
        if number % 2:
            sound = sound and not set(part) & set(" \t")
            listed.append(part)
        else:
            weak = part.removesuffix("W/") if number < len(parts) - 1 else part
            sound = sound and not weak.strip(" \t,")
            sound = sound and (number in (0, len(parts) - 1) or "," in weak)
            if weak != part:
                listed.append(None)  # the following tag is weak
    strong = [
        int(tag) for number, tag in enumerate(listed)
        if tag and (number == 0 or listed[number - 1] is not None) and tag.strip("1") == ""
    ]  # fmt: skip
    found = expected_versions(StubRequest(("if-match", text)))
    assert found == ("any" if rest == "*" else tuple(strong) if sound else ())
