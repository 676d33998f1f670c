"""Attacks on a running service are refused. test_tokens.py has further attacks on tokens."""

import gzip
import hmac
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode

from service.auth.key_file import read_keys
from service.auth.signing_keys import SigningKeys
from tests.running import PASSWORD, Cinelog, problem
from tests.service.auth.auth_controls import claims_of, header_of, signed

MIB = 1024 * 1024
NOW = int(time.time())


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A service of two workers with accessible keys: the worst case of a forgery."""
    with Cinelog(
        tmp_path_factory.mktemp("attacks") / "var", workers=2, write_wait_ms=5000
    ) as service:
        service.keys = SigningKeys(read_keys(service.data_dir / "signing-keys.json"))
        yield service
    output = service.output()
    assert "Traceback" not in output
    assert "unexpected error" not in output


@pytest.fixture(scope="module")
def victim(target):
    return target.account("victim")


@pytest.fixture(scope="module")
def thief(target):
    return target.account("thief")


@pytest.fixture
def movie(victim):
    created = victim.post("/movies/", json={"title": "Heat", "genre": "Crime", "year": 1995})
    assert created.status_code == 201, created.text
    return created.json()


# Tokens


def unsigned(target, access):
    header = json.dumps(header_of(access) | {"alg": "none"}).encode()
    return f"{urlsafe_b64encode(header).decode()}.{access.split('.')[1]}."


def signed_with_the_public_key(target, access):
    public = target.keys.signing_key().keys[0]
    header = json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": public.kid}).encode()
    signed_part = urlsafe_b64encode(header) + b"." + access.split(".")[1].encode()
    digest = hmac.digest(public.as_pem(private=False), signed_part, "sha256")
    return (signed_part + b"." + urlsafe_b64encode(digest)).decode()


def signed_with_a_foreign_key(target, access):
    stranger = SigningKeys([ECKey.generate_key("P-256", {"kid": header_of(access)["kid"]})])
    return signed(stranger, {"typ": "at+jwt"}, claims_of(access))


def forged(header=None, **claims):
    def forge(target, access):
        return signed(target.keys, {"typ": "at+jwt"} | (header or {}), claims_of(access) | claims)

    return forge


FORGERIES = {
    "alg none": unsigned,
    "HS256 with the public key": signed_with_the_public_key,
    "a foreign key": signed_with_a_foreign_key,
    "unknown kid": forged({"kid": "unknown"}),
    "crit": forged({"crit": ["exp"]}),
    "jku": forged({"jku": "https://evil.example/jwks.json"}),
    "wrong typ": forged({"typ": "JWT"}),
    "wrong aud": forged(aud="elsewhere"),
    "wrong iss": forged(iss="https://evil.example"),
    "expired": forged(exp=NOW - 1),
    "from the future": forged(iat=NOW + 3600),
    "over 8 KiB": forged(x="x" * 8192),
    "another account": forged(sub="01890000-0000-7000-8000-00000000ffff"),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_forged_tokens_are_refused(target, victim, forge):
    """All but the first three are signed by the service's own key."""
    token = forge(target, victim.pair["access"])
    with target.client(token) as anyone:
        me = anyone.get("/auth/me/")
        assert me.status_code in ({431} if len(token) > 8192 else {401}), me.text
        for answer in (
            anyone.post(
                "/auth/token/refresh/", json={"refresh": token}, headers={"authorization": ""}
            ),
            anyone.post(
                "/auth/token/refresh/", data={"refresh": token}, headers={"authorization": ""}
            ),
        ):
            problem(answer, 401, "token_not_valid")


def test_an_unchanged_forgery_is_accepted(target, victim):
    """An unchanged forgery is accepted, so each refusal above is due to its one change."""
    with target.client(forged()(target, victim.pair["access"])) as anyone:
        assert anyone.get("/auth/me/").status_code == 200


