"""The movie routes of a running service."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from queries.orderings import FIELDS
from tests.running import problem

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def movie(ann):
    return ann.post("/movies/", json=ALIEN).json()


def test_a_movie_is_created(ann):
    created = ann.post("/movies/", json=ALIEN | {"title": "  Alien "})
    assert created.status_code == 201
    movie = created.json()
    assert list(movie) == [
        "id",
        "title",
        "genre",
        "year",
        "creator",
        "version",
        "created_at",
        "updated_at",
    ]
    assert {name: movie[name] for name in ALIEN} == ALIEN
    assert (movie["creator"], movie["version"]) == (ann.account["username"], 1)
    assert uuid.UUID(movie["id"]).version == 7
    assert TIME.fullmatch(movie["created_at"])
    assert movie["created_at"] == movie["updated_at"]
    assert created.headers["etag"] == '"1"'
    assert created.headers["location"] == f"{ann.base_url}movies/{movie['id']}/"
    assert int(created.headers["event-position"]) > 0
    assert "read-model" not in created.headers


def test_a_write_returns_once_all_accounts_can_read_it(ann, bob):
    for number in range(30):
        movie = ann.post("/movies/", json=ALIEN | {"year": 1900 + number}).json()
        assert bob.get(f"/movies/{movie['id']}/").json() == movie
        assert bob.get("/movies/").json()["results"][0] == movie
        changed = ann.patch(f"/movies/{movie['id']}/", json={"title": f"Alien {number}"}).json()
        assert bob.get("/movies/").json()["results"][0] == changed


def test_put_replaces_all_fields_and_patch_changes_some(ann, movie):
    url = f"/movies/{movie['id']}/"
    replaced = ann.put(url, json={"title": "Aliens", "genre": "Action", "year": "1986"})
    assert replaced.status_code == 200
    fields = {"title": "Aliens", "genre": "Action", "year": 1986}
    assert fields.items() <= replaced.json().items()
    assert (replaced.json()["version"], replaced.headers["etag"]) == (2, '"2"')
    changed = ann.patch(url, json={"year": 1987})
    assert (changed.json()["title"], changed.json()["year"]) == ("Aliens", 1987)
    assert changed.json()["created_at"] == movie["created_at"] < changed.json()["updated_at"]


def test_put_of_the_current_representation_changes_nothing(ann, movie):
    """Read-only fields are ignored, and no event is appended."""
    back = ann.put(f"/movies/{movie['id']}/", json=movie | {"creator": "eve", "version": 9})
    assert (back.status_code, back.json()) == (200, movie)


def test_a_deleted_movie_is_not_found(ann, movie):
    url = f"/movies/{movie['id']}/"
    deleted = ann.delete(url)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for response in (
        ann.get(url),
        ann.put(url, json=ALIEN),
        ann.patch(url, json={}),
        ann.delete(url),
    ):
        assert problem(response, 404, "not_found")["detail"] == "No Movie matches the given query."


@pytest.mark.parametrize("movie_id", ["nonsense", "1", "0" * 32, "{id}", "%00", "..%2f"])
def test_a_malformed_id_is_not_found(ann, movie_id):
    problem(ann.get(f"/movies/{movie_id}/"), 404, "not_found")
    problem(ann.get(f"/movies/{movie_id}/history/"), 404, "not_found")


def test_every_route_needs_credentials(service, movie):
    with service.client() as anyone:
        for method, path in (
            ("GET", "/movies/"), ("POST", "/movies/"), ("GET", f"/movies/{movie['id']}/"),
            ("PUT", f"/movies/{movie['id']}/"), ("DELETE", "/movies/nonsense/"),
            ("GET", f"/movies/{movie['id']}/history/"), ("POST", f"/movies/{movie['id']}/revert/"),
            ("GET", "/events/"), ("GET", "/events/stream"), ("GET", "/auth/me/"),
        ):  # fmt: skip
            response = anyone.request(method, path)
            body = problem(response, 401, "not_authenticated")
            assert body["detail"] == "Authentication credentials were not provided."
            assert response.headers["www-authenticate"] == 'Bearer realm="api"'
        response = anyone.get("/movies/", headers={"Authorization": "Bearer x.y.z"})
        body = problem(response, 401, "token_not_valid")
        assert body["detail"] == "Given token not valid for any token type"
        assert response.headers["www-authenticate"] == 'Bearer realm="api", error="invalid_token"'


def test_only_the_creator_may_change_a_movie(bob, movie):
    """Ownership is checked before the body."""
    url = f"/movies/{movie['id']}/"
    for response in (
        bob.put(url, json=ALIEN),
        bob.put(url, json={}),
        bob.patch(url, content=b"{broken", headers={"Content-Type": "application/json"}),
        bob.patch(url, content=b"x", headers={"Content-Type": "text/plain"}),
        bob.delete(url),
        bob.post(f"{url}revert/", json={"version": 1}),
    ):
        detail = "You do not have permission to perform this action."
        assert problem(response, 403, "permission_denied")["detail"] == detail
    assert bob.get(url).json() == movie


def test_existence_is_checked_before_the_body(ann):
    missing = f"/movies/{uuid.uuid4()}/"
    problem(ann.put(missing, json={}), 404, "not_found")
    problem(
        ann.patch(missing, content=b"{", headers={"Content-Type": "application/json"}),
        404,
        "not_found",
    )


def test_all_errors_of_a_body_are_reported_at_once(ann, movie):
    for send in (
        lambda body: ann.post("/movies/", json=body),
        lambda body: ann.put(f"/movies/{movie['id']}/", json=body),
    ):
        body = problem(send({"title": " ", "year": "soon"}), 400, "invalid")
        assert body["errors"] == {
            "title": ["This field may not be blank."],
            "genre": ["This field is required."],
            "year": ["A valid integer is required."],
        }


@pytest.mark.parametrize(
    ("content", "kind", "status", "detail"),
    [
        (b"{", "application/json", 400, None),
        (b'{"title": "\\ud800"}', "application/json", 400, None),
        (b"\xff", "application/json", 400, None),
        (b"[" * 100_000, "application/json", 400, None),
        (b"[]", "application/json", 400, "Invalid data. Expected a dictionary, but got list."),
        (b'"x"', "application/json", 400, "Invalid data. Expected a dictionary, but got str."),
        (b"title=x", "application/x-www-form-urlencoded", 415, None),
        (b"x", "text/plain", 415, None),
        (b"{}", "", 415, None),
        (b" " * (1024 * 1024 + 1), "application/json", 413, None),
    ],
)
def test_unreadable_bodies_are_refused(ann, content, kind, status, detail):
    headers = {"Content-Type": kind} if kind else {}
    response = ann.post("/movies/", content=content, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    if detail:
        assert response.json()["detail"] == detail


def test_errors_do_not_echo_input(ann):
    response = ann.post(
        "/movies/", json={"title": ["sesame"], "genre": "sesame" * 50, "year": "sesame"}
    )
    assert response.status_code == 400
    assert "sesame" not in response.text


def test_paths_work_with_and_without_trailing_slash(ann, movie):
    assert ann.get("/movies").json() == ann.get("/movies/").json()
    assert ann.get(f"/movies/{movie['id']}").json() == movie
    assert ann.post("/movies", json=ALIEN).status_code == 201


def test_a_wrong_method_is_405(ann, movie):
    response = ann.request("TRACE", "/movies/")
    problem(response, 405, "method_not_allowed")
    response = ann.delete("/movies/")
    assert problem(response, 405, "method_not_allowed")["detail"] == 'Method "DELETE" not allowed.'
    assert {"GET", "POST"} <= {name.strip() for name in response.headers["allow"].split(",")}
    problem(ann.get("/nowhere/"), 404, "not_found")


def test_request_ids(ann, movie):
    """A valid id of the client is kept, any other is replaced; events store it."""
    given = ann.get("/movies/", headers={"X-Request-ID": "trace-1.a_B"})
    assert given.headers["x-request-id"] == "trace-1.a_B"
    for bad in ("a b", "x" * 65, 'a"b', "ü"):
        made = ann.get("/movies/", headers={"X-Request-ID": bad.encode()})
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", made.headers["x-request-id"])
        assert made.headers["x-request-id"] != bad
    url = f"/movies/{movie['id']}/"
    ann.patch(url, json={"year": 1}, headers={"X-Request-ID": "trace-2"})
    assert ann.get(f"{url}history/").json()["results"][-1]["request_id"] == "trace-2"


def test_if_match(ann, movie):
    url = f"/movies/{movie['id']}/"
    ann.patch(url, json={"year": 1980})
    stale = ann.patch(url, json={"year": 1981}, headers={"If-Match": '"1"'})
    problem(stale, 412, "version_conflict")
    assert stale.headers["etag"] == '"2"'
    assert "1" in stale.json()["detail"]
    assert "2" in stale.json()["detail"]
    assert ann.put(url, json=ALIEN, headers={"If-Match": 'W/"2"'}).status_code == 412
    assert ann.patch(url, json={"year": 1981}, headers={"If-Match": '"1", "2"'}).status_code == 200
    assert ann.patch(url, json={"year": 1982}, headers={"If-Match": "*"}).status_code == 200
    assert ann.delete(url, headers={"If-Match": '"3"'}).status_code == 412
    assert ann.delete(url, headers={"If-Match": '"4"'}).status_code == 204


def test_two_writers_at_once_both_succeed(service, ann, movie):
    """Without If-Match, concurrent writes neither fail nor get lost."""
    token = ann.pair["access"]

    def write(number):
        with service.client(token) as client:
            answers = [
                client.patch(f"/movies/{movie['id']}/", json={"title": f"{number}-{n}"})
                for n in range(10)
            ]
        return [answer.status_code for answer in answers]

    with ThreadPoolExecutor(8) as pool:
        assert {code for codes in pool.map(write, range(8)) for code in codes} == {200}
    assert ann.get(f"/movies/{movie['id']}/").json()["version"] == 81


def test_min_event_position(ann, movie):
    position = int(ann.get("/movies/").headers["event-position"])
    for path in ("/movies/", f"/movies/{movie['id']}/"):
        shown = ann.get(path, headers={"Min-Event-Position": str(position)})
        assert (shown.status_code, int(shown.headers["event-position"]) >= position) == (200, True)
        less = ann.get(path, headers={"Min-Event-Position": str(position + 10_000)})
        problem(less, 409, "position_unknown")
        assert ann.get(path, headers={"Min-Event-Position": "soon"}).status_code == 400


def test_respond_async_skips_the_wait(ann):
    created = ann.post("/movies/", json=ALIEN, headers={"Prefer": "respond-async"})
    assert created.status_code == 201
    assert created.headers["preference-applied"] == "respond-async"


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("localhost:81", "http://localhost:81"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("evil.example", ""),
        ("evil.example:80", ""),
        ("localhost.evil.example", ""),
    ],
)
def test_links_use_only_a_host_of_the_service(ann, host, base):
    created = ann.post("/movies/", json=ALIEN, headers={"Host": host})
    path = f"/api/v1/movies/{created.json()['id']}/"
    assert created.headers["location"] == base + path
    page = ann.get("/movies/?page_size=1", headers={"Host": host}).json()
    assert page["next"] == f"{base}/api/v1/movies/?page_size=1&page=2"


@pytest.fixture(scope="module")
def eve(service):
    eve = service.account("eve")
    for number in range(25):
        body = {"title": f"Film {number % 5}", "genre": ("Drama", "Comedy")[number % 2]}
        assert eve.post("/movies/", json=body | {"year": 2000 + number % 7}).status_code == 201
    eve.post("/movies/", json={"title": "STRASSE Über", "genre": "Noir", "year": 1950})
    eve.params = {"creator__username": "EVE"}
    return eve


def test_a_malformed_host_is_refused(ann):
    response = ann.get("/movies/", headers={"Host": "localhost@evil.example"})
    assert "evil" not in problem(response, 400, "bad_request").get("detail", "")


class TestLists:
    """Filters, orderings and pages of the movies of one account."""

    def ids(self, eve, **params):
        return [row["id"] for row in self.page(eve, **params)["results"]]

    def page(self, eve, **params):
        response = eve.get("/movies/", params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def test_pages(self, eve):
        def eve_alone(url):
            return httpx.get(url, headers=eve.headers)

        first, second, last = (self.page(eve, page=page) for page in ("1", "2", "last"))
        assert first["count"] == second["count"] == 26
        assert [len(page["results"]) for page in (first, second, last)] == [10, 10, 6]
        assert first["previous"] is None
        assert last["next"] is None
        assert httpx.URL(first["next"]).params["page"] == "2"
        assert httpx.URL(first["next"]).params["creator__username"] == "EVE"
        assert eve_alone(first["next"]).json() == second
        assert eve_alone(second["previous"]).json() == first
        created = [row["created_at"] for page in (first, second, last) for row in page["results"]]
        assert created == sorted(created, reverse=True)

    @pytest.mark.parametrize("page", ["0", "-1", "x", "4", "1.5", "9" * 30])
    def test_an_invalid_page_is_not_found(self, eve, page):
        body = problem(eve.get("/movies/", params={"page": page}), 404, "not_found")
        assert body["detail"] == "Invalid page."

    @pytest.mark.parametrize(
        ("size", "length"), [("5", 5), ("500", 26), ("x", 10), ("0", 10), ("-3", 10)]
    )
    def test_page_sizes(self, eve, size, length):
        assert len(self.ids(eve, page_size=size)) == length

    def test_an_empty_list_has_page_one(self, eve):
        empty = self.page(eve, title="no such film")
        assert empty == {"count": 0, "next": None, "previous": None, "results": []}

    @pytest.mark.parametrize(
        ("params", "count"),
        [
            ({"title": "film 3"}, 5),
            ({"genre": "DRAM"}, 13),
            ({"search": "noir"}, 1),
            ({"title": "straße"}, 1),
            ({"title": "über"}, 1),
            ({"year": "2003"}, 4),
            ({"year__gt": "2004"}, 6),
            ({"year__gte": "2004", "year__lte": "2005"}, 6),
            ({"year__gt": "2003", "year__lt": "2005", "genre": "drama"}, 2),
            ({"title": "  ", "nonsense": "1"}, 26),
        ],
    )
    def test_filters(self, eve, params, count):
        assert self.page(eve, **params)["count"] == count

    @pytest.mark.parametrize("field", ["year", "year__gt", "year__lte"])
    def test_a_number_filter_needs_a_number(self, eve, field):
        body = problem(eve.get("/movies/", params={field: "soon"}), 400, "invalid")
        assert body["errors"] == {field: ["Enter a number."]}

    def test_a_filter_must_not_contain_nul(self, eve):
        body = problem(eve.get("/movies/", params={"title": "a\0"}), 400, "invalid")
        assert body["errors"] == {"title": ["Null characters are not allowed."]}

    @pytest.mark.parametrize(
        "ordering",
        [sign + name for sign in ("", "-") for name in FIELDS],
    )
    def test_orderings_with_ties_newest_first(self, eve, ordering):
        rows = self.page(eve, ordering=ordering, page_size=100)["results"]
        name = ordering.removeprefix("-")
        expected = sorted(rows, key=lambda row: row["id"], reverse=True)
        expected.sort(key=lambda row: str(row[name]).casefold(), reverse=ordering[0] == "-")
        assert rows == expected

    def test_several_orderings(self, eve):
        rows = self.page(eve, ordering="genre,colour,-year", page_size=100)["results"]
        assert rows == sorted(rows, key=lambda row: (row["genre"].casefold(), -row["year"]))
        assert len({row["genre"] for row in rows}) > 1

    @pytest.mark.parametrize("ordering", ["colour", "--year", "Year", "-", "a,b"])
    def test_an_unknown_ordering_is_refused(self, eve, ordering):
        answer = eve.get("/movies/", params={"ordering": ordering})
        (message,) = problem(answer, 400, "invalid")["errors"]["ordering"]
        assert ordering not in message.split(": ")[0]
