"""The supervisor starts, restarts and ends its children."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest
import redis

from commands.errors import ConfigurationError
from service.backoff import Backoff, GiveUpError
from service.data_dir import prepare_data_dir
from service.embedded_redis.client import EmbeddedRedis
from service.processes.listener import listen, url_of
from tests.running import COMMAND, Cinelog, environment, eventually, free_port, run
from tests.service.processes.process_tree import (
    ROOT,
    Serving,
    alive,
    children,
    descendants,
    gone,
    script,
)

WORKER = """
import subprocess, sys, os, json
from service.processes.managed_process import ManagedProcess
child = ManagedProcess("child", [sys.executable, "-c", '''
import sys, time
from service.processes.handshake import WorkerHandshake
sys.platform = "other"
handshake = WorkerHandshake(int(sys.argv[1]))
assert handshake.receive().settings.workers == 7
handshake.send_ready()
time.sleep(60)
'''])
child.start()
child.send({"parent": os.getpid(), "first": True, "settings": {"workers": 7}})
os.set_blocking(child.status_fd, True)
child.read_status()
print(child._process.pid if child.ready else 0, flush=True)
sys.stdin.read()
"""

HOLD = """
import sys, time
from pathlib import Path
from service.processes.listener import PortLock, listen
path, port = Path(sys.argv[1]), int(sys.argv[2])
path.mkdir(exist_ok=True)
with PortLock(path, port), listen("127.0.0.1", port):
    print("held", flush=True)
    time.sleep(30)
"""

PROJECT = """
import sys
from service.processes.projection_worker import run_alone
from service.settings import Settings
run_alone(Settings.load(data_dir=sys.argv[1]))
"""


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """One service for all tests that leave it running."""
    with Serving(tmp_path_factory.mktemp("serving") / "var") as serving:
        yield serving


def redis_of(serving):
    return redis.Redis(unix_socket_path=str(serving.data_dir / "redis.sock"))


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


def send_slow_request(serving, seconds):
    """Send a slow request; return a future of its response."""
    pool = ThreadPoolExecutor(1)
    answer = pool.submit(serving.get, f"/slow?s={seconds}")
    pool.shutdown(wait=False)
    time.sleep(0.2)
    return answer


def test_a_killed_worker_is_replaced_while_another_answers(serving):
    before = serving.workers()
    killed = before.pop()
    os.kill(killed, signal.SIGKILL)
    gone([killed])

    assert killed not in {serving.get().json()["pid"] for _ in range(10)}
    assert killed not in serving.workers()
    assert "ended (killed by SIGKILL); started again in 0.1 s" in serving.output()


def test_a_killed_projection_is_replaced(serving):
    killed = serving.part("tiny_projection")
    os.kill(killed, signal.SIGKILL)
    gone([killed])

    assert serving.part("tiny_projection") != killed


def test_a_killed_valkey_is_restarted_without_data_loss(serving):
    client = redis_of(serving)
    for number in range(1000):
        client.set(f"kept:{number}", number)
    killed = serving.part("unixsocket")
    os.kill(killed, signal.SIGKILL)
    gone([killed])

    eventually(lambda: answers(client))
    assert len(client.keys("kept:*")) == 1000


def test_a_worker_that_hangs_is_replaced(tmp_path):
    """A stopped worker and one with a blocked event loop are each replaced, with one line."""
    with Serving(
        tmp_path / "var", constants={"service.processes.supervisor.HANGS_S": 2}
    ) as serving:
        before = serving.workers()
        stopped = next(iter(before))
        os.kill(stopped, signal.SIGSTOP)
        with suppress(httpx.TransportError):
            serving.get("/hang")

        assert gone(before) == []
        assert not before & serving.workers()
        assert serving.output().count("no heartbeat for 2 s, killed by SIGKILL") == 2


def test_a_suspended_service_continues_without_restarts(tmp_path):
    """The supervisor may continue before its workers."""
    with Serving(
        tmp_path / "var", constants={"service.processes.supervisor.HANGS_S": 2}
    ) as serving:
        before = serving.workers()
        time.sleep(1)
        for pid in (serving.pid, *before):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(serving.pid, signal.SIGCONT)
        time.sleep(0.3)
        for pid in before:
            os.kill(pid, signal.SIGCONT)

        assert serving.workers() == before
        assert "no heartbeat" not in serving.output()


def test_a_restarted_supervisor_waits_for_the_port_of_its_old_workers(tmp_path):
    """An old worker may end after its supervisor."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "var"), str(port := free_port())],
        env=environment("unset") | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline()
        serving = Serving(tmp_path / "var", port=port)
        time.sleep(1)
        assert serving.process.poll() is None, serving.output()
        holder.kill()
    with serving:
        assert serving.get().status_code == 200