def test_access_and_refresh_tokens_are_not_interchangeable(target, victim):
    with target.client(victim.pair["refresh"]) as anyone:
        problem(anyone.get("/auth/me/"), 401, "token_not_valid")
        problem(anyone.get("/movies/"), 401, "token_not_valid")
    answer = victim.post("/auth/token/refresh/", json={"refresh": victim.pair["access"]})
    problem(answer, 401, "token_not_valid")


def test_concurrent_refreshes_get_one_successor(target):
    """On two workers, all concurrent refreshes get the same successor."""
    pair = target.account("hasty").pair

    def refresh(_):
        with target.client() as anyone:
            return anyone.post("/auth/token/refresh/", json={"refresh": pair["refresh"]})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(refresh, range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh"] for answer in answers}) == 1


def test_reuse_of_a_refresh_token_ends_the_session(target):
    """Reuse after two refreshes ends the session and is recorded in the account's history."""
    account = target.account("robbed")
    stolen = account.pair["refresh"]
    newest = stolen
    for _ in range(2):
        newest = account.post("/auth/token/refresh/", json={"refresh": newest}).json()["refresh"]
    for token in (stolen, newest):
        answer = account.post("/auth/token/refresh/", json={"refresh": token})
        problem(answer, 401, "token_not_valid")
    again = target.client()
    body = {"username": "robbed", "password": PASSWORD}
    access = again.post("/auth/token/", json=body).json()["access"]
    again.headers["Authorization"] = f"Bearer {access}"
    trail = [entry["type"] for entry in again.get("/auth/me/history/").json()["results"]]
    assert trail == ["UserRegistered", "SessionOpened", "RefreshTokenReused", "SessionOpened"]


# Guessing


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A service with a log-in limit."""
    data_dir = tmp_path_factory.mktemp("limited") / "var"
    with Cinelog(data_dir, workers=2, login_rate="4/minute;1000/minute") as service:
        yield service


def guess(client, username, password="wrong-horse-7"):
    body = {"username": username, "password": password}
    return client.post("/auth/token/", json=body)


@pytest.mark.parametrize("username", ["ann", "nobody"])
def test_password_guessing_is_throttled(limited, username):
    """The limit covers all workers and spellings and does not reveal accounts."""
    spellings = [username, username.upper(), username.title(), f" {username}"[1:]] * 4
    with limited.client() as anyone:
        if username == "ann":
            limited.account("ann")  # signs in once
        answers = [guess(anyone, name) for name in spellings]
        statuses = [answer.status_code for answer in answers]
        tries = statuses.count(401)
        assert tries in (3, 4)
        assert statuses == [401] * tries + [429] * (len(statuses) - tries)
        problem(guess(anyone, username, PASSWORD), 429, "throttled")
        assert int(answers[-1].headers["retry-after"]) <= 60
        assert guess(anyone, f"{username}-else").status_code == 401


def test_guessing_with_a_stolen_access_token_is_throttled(limited):
    """Wrong old passwords count like failed log-ins."""
    bob = limited.account("bob")
    body = {
        "old_password": "wrong-horse-7",
        "new_password": "horse-staple-9",
        "new_password2": "horse-staple-9",
    }
    statuses = [bob.post("/auth/password/", json=body).status_code for _ in range(8)]
    assert statuses == [400] * 3 + [429] * 5


# Another account's movie


def attempts(movie):
    path, body = f"/movies/{movie['id']}/", {"title": "Mine", "genre": "Mine", "year": 2000}
    tag = {"If-Match": f'"{movie["version"]}"'}
    return {
        "PUT": lambda client: client.put(path, json=body),
        "PUT with its ETag": lambda client: client.put(path, json=body, headers=tag),
        "PATCH": lambda client: client.patch(path, json={"title": "Mine"}),
        "empty PATCH": lambda client: client.patch(path, json={}),
        "invalid PATCH": lambda client: client.patch(path, json={"year": "x"}),
        "DELETE": lambda client: client.delete(path),
        "DELETE with its ETag": lambda client: client.delete(path, headers=tag),
        "revert": lambda client: client.post(f"{path}revert/", json={"version": 1}),
        "revert to an unknown version": lambda client: client.post(
            f"{path}revert/", json={"version": 99}
        ),
        "dry-run revert": lambda client: client.post(
            f"{path}revert/?dry_run=true", json={"version": 1}
        ),
        "upper case id": lambda client: client.delete(f"/movies/{movie['id'].upper()}/"),
        "no slash": lambda client: client.delete(path.rstrip("/")),
    }


def test_another_accounts_movie_cannot_be_changed(victim, thief, movie):
    """403 for every method and revert, whatever else is wrong with the request."""
    for how, attempt in attempts(movie).items():
        answer = attempt(thief)
        assert answer.status_code == 403, (how, answer.text)
        assert answer.json()["detail"] == "You do not have permission to perform this action."
    assert victim.get(f"/movies/{movie['id']}/").json() == movie
    assert len(victim.get(f"/movies/{movie['id']}/history/").json()["results"]) == 1


def test_only_the_creator_can_restore_a_deleted_movie(victim, thief, movie):
    assert victim.delete(f"/movies/{movie['id']}/").status_code == 204
    answer = thief.post(f"/movies/{movie['id']}/revert/", json={"version": 1})
    problem(answer, 403, "permission_denied")
    problem(victim.get(f"/movies/{movie['id']}/"), 404, "not_found")


def test_method_override_headers_are_ignored(thief, victim, movie):
    headers = {"X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}
    thief.get(f"/movies/{movie['id']}/", headers=headers)
    thief.post(f"/movies/{movie['id']}/?_method=DELETE", headers=headers)
    assert victim.get(f"/movies/{movie['id']}/").status_code == 200


# Read-only fields


READ_ONLY = {
    "id": "01890000-0000-7000-8000-00000000000a",
    "creator": "victim",
    "creator_id": "01890000-0000-7000-8000-00000000000b",
    "by": "01890000-0000-7000-8000-00000000000b",
    "version": 99,
    "created_at": "2000-01-01T00:00:00.000000Z",
    "updated_at": "2000-01-01T00:00:00.000000Z",
    "deleted": True,
    "movie_id": "01890000-0000-7000-8000-00000000000a",
    "__class__": "x",
}


def test_mass_assignment_is_ignored(thief):
    """Read-only fields are ignored on create, replace and update."""
    fields = {"title": "Thief", "genre": "Crime", "year": 1981}
    created = thief.post("/movies/", json=fields | READ_ONLY).json()
    for version, change in ((2, thief.put), (3, thief.patch)):
        title = {"title": f"Thief {version}"}
        changed = change(f"/movies/{created['id']}/", json=fields | READ_ONLY | title).json()
        kept = {"id": created["id"], "creator": "thief", "created_at": created["created_at"]}
        assert changed | kept | title | {"version": version} == changed
    assert (created["creator"], created["version"]) == ("thief", 1)
    for name in ("id", "created_at", "updated_at"):
        assert created[name] != READ_ONLY[name]


def test_registration_ignores_other_fields(target):
    given = {"username": "climber", "email": "climber@example.org"}
    given |= {"password": PASSWORD, "password2": PASSWORD}
    more = {"id": READ_ONLY["id"], "by": READ_ONLY["id"], "is_staff": True, "is_superuser": True}
    more |= {"active": False, "password_hash": "$argon2id$x", "scope": "admin"}
    with target.client() as anyone:
        created = anyone.post("/auth/register/", json=given | more).json()
        credentials = {"username": "climber", "password": PASSWORD, "scope": "admin"}
        pair = anyone.post("/auth/token/", json=credentials).json()
    assert created["id"] != more["id"]
    assert created.keys() == {"id", "username", "email", "first_name", "last_name"}
    assert claims_of(pair["access"])["scope"] == "movies"


# Expensive bodies


def timed(send, *, at_most_s):
    began = time.monotonic()
    answer = send()
    assert time.monotonic() - began < at_most_s
    return answer


AS_JSON = {"Content-Type": "application/json"}
HEAVY = {
    "deep lists": b"[" * (MIB - 2),
    "deep objects": b'{"a":' * (MIB // 6),
    "deep and closed": b'{"title":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep within bounds": b'{"title":' + b"[" * 900 + b"]" * 900 + b',"genre":"a","year":1}',
    "1 MiB of digits": b'{"title":"a","genre":"a","year":' + b"9" * (MIB - 40) + b"}",
    "1 MiB of digits in a text": b'{"title":"a","genre":"a","year":"' + b"9" * (MIB - 50) + b'"}',
    "1 MiB of a fraction": b'{"title":"a","genre":"a","year":0.' + b"1" * (MIB - 50) + b"}",
    "a huge exponent": b'{"title":"a","genre":"a","year":1e999999999}',
    "a huge exponent in a text": b'{"title":"a","genre":"a","year":"1e999999999"}',
    "1 MiB of white space": b'{"title":"' + b" " * (MIB - 60) + b'","genre":"a","year":1}',
    "1 MiB of combining marks": b'{"title":"a' + "\u0301".encode() * 500_000 + b'","genre":"a","year":1}',
    "100,000 fields": json.dumps(dict.fromkeys(map(str, range(70_000)), 1)).encode(),
    "not a number": b'{"title":"a","genre":"a","year":NaN}',
    "a lone surrogate": b'{"title":"\\ud800","genre":"a","year":1}',
    "not UTF-8": b'{"title":"\xff","genre":"a","year":1}',
    "a compressed body": gzip.compress(b'{"title":"a","genre":"a","year":1}'),
}  # fmt: skip


@pytest.mark.parametrize("body", HEAVY.values(), ids=HEAVY.keys())
def test_a_heavy_body_is_refused_fast(thief, body):
    coded = {"Content-Encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {}
    headers = AS_JSON | coded
    answer = timed(lambda: thief.post("/movies/", content=body, headers=headers), at_most_s=2)
    assert answer.status_code == (415 if coded else 400), answer.text[:200]
    assert len(answer.content) < 2000


def test_a_body_over_1_mib_is_refused(thief):
    for send in (b"x" * (MIB + 1), (b"x" * 65536 for _ in range(17))):
        answer = thief.post("/movies/", content=send, headers=AS_JSON)
        problem(answer, 413, "payload_too_large")


def test_a_long_password_costs_no_more_than_a_short_one(target):
    with target.client() as anyone:
        body = {"username": "victim", "password": "x" * (MIB - 100)}
        answer = timed(lambda: anyone.post("/auth/token/", json=body), at_most_s=2)
        problem(answer, 400, "invalid")


DIGITS = "9" * 5000  # more than Python's int() accepts


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/movies/?year={DIGITS}", {}),
        (f"/movies/?year__gt={DIGITS}&ordering=-year", {}),
        (f"/movies/?page={DIGITS}", {}),
        (f"/movies/?page_size={DIGITS}", {}),
        (f"/movies/?cursor={DIGITS}", {}),
        (f"/movies/{{id}}/?version={DIGITS}", {}),
        (f"/movies/{{id}}/?at={DIGITS}", {}),
        (f"/movies/{{id}}/history/?page={DIGITS}", {}),
        (f"/events/?after={DIGITS}&limit={DIGITS}", {}),
        (f"/auth/sessions/?page={DIGITS}", {}),
        ("/movies/", {"Min-Event-Position": DIGITS}),
        ("/movies/{id}/", {"If-None-Match": f'"{DIGITS}"'}),
        ("/movies/{id}/", {"If-Match": f'"{DIGITS}"'}),
    ],
)
def test_long_numbers_cause_no_server_error(thief, movie, path, headers):
    answer = thief.get(path.format(id=movie["id"]), headers=headers)
    assert answer.status_code < 500, answer.text


def test_long_versions_are_refused(victim, movie):
    path = f"/movies/{movie['id']}/"
    for headers in ({"If-Match": f'"{DIGITS}"'}, {"If-Match": '"' + "9" * 4000 + '"'}):
        for answer in (
            victim.patch(path, json={"title": "Heat 2"}, headers=headers),
            victim.delete(path, headers=headers),
        ):
            problem(answer, 412, "version_conflict")
    for version in (DIGITS, int("9" * 4000)):
        answer = victim.post(f"{path}revert/", json={"version": version})
        assert answer.status_code == 400, answer.text


# Similar usernames


def register(target, username, email=None):
    body = {"username": username, "email": email or f"{time.monotonic_ns()}@example.org"}
    with target.client() as anyone:
        return anyone.post(
            "/auth/register/", json=body | {"password": PASSWORD, "password2": PASSWORD}
        )


SAME_NAMES = {
    "upper case": "VICTIM",
    "full width": "ｖｉｃｔｉｍ",
    "mathematical bold": "𝐯𝐢𝐜𝐭𝐢𝐦",
    "circled": "ⓥⓘⓒⓣⓘⓜ",
    "roman numeral": "ⅴictim",
    "white space around": "\u3000victim\u00a0",
}


@pytest.mark.parametrize("name", SAME_NAMES.values(), ids=SAME_NAMES.keys())
def test_other_spellings_of_a_username_are_taken(target, victim, name):
    refusal = problem(register(target, name), 400, "invalid")
    assert refusal["errors"] == {"username": ["A user with that username already exists."]}


def test_composed_and_decomposed_usernames_are_equal(target):
    assert register(target, "Amélie").status_code == 201
    for name in ("Ame\u0301lie", "AMÉLIE", "ame\u0301lie"):
        refusal = problem(register(target, name), 400, "invalid")
        assert refusal["errors"] == {"username": ["A user with that username already exists."]}


INVALID_NAMES = {
    "zero width space": "vic\u200btim",
    "zero width joiner": "vic\u200dtim",
    "byte order mark": "\ufeffvictim",
    "right to left override": "\u202emitciv",
    "right to left mark": "victim\u200f",
    "soft hyphen": "vic\u00adtim",
    "combining mark": "victi\u0332m",
    "tag character": "victim\U000e0041",
    "variation selector": "victim\ufe0f",
    "invisible operator": "victim\u2063",
    "line feed": "vic\ntim",
    "carriage return and line feed": "vic\r\nX-Injected: y",
    "NUL": "victim\0",
    "escape": "victim\x1b[31m",
    "C1 control": "vic\u0085tim",
    "space": "vic tim",
    "slash": "../victim",
    "markup": "<b>victim</b>",
}


@pytest.mark.parametrize("name", INVALID_NAMES.values(), ids=INVALID_NAMES.keys())
def test_usernames_with_invisible_characters_are_refused(target, name):
    assert "username" in problem(register(target, name), 400, "invalid")["errors"]


def test_a_lookalike_username_has_no_rights_of_the_other(target, victim, movie):
    """Ownership depends on the account's id; a Cyrillic letter makes another username."""
    lookalike = "vi\u0441tim"  # a Cyrillic letter
    assert register(target, lookalike).status_code == 201
    with target.client() as other:
        pair = other.post("/auth/token/", json={"username": lookalike, "password": PASSWORD})
        assert claims_of(pair.json()["access"])["sub"] != victim.account["id"]
        other.headers["Authorization"] = f"Bearer {pair.json()['access']}"
        problem(other.delete(f"/movies/{movie['id']}/"), 403, "permission_denied")
        mine = other.get("/movies/", params={"creator__username": lookalike}).json()
        assert mine["count"] == 0


# Headers


def exchange(target, request, *, wait_s=1.0):
    """Send bytes; return the statuses, all received bytes and whether the server closed."""
    received, closed = b"", False
    with socket.create_connection(("127.0.0.1", target.port), timeout=wait_s) as line:
        line.sendall(request)
        try:
            while part := line.recv(65536):
                received += part
            closed = True
        except TimeoutError:
            pass
        except ConnectionError:
            closed = True
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)], received, closed


