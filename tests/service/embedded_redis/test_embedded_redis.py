"""The embedded Redis: one server for each data directory, which ends with its last user."""

import fcntl
import os
import signal
import subprocess
import time
from threading import Event

import pytest
import redis

from commands.errors import ConfigurationError
from projections.redis_client import open_redis
from service.cli.context import HANDOVER_RETRIES
from service.data_dir import prepare_data_dir
from service.embedded_redis import owner
from service.embedded_redis.client import PATH_BYTES, EmbeddedRedis
from service.settings import Settings
from tests.running import eventually
from tests.service.processes.process_tree import children, descendants, gone, script

USE = """
import sys
from pathlib import Path
from service.embedded_redis.client import EmbeddedRedis
with EmbeddedRedis.join(Path(sys.argv[1])):
    print("joined", flush=True)
    sys.stdin.read()
"""
USE_WITHOUT_THE_KERNELS_HELP = f"""
import sys
from service.embedded_redis import valkey_process
MAIN = "import sys; sys.platform = 'other'; from projections.subprocesses import main; main(*sys.argv[1:])"
valkey_process.command = lambda module, *words: [sys.executable, "-c", MAIN, *words]
{USE}
"""


@pytest.fixture
def var(tmp_path):
    prepare_data_dir(tmp_path / "var")
    return tmp_path / "var"