def test_a_killed_supervisor_leaves_no_process_behind(tmp_path):
    serving = Serving(tmp_path / "var").ready()
    serving.workers()
    below = descendants(serving.pid)
    assert len(below) == 4, "two workers, projection, Valkey"
    answer = send_slow_request(serving, 30)
    serving.kill()

    assert gone(below) == []
    with pytest.raises(httpx.TransportError):
        answer.result()
    serving.process.wait()


def test_sigterm_finishes_requests_and_refuses_new_ones(tmp_path):
    with Serving(tmp_path / "var") as serving, httpx.Client() as idle:
        idle.get(f"http://127.0.0.1:{serving.port}/")
        below = descendants(serving.pid)
        answer = send_slow_request(serving, 1)
        serving.kill(signal.SIGTERM)
        time.sleep(0.1)
        with pytest.raises(httpx.ConnectError):
            serving.get()

        assert answer.result().status_code == 200
        assert answer.result().headers["connection"] == "close"
        assert serving.ended(2)[0] == 0
        assert gone(below, 0) == []


def test_ctrl_c_ends_in_order_and_a_second_one_ends_at_once(tmp_path):
    """A terminal sends Ctrl-C to every process of the group."""
    with Serving(tmp_path / "var") as serving:
        below = descendants(serving.pid)
        answer = send_slow_request(serving, 8)
        os.killpg(serving.pid, signal.SIGINT)
        time.sleep(0.2)
        assert not answer.done()
        stopped_at = time.monotonic()
        os.killpg(serving.pid, signal.SIGINT)

        code, output = serving.ended()
        assert (code, gone(below, 0)) == (0, [])
        assert time.monotonic() - stopped_at < 1
        assert "Traceback" not in output


def test_a_stubborn_worker_ends_within_the_limit(tmp_path):
    with Serving(tmp_path / "var") as serving:
        below = descendants(serving.pid)
        serving.get("/stubborn")
        send_slow_request(serving, 30)
        stopped_at = time.monotonic()
        serving.kill(signal.SIGTERM)

        assert serving.ended()[0] == 0
        assert time.monotonic() - stopped_at < 5
        assert gone(below, 0) == []