def headers_of(response):
    return response.partition(b"\r\n\r\n")[0].lower()


@pytest.mark.parametrize(
    "name", ["X-Request-ID", "Idempotency-Key", "Origin", "Host", "traceparent", "X-Forwarded-For"]
)
@pytest.mark.parametrize("value", [b"a\rX-Injected: y", b"a\nX-Injected: y", b"a\0b", b"a\x0bb"])
def test_no_header_is_injected(target, name, value):
    """This covers headers that are echoed, logged or stored."""
    host = b"" if name == "Host" else b"Host: h\r\n"
    head = b"GET /api/v1/movies/ HTTP/1.1\r\n" + host + name.encode() + b": " + value + b"\r\n\r\n"
    statuses, received, closed = exchange(target, head)
    assert (statuses, closed) == ([400], True)
    assert b"x-injected" not in received.lower()


@pytest.mark.parametrize(
    "injection",
    ["%0d%0aX-Injected:%20y", "%0aX-Injected:%20y", "%E5%98%8A%E5%98%8DX-Injected:%20y"],
)
def test_paths_and_queries_do_not_inject_headers(target, victim, injection):
    token = victim.pair["access"]
    for path in (
        f"/movies/{injection}/",
        f"/{injection}",
        f"/movies/?title={injection}&page=1",
        f"/auth/sessions/{injection}/",
    ):
        head = f"GET /api/v1{path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n"
        statuses, received, _ = exchange(target, f"{head}Connection: close\r\n\r\n".encode())
        assert len(statuses) == 1
        assert statuses[0] < 500
        assert b"\nx-injected" not in received.lower()
        assert b"x-injected" not in headers_of(received)