@pytest.fixture
def start_user(var):
    """Start processes that use the embedded Redis until they are killed or ``leave`` is called."""
    users = []

    def start(*, joined=True, code=USE):
        users.append(script(code, var, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        if joined:
            assert users[-1].stdout.readline() == "joined\n"
        return users[-1]

    yield start
    for one in users:
        ended(one)


def leave(process):
    assert ended(process) == 0


def ended(process):
    process.stdin.close()
    code = process.wait(10)
    process.stdout.close()
    return code


def client(var):
    return redis.Redis(unix_socket_path=str(var / "redis.sock"))


def server(var):
    """Return the pid of the server."""
    with client(var) as connection:
        return connection.info("server")["process_id"]


def answers(var):
    try:
        return client(var).ping()
    except redis.ConnectionError:
        return False


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    assert gone([pid]) == []


def test_concurrent_users_share_one_server(var, start_user):
    users = [start_user(joined=False) for _ in range(5)]

    assert [one.stdout.readline() for one in users] == ["joined\n"] * 5
    servers = [command for one in users for command in children(one.pid).values()]
    assert len(servers) == 1


def test_another_user_takes_over_when_the_owner_ends(var, start_user):
    owner, other = start_user(), start_user()
    client(var).set("name", "value")
    first = server(var)
    leave(owner)
    assert gone([first], 0) == []
    eventually(lambda: answers(var))
    assert client(var).get("name") == b"value"
    assert list(children(other.pid)) == [second := server(var)]

    leave(other)
    assert gone([second], 0) == []
    assert not (var / "redis.sock").exists()


def test_the_client_of_a_command_waits_for_the_next_owner(var, start_user):
    owner = start_user()
    with EmbeddedRedis.join(var):
        client = open_redis(Settings(data_dir=var).redis_url_or_embedded, retries=HANDOVER_RETRIES)
        leave(owner)
        assert client.ping()
        client.close()


def test_another_user_takes_over_when_the_owner_is_killed(var, start_user):
    owner, other = start_user(), start_user()
    client(var).mset({"auth:session:1": "open", "name": "value"})
    first = server(var)
    os.killpg(owner.pid, signal.SIGKILL)
    assert gone([first]) == []
    eventually(lambda: answers(var))

    assert client(var).mget("auth:session:1", "name") == [b"open", b"value"]
    assert list(children(other.pid)) == [server(var)]


def test_the_end_of_another_user_changes_nothing(var, start_user):
    owner, other = start_user(), start_user()
    before = server(var)
    os.killpg(other.pid, signal.SIGKILL)
    other.wait()
    time.sleep(0.2)

    assert server(var) == before
    leave(owner)


def test_data_is_kept_between_uses(var):
    with EmbeddedRedis.join(var):
        client(var).set("name", "value")
    assert (var / "redis.end").read_text().endswith("clean\n")
    with EmbeddedRedis.join(var):
        assert client(var).get("name") == b"value"


def test_an_owner_that_is_killed_with_its_group_leaves_nothing_behind(var, start_user):
    owner = start_user()
    found = server(var)
    os.killpg(owner.pid, signal.SIGKILL)

    assert gone([found]) == []


def test_new_users_find_a_server_while_others_leave(var, start_user):
    for _ in range(3):
        users = [start_user() for _ in range(2)]
        newcomers = [start_user(joined=False) for _ in range(2)]
        for one in users:
            one.stdin.close()
        assert [one.stdout.readline() for one in newcomers] == ["joined\n"] * 2
        eventually(lambda: answers(var))
        for one in newcomers:
            leave(one)


def test_a_killed_server_is_started_again(var):
    with EmbeddedRedis.join(var):
        client(var).mset({"auth:session:1": "open", "name": "value"})
        kill(server(var))
        eventually(lambda: answers(var))

        assert client(var).mget("auth:session:1", "name") == [b"open", b"value"]


def test_a_server_that_hangs_is_replaced(var, monkeypatch):
    monkeypatch.setattr(owner, "PING_S", 0.1)
    monkeypatch.setattr(owner, "HANGS_S", 1.0)
    with EmbeddedRedis.join(var):
        client(var).set("name", "value")
        os.kill(before := server(var), signal.SIGSTOP)
        assert gone([before]) == []
        eventually(lambda: answers(var))

        assert client(var).get("name") == b"value"


def test_a_server_that_keeps_dying_is_reported_as_failed(var, monkeypatch):
    monkeypatch.setattr("service.backoff.TRIES", 3)
    failed = Event()
    with EmbeddedRedis.join(var, on_failure=failed.set) as embedded:
        (var / "redis.aof" / "appendonly.aof.manifest").write_bytes(b"no manifest")
        for _ in range(3):
            if answers(var):
                kill(server(var))
        assert failed.wait(10)

    assert "3 times in a row" in embedded.failure.problem


@pytest.mark.parametrize(
    ("end", "sessions"),
    [
        ("another-boot open", 0),
        ("unknown open", 0),
        ("another-boot clean", 1),
        ("broken", 0),
        (None, 0),
    ],
)
def test_a_power_cut_ends_all_sessions(var, end, sessions):
    """A lost revocation must not bring a refresh token back; movies are rebuilt from the log."""
    with EmbeddedRedis.join(var):
        client(var).mset({"auth:session:1": "open", "{movies:1}:row": "kept"})
    if end is None:
        (var / "redis.end").unlink()
    else:
        (var / "redis.end").write_text(end)

    with EmbeddedRedis.join(var):
        assert client(var).exists("auth:session:1") == sessions
        assert client(var).get("{movies:1}:row") == b"kept"


def test_after_a_failed_start_the_next_one_ends_all_sessions(var):
    with EmbeddedRedis.join(var):
        client(var).set("auth:session:1", "open")
    (var / "redis.end").write_text("another-boot open")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, "FORGET_SESSIONS", "return redis.error_reply('fails')")
        EmbeddedRedis.join(var, give_up=lambda: time.sleep(0.3) or True).close()

    with EmbeddedRedis.join(var):
        assert not client(var).exists("auth:session:1")


def test_sessions_end_before_the_first_client_connects(var, start_user):
    """The socket appears only when all sessions have ended."""
    with EmbeddedRedis.join(var):
        client(var).mset({f"auth:{number}": "open" for number in range(20_000)})
    (var / "redis.end").write_text("another-boot open")
    start_user(joined=False)
    eventually((var / "redis.sock").exists, pause_s=0.0005)

    assert client(var).keys("auth:*") == []


def test_data_that_cannot_be_read_is_set_aside(var):
    with EmbeddedRedis.join(var):
        client(var).set("name", "value")
    (written,) = (var / "redis.aof").glob("*.incr.aof")
    for _ in range(2):
        written.write_bytes(b"\0" * 50)
        with EmbeddedRedis.join(var):
            assert client(var).dbsize() == 0
        assert (var / "redis.aof.damaged" / written.name).exists()


def test_a_server_that_cannot_start_is_reported_with_its_reason(var):
    (var / "redis.aof").touch()
    with pytest.raises(ConfigurationError, match=r"CINELOG_REDIS_URL.*exit 1.*redis\.aof.*log"):
        EmbeddedRedis.join(var)

    assert not (var / "redis.sock").exists()


def test_an_unwritable_log_is_reported(var):
    (var / "redis.log").mkdir()
    with pytest.raises(ConfigurationError, match=r"redis\.log"):
        EmbeddedRedis.join(var)


def test_a_path_with_reserved_url_characters_works(tmp_path):
    var = tmp_path / "100%41 ?#ä"
    prepare_data_dir(var)
    url = Settings(data_dir=var).redis_url_or_embedded
    with EmbeddedRedis.join(var), redis.Redis.from_url(url) as client:
        assert client.ping()


def test_a_path_longer_than_a_socket_allows_is_refused(tmp_path):
    fits = PATH_BYTES - len(str(tmp_path)) - len("//redis.sock")
    prepare_data_dir(tmp_path / ("a" * fits))
    with EmbeddedRedis.join(tmp_path / ("a" * fits)):
        pass

    with pytest.raises(ConfigurationError, match=r"CINELOG_DATA_DIR: .* 1 bytes too long"):
        EmbeddedRedis.join(tmp_path / ("a" * (fits + 1)))


def test_join_can_be_cancelled(var, start_user):
    start_user()
    os.kill(stopped := server(var), signal.SIGSTOP)
    (var / "redis.sock").unlink()
    started_at = time.monotonic()
    with EmbeddedRedis.join(var, give_up=lambda: True):
        assert time.monotonic() - started_at < 1
    os.kill(stopped, signal.SIGKILL)


def test_a_lock_without_a_server_is_reported(var, monkeypatch):
    monkeypatch.setattr("service.embedded_redis.client.ANSWER_S", 0.1)
    with (var / "redis.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match=r"another process holds redis\.lock"):
            EmbeddedRedis.join(var)


def test_the_server_dies_with_its_owner_without_the_kernels_help(var, start_user):
    owner = start_user(code=USE_WITHOUT_THE_KERNELS_HELP)
    kill(server(var))
    eventually(lambda: answers(var))
    below = descendants(owner.pid)
    assert len(below) == 2, "only the new server and its guard"
    owner.kill()

    assert gone(below) == []