def test_a_port_in_use_is_reported_in_one_line(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        code, output = Serving(tmp_path / "var", port=port).ended()

    taken = f"127.0.0.1:{port} is taken by another program; stop it or choose another port"
    assert (code, output) == (2, f"CINELOG_PORT: {taken}\n")


@pytest.mark.parametrize(
    ("app", "line"),
    [
        ("refusing_app", "CINELOG_ISSUER: is not allowed\n"),
        (
            "refusing_start",
            "CINELOG_EVENT_STORE_URL: The event store is unavailable: connection refused\n",
        ),
    ],
)
def test_a_refusing_worker_ends_the_service_with_one_line(tmp_path, app, line):
    assert Serving(tmp_path / "var", app=app).ended() == (2, line)


def test_a_child_that_keeps_dying_ends_the_service_with_one_line(tmp_path):
    serving = Serving(tmp_path / "var", app="crashing_app", constants={"service.backoff.TRIES": 3})
    code, output = serving.ended()

    assert code == 1
    assert "3 times in a row (exit 1); giving up" in output


def test_a_service_that_is_not_ready_in_time_ends_with_one_line(tmp_path):
    constants = {"service.processes.supervisor.READY_S": 1}
    serving = Serving(tmp_path / "var", app="sleeping_app", constants=constants)

    code, output = serving.ended()
    last = json.loads(output.splitlines()[-1])["event"]
    assert (code, last) == (1, "nothing answers after 1 s; giving up")


def test_an_unreachable_redis_ends_the_start_with_one_line(tmp_path):
    """The URL is not shown: it may contain a password."""
    url = f"redis://:secret@127.0.0.1:{free_port()}"
    serving = Serving(
        tmp_path / "var", projection="service.processes.projection_worker", redis_url=url
    )
    code, output = serving.ended()

    assert code == 2
    assert output.startswith("CINELOG_REDIS_URL: the Redis it names does not answer")
    assert (output.count("\n"), "secret" in output) == (1, False)


def test_an_unreachable_event_store_ends_the_start_with_one_line(tmp_path):
    url = f"sqlite:///{tmp_path}/no/such/place/events.db"
    serving = Serving(
        tmp_path / "var", projection="service.processes.projection_worker", event_store_url=url
    )
    code, output = serving.ended()

    assert (code, output.count("\n")) == (2, 1)
    assert output.startswith("CINELOG_EVENT_STORE_URL: ")


def test_a_service_without_a_projection_prepares_the_stores_and_leaves_the_rest(tmp_path):
    """``cinelog project`` projects wherever it runs."""
    data_dir = tmp_path / "var"
    with Cinelog(data_dir, workers=2, projection="off") as node:
        eventually(lambda: not node.processes("projection_worker"))
        ann = node.account("ann")
        written = ann.post("/movies/", json={"title": "Alien", "genre": "Horror", "year": 1979})
        assert (written.status_code, written.headers["read-model"]) == (201, "behind")

        command = subprocess.Popen(
            [COMMAND, "project"], env=environment(data_dir, projection="off")
        )
        try:
            eventually(lambda: ann.get("/movies/").json().get("count") == 1)
        finally:
            command.terminate()
            assert command.wait(10) == 0
    assert "the projection" not in node.output()


def test_without_a_projection_the_settings_are_checked_all_the_same(tmp_path):
    url = f"redis://127.0.0.1:{free_port()}"
    done = run(tmp_path / "var", "serve", projection="off", redis_url=url)
    assert done.returncode == 2
    assert "CINELOG_REDIS_URL: the Redis it names does not answer" in done.stderr


def test_a_projection_alone_restarts_its_redis_and_stops_it_at_the_end(tmp_path):
    prepare_data_dir(tmp_path / "var")
    projection = script(PROJECT, tmp_path / "var", stderr=subprocess.DEVNULL)
    (valkey,) = eventually(
        lambda: [p for p, c in children(projection.pid).items() if "unixsocket" in c]
    )
    os.kill(valkey, signal.SIGKILL)
    gone([valkey])
    (valkey,) = eventually(lambda: list(children(projection.pid)))
    eventually((tmp_path / "var" / "redis.sock").exists)
    projection.terminate()

    assert projection.wait(5) == 0
    assert gone([valkey], 0) == []
    assert (tmp_path / "var" / "redis.end").read_text().endswith("clean\n")


def test_a_service_takes_over_the_redis_of_a_command(tmp_path):
    prepare_data_dir(tmp_path / "var")
    with EmbeddedRedis.join(tmp_path / "var") as command, Serving(tmp_path / "var") as serving:
        assert not [c for c in descendants(serving.pid).values() if "unixsocket" in c]
        command.close()
        client = redis_of(serving)
        eventually(lambda: answers(client))
        serving.part("unixsocket")


def test_the_before_hook_runs_before_the_service_is_ready(tmp_path):
    with Serving(tmp_path / "var", before="say_before", workers=1) as serving:
        output = serving.output().splitlines()

    url = f"http://127.0.0.1:{serving.port}"
    assert output[0] == "before"
    line = json.loads(output[1])
    assert (line["event"], line["url"]) == (f"Cinelog serves on {url} (1 worker)", url)


def test_an_error_in_the_before_hook_leaves_no_process_behind(tmp_path):
    serving = Serving(tmp_path / "var", before="fail_before")
    below = eventually(lambda: descendants(serving.pid))

    assert serving.ended() == (2, "CINELOG_DATA_DIR: the sample is missing\n")
    assert gone(below, 0) == []


def test_children_take_their_settings_from_the_parent_only(serving):
    """Their environment names another data directory."""
    assert serving.get().json()["data_dir"] == str(serving.data_dir)


def test_a_child_dies_with_its_parent_without_the_kernels_help(tmp_path):
    with script(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()

        assert gone([child]) == []


def test_backoff_grows_and_gives_up_after_ten_short_lives():
    backoff = Backoff("the worker")
    pauses = [backoff.after("exit 1", 1) for _ in range(9)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    with pytest.raises(GiveUpError, match=r"the worker ended 10 times in a row \(exit 1\)"):
        backoff.after("exit 1", 1)


def test_a_long_life_resets_the_backoff():
    backoff = Backoff("the worker")
    for _ in range(5):
        backoff.after("exit 1", 1)
    assert backoff.after("exit 1", 30) == 0.1


def test_a_process_that_has_served_always_restarts_at_once():
    backoff = Backoff("the worker")
    assert {backoff.after("killed", 3, served_s=2) for _ in range(50)} == {0.1}


def test_an_invalid_host_names_the_setting():
    for host in ("no.such.host.invalid", "192.0.2.1"):
        with pytest.raises(ConfigurationError, match="CINELOG_HOST"):
            listen(host, 0)


def test_the_reported_url_opens_in_a_browser():
    with listen("0.0.0.0", 0) as sock:
        assert url_of(sock) == f"http://127.0.0.1:{sock.getsockname()[1]}"