def test_invalid_request_ids_are_replaced(target):
    for given in ("a b", "<script>", "a" * 65, "é", "", "a;b"):
        head = f"GET /api/v1/movies/ HTTP/1.1\r\nHost: h\r\nX-Request-ID: {given}\r\n"
        _, received, _ = exchange(target, f"{head}Connection: close\r\n\r\n".encode())
        (echoed,) = re.findall(rb"x-request-id: (.*)\r\n", headers_of(received))
        assert re.fullmatch(rb"[0-9a-f-]{36}", echoed)


def test_links_are_not_built_from_a_foreign_host(victim, movie):
    """A poisoned link would send the next request with its token to another host."""
    headers = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "Forwarded": "host=evil.example",
    }
    for answer in (
        victim.get("/movies/?page_size=1", headers=headers),
        victim.get("/auth/me/history/?page_size=1", headers=headers),
        victim.post("/movies/", json={"title": "a", "genre": "b", "year": 1}, headers=headers),
        victim.get("/nowhere/", headers=headers),
    ):
        assert "evil.example" not in answer.text
        assert "evil.example" not in str(answer.headers)


# Ambiguous requests

BODY = b'{"token":"x"}'
CHUNKED = b"d\r\n" + BODY + b"\r\n0\r\n\r\n"
HIDDEN_REQUEST = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /api/v1/auth/token/verify/ HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
OLD_POST = POST.replace(b"HTTP/1.1", b"HTTP/1.0").replace(
    b"Host", b"Connection: keep-alive\r\nHost"
)
TE = b"Transfer-Encoding: chunked\r\n"


