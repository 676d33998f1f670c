"""The embedded Redis: one a directory, shared, and gone with the last that uses it."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis

from commands.errors import ConfigurationError
from service.data_dir import prepare_data_dir
from service.embedded_redis.client import PATH_BYTES, EmbeddedRedis, server_binary
from tests.running import eventually
from tests.service.processes.process_tree import children, gone, script

USE = """
import sys
from pathlib import Path
from service.embedded_redis.client import EmbeddedRedis
with EmbeddedRedis.join(Path(sys.argv[1])):
    print("joined", flush=True)
    sys.stdin.read()
"""
KEEP_WITHOUT_THE_KERNELS_HELP = """
import sys
from service.embedded_redis.daemon import main
sys.platform = "other"
main(*sys.argv[1:])
"""


@pytest.fixture
def var(tmp_path):
    prepare_data_dir(tmp_path / "var")
    return tmp_path / "var"


@pytest.fixture
def user(var):
    """Start a process that uses the embedded Redis until it is killed or ``leaves``."""
    users = []

    def start(*, joined=True):
        users.append(script(USE, var, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        if joined:
            assert users[-1].stdout.readline() == "joined\n"
        return users[-1]

    yield start
    for one in users:
        ended(one)


def leaves(user):
    assert ended(user) == 0


def ended(user):
    user.stdin.close()
    code = user.wait(10)
    user.stdout.close()
    return code


def client(var):
    return redis.Redis(unix_socket_path=str(var / "redis.sock"))


def pids(var):
    """Return the pids of Valkey and of its keeper."""
    with client(var) as asking:
        valkey = asking.info("server")["process_id"]
    return valkey, int(Path(f"/proc/{valkey}/stat").read_text().rpartition(")")[2].split()[1])


def answers(var):
    try:
        return client(var).ping()
    except redis.ConnectionError:
        return False


def killed(var, number=1):
    """Kill keeper and Valkey, or Valkey alone, and wait until they are gone."""
    found = pids(var)
    for pid in found[:number]:
        os.kill(pid, signal.SIGKILL)
    assert gone(found[:number]) == []


def test_who_comes_at_once_shares_one_server(var, user):
    users = [user(joined=False) for _ in range(5)]

    assert [one.stdout.readline() for one in users] == ["joined\n"] * 5
    keepers = [
        c
        for one in users
        for c in children(one.pid).values()
        if "service.embedded_redis.daemon" in c
    ]
    assert len(keepers) == 1


def test_the_first_leaves_and_the_others_go_on(var, user):
    first, second = user(), user()
    client(var).set("name", "value")
    found = pids(var)
    leaves(first)
    assert client(var).get("name") == b"value"
    assert pids(var) == found

    leaves(second)
    assert gone(found, 0.5) == []
    assert not (var / "redis.sock").exists()


def test_what_was_written_is_there_the_next_time(var, user):
    with EmbeddedRedis.join(var):
        client(var).set("name", "value")
    with EmbeddedRedis.join(var):
        assert client(var).get("name") == b"value"


def test_a_user_that_is_killed_with_all_its_group_leaves_nothing_behind(var, user):
    one = user()
    found = pids(var)
    os.killpg(one.pid, signal.SIGKILL)

    assert gone(found) == []


def test_the_starters_end_takes_nothing_from_the_others(var, user):
    starter, other = user(), user()
    found = pids(var)
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    time.sleep(0.1)

    assert pids(var) == found
    leaves(other)
    assert gone(found, 0.5) == []


def test_coming_and_going_at_once_always_finds_a_server(var, user):
    """Who comes while the last one leaves joins in time or starts anew."""
    for _ in range(3):
        users = [user() for _ in range(2)]
        coming = [user(joined=False) for _ in range(2)]
        for one in users:
            one.stdin.close()
        assert [one.stdout.readline() for one in coming] == ["joined\n"] * 2
        assert client(var).ping()
        for one in coming:
            leaves(one)


def test_a_lost_keeper_is_noticed_and_joined_again(var):
    with EmbeddedRedis.join(var) as embedded:
        assert not embedded.lost
        client(var).set("name", "value")
        killed(var, number=2)
        eventually(lambda: embedded.lost)

        embedded.rejoin()
        assert not embedded.lost
        assert client(var).get("name") == b"value"


def test_a_killed_valkey_is_replaced_without_anyone_asking(var):
    with EmbeddedRedis.join(var) as embedded:
        client(var).set("name", "value")
        before = pids(var)
        killed(var)
        eventually(lambda: answers(var))

        assert not embedded.lost
        assert client(var).get("name") == b"value"
        assert pids(var)[1] == before[1]


def test_a_keeper_asked_to_end_waits_for_its_users(var):
    """A system that goes down asks every process at once."""
    with EmbeddedRedis.join(var):
        found = pids(var)
        os.kill(found[1], signal.SIGTERM)
        time.sleep(0.2)
        assert client(var).ping()
    assert gone(found, 0.5) == []


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
    """It may have taken the revocation of a refresh token, and the movies come from the log."""
    with EmbeddedRedis.join(var):
        client(var).mset({"auth:session:1": "open", "{movies:1}:row": "kept"})
    if end is None:
        (var / "redis.end").unlink()
    else:
        (var / "redis.end").write_text(end)

    with EmbeddedRedis.join(var):
        assert client(var).exists("auth:session:1") == sessions
        assert client(var).get("{movies:1}:row") == b"kept"


def test_a_crash_under_the_same_boot_ends_no_session(var):
    with EmbeddedRedis.join(var) as embedded:
        client(var).set("auth:session:1", "open")
        killed(var, number=2)
        embedded.rejoin()

        assert client(var).get("auth:session:1") == b"open"


def test_nobody_sees_sessions_that_may_not_live(var, user):
    """The socket appears only after they are gone, however many there are."""
    with EmbeddedRedis.join(var):
        client(var).mset({f"auth:{number}": "open" for number in range(20_000)})
    (var / "redis.end").write_text("another-boot open")
    user(joined=False)
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


def test_a_server_that_cannot_run_is_told_with_its_reason(var):
    (var / "redis.aof").touch()
    with pytest.raises(ConfigurationError, match=r"CINELOG_REDIS_URL.*exit 1.*redis\.aof.*log"):
        EmbeddedRedis.join(var)

    assert not (var / "keeper.sock").exists()


def test_a_log_that_cannot_be_written_is_told(var):
    (var / "redis.log").mkdir()
    with pytest.raises(ConfigurationError, match=r"redis\.log"):
        EmbeddedRedis.join(var)


def test_a_path_with_signs_of_a_url_works(tmp_path):
    var = tmp_path / "100%41 ?#ä"
    prepare_data_dir(var)
    with EmbeddedRedis.join(var) as embedded, redis.Redis.from_url(embedded.url) as client:
        assert client.ping()


def test_a_path_too_long_for_a_socket_is_refused_and_the_longest_works(tmp_path):
    fits = PATH_BYTES - len(str(tmp_path)) - len("//keeper.sock")
    prepare_data_dir(tmp_path / ("a" * fits))
    with EmbeddedRedis.join(tmp_path / ("a" * fits)):
        pass

    with pytest.raises(ConfigurationError, match=r"CINELOG_DATA_DIR: .* 1 bytes too long"):
        EmbeddedRedis.join(tmp_path / ("a" * (fits + 1)))


def test_who_gives_up_waiting_returns_without_it(var):
    embedded = EmbeddedRedis.join(var, give_up=lambda: True)

    assert embedded.lost


def test_valkey_dies_with_its_keeper_where_the_kernel_does_not_help(var):
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            keeper = script(KEEP_WITHOUT_THE_KERNELS_HELP, var, server_binary(), stdin=theirs)
        eventually((var / "redis.sock").exists)
        assert pids(var)[1] == keeper.pid
        killed(var)
        eventually(lambda: answers(var))
        below = children(keeper.pid)
        assert len(below) == 2, "Valkey and its guard, not those of the one before"
        keeper.kill()

        assert gone(below) == []
    keeper.wait()