def with_length(value):
    return POST + b"Content-Length: " + value + b"\r\n\r\n" + BODY


def with_coding(line):
    return POST + line + b"\r\n\r\n" + CHUNKED


def in_chunks(body):
    return POST + TE + b"\r\n" + body


AMBIGUOUS = {
    "length and coding": POST + b"Content-Length: 6\r\n" + TE + b"\r\n0\r\n\r\n",
    "coding and length": POST + TE + b"Content-Length: 4\r\n\r\n" + CHUNKED,
    "two lengths": POST + b"Content-Length: 13\r\nContent-Length: 0\r\n\r\n" + BODY,
    "the same length twice": POST + b"Content-Length: 13\r\nContent-Length: 13\r\n\r\n" + BODY,
    "a list of lengths": with_length(b"13, 13"),
    "a length with a sign": with_length(b"+13"),
    "a negative length": with_length(b"-1"),
    "a hexadecimal length": with_length(b"0xd"),
    "a length with an underscore": with_length(b"1_3"),
    "a length in other digits": with_length("١٣".encode()),
    "a length and a vertical tab": with_length(b"13\x0b"),
    "a length of 5,000 digits": with_length(b"9" * 5000),
    "an empty length": with_length(b""),
    "white space before the length's colon": POST + b"Content-Length : 13\r\n\r\n" + BODY,
    "white space before the coding's colon": with_coding(b"Transfer-Encoding : chunked"),
    "a length and a hidden coding": POST + b"Content-Length: 13\r\nTransfer-Encoding : chunked\r\n\r\n" + BODY,
    "two codings": with_coding(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    "a list of codings": with_coding(b"Transfer-Encoding: identity, chunked"),
    "an unknown coding": with_coding(b"Transfer-Encoding: xchunked"),
    "a coding in quotes": with_coding(b'Transfer-Encoding: "chunked"'),
    "a coding after a vertical tab": with_coding(b"Transfer-Encoding:\x0bchunked"),
    "a coding on a folded line": with_coding(b"Transfer-Encoding:\r\n chunked"),
    "a length on a folded line": POST + b"X: a\r\n Content-Length: 13\r\n\r\n" + BODY,
    "a coding after a bare line feed": with_coding(b"X: a\nTransfer-Encoding: chunked"),
    "a coding after a bare carriage return": with_coding(b"X: a\rTransfer-Encoding: chunked"),
    "a coding after NUL": with_coding(b"X: a\0Transfer-Encoding: chunked"),
    "a coding of HTTP/1.0": OLD_POST + TE + b"\r\n" + CHUNKED,
    "a name with a space": with_coding(b"X Transfer-Encoding: chunked"),
    "an empty name": POST + b": x\r\nContent-Length: 13\r\n\r\n" + BODY,
    "a line without a colon": POST + b"x\r\nContent-Length: 13\r\n\r\n" + BODY,
    "lines that end in line feeds": with_length(b"13").replace(b"\r\n", b"\n"),
    "no host": with_length(b"13").replace(b"Host: h\r\n", b""),
    "two hosts": with_length(b"13").replace(b"Host: h\r\n", b"Host: a\r\nHost: b\r\n"),
    "a host with a space": with_length(b"13").replace(b"Host: h", b"Host: a b"),
    "a host with a path": with_length(b"13").replace(b"Host: h", b"Host: a/b"),
    "a line before the first": b"\r\n" + with_length(b"13"),
    "two spaces in the first line": with_length(b"13").replace(b" /api", b"  /api"),
    "a tab in the first line": with_length(b"13").replace(b" /api", b"\t/api"),
    "a quote in the method": with_length(b"13").replace(b"POST", b'PO"ST'),
    "no version": with_length(b"13").replace(b" HTTP/1.1", b""),
    "another version": with_length(b"13").replace(b"HTTP/1.1", b"HTTP/1.2"),
    "HTTP/2.0": with_length(b"13").replace(b"HTTP/1.1", b"HTTP/2.0"),
    "HTTP/2.0 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:80 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a size with 0x": in_chunks(b"0xd\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a size with a sign": in_chunks(b"+d\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a size after a space": in_chunks(b" d\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "an empty size": in_chunks(b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a huge size": in_chunks(b"f" * 40 + b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "an unterminated chunk": in_chunks(b"d\r\n" + BODY + b"XX0\r\n\r\n"),
    "a chunk that ends in a line feed": in_chunks(b"d\n" + BODY + b"\n0\n\n"),
    "a line feed in an extension": in_chunks(b"d;a\n\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "an endless extension": in_chunks(b"d;" + b"a" * 8000),
    "a trailer": in_chunks(b"d\r\n" + BODY + b"\r\n0\r\nContent-Length: 9\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_ambiguous_requests_are_refused(target, request_bytes):
    """The only answer is a 400, and the connection closes: following bytes are no request."""
    statuses, received, closed = exchange(target, request_bytes + HIDDEN_REQUEST)
    assert (statuses, closed) == ([400], True), received
    assert b"smuggled" not in received


UNAMBIGUOUS = {
    "a length": with_length(b"13"),
    "a length and white space": with_length(b" 13 "),
    "chunks": in_chunks(CHUNKED),
    "small chunks": in_chunks(b"1\r\n{\r\n0C\r\n" + BODY[1:] + b"\r\n00\r\n\r\n"),
    "an extension": in_chunks(b"d;a=b\r\n" + BODY + b"\r\n0;c\r\n\r\n"),
    "a body on GET": b"GET /api/v1/movies/ HTTP/1.1\r\nHost: h\r\nContent-Length: 13\r\n\r\n" + BODY,
    "an unread body": b"POST /nowhere HTTP/1.1\r\nHost: h\r\n" + TE + b"\r\n" + CHUNKED,
    "letters beyond ASCII": with_length(b"13\r\nX: \xe9"),
}  # fmt: skip


@pytest.mark.parametrize("request_bytes", UNAMBIGUOUS.values(), ids=UNAMBIGUOUS.keys())
def test_unambiguous_requests_end_at_their_stated_length(target, request_bytes):
    """The next request begins right after its body."""
    nothing = b"GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    statuses, received, closed = exchange(target, request_bytes + nothing)
    assert (statuses[0] in (401, 404), statuses[1:], closed) == (True, [404], True), received
    assert b'"instance":"/next"' in received


def test_a_chunked_body_after_100_continue(target):
    """With ``Expect: 100-continue`` the client sends the body after the interim answer."""
    with socket.create_connection(("127.0.0.1", target.port), timeout=5) as line:
        line.sendall(POST + TE + b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 100 Continue\r\n")
        line.sendall(CHUNKED)
        assert line.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_protocol_upgrades_are_ignored(target):
    """Following bytes are not read as a request."""
    for protocol in ("websocket", "h2c"):
        head = f"GET /api/v1/movies/ HTTP/1.1\r\nHost: h\r\nUpgrade: {protocol}\r\nConnection: Upgrade\r\n\r\n"
        statuses, received, closed = exchange(target, head.encode() + HIDDEN_REQUEST)
        assert (statuses, closed) == ([401], True)
        assert b"smuggled" not in received


def test_request_heads_are_bounded(target):
    for head in (
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n"
        + b"".join(b"a%d: b\r\n" % n for n in range(2000))
        + b"\r\n",
    ):
        statuses, _, closed = exchange(target, head)
        assert (statuses, closed) in (([431], True), ([413], True))


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/docs/../../service/auth/signing_keys.py", "/docs/%2e%2e/%2e%2e/pyproject.toml",
     "/docs/..%2f..%2fpyproject.toml", "//etc/passwd", "/docs//etc/passwd", "/docs/%00", "/.git/config"],
)  # fmt: skip
def test_path_traversal_is_refused(target, path):
    head = f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    statuses, received, _ = exchange(target, head)
    assert statuses[0] in (301, 308, 400, 404), received
    for secret in (b"root:", b"SigningKeys", b"[project]", b"[core]"):
        assert secret not in received


# Browsers


def test_answers_have_headers_against_browser_attacks(victim, movie):
    """No browser executes, frames or sniffs an answer; answers with tokens are not stored."""
    for path in (
        "/movies/",
        f"/movies/{movie['id']}/",
        "/nowhere/",
        "/auth/me/",
        "/auth/sessions/",
    ):
        headers = victim.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-type"] in ("application/json", "application/problem+json")
        assert "set-cookie" not in headers
        assert "server" not in headers
        if headers["content-type"] == "application/json":
            assert headers["cache-control"] == "private, no-cache"


def test_other_origins_cannot_read_answers(victim):
    """No origin is allowed unless configured."""
    for origin in ("https://evil.example", "null", "http://127.0.0.1:8000"):
        asks = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
        for answer in (
            victim.get("/movies/", headers=asks),
            victim.options(
                "/movies/", headers=asks | {"Access-Control-Request-Headers": "authorization"}
            ),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
