"""Run Cinelog in tests: the real command, a free port, its own data directory."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import redis

COMMAND = Path(sys.executable).with_name("cinelog")
PASSWORD = "correct-horse-7"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(data_dir, **settings):
    """Return the environment of a command, without the tester's own CINELOG_ variables."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CINELOG_")}
    own = {
        "CINELOG_DATA_DIR": str(data_dir),
        "CINELOG_LOGIN_RATE": "off",
        "CINELOG_API_RATE": "off",
    }
    return kept | own | {f"CINELOG_{k.upper()}": str(v) for k, v in settings.items()}


def run(data_dir, *args, **settings):
    """Run a command and return its result."""
    return subprocess.run(
        [COMMAND, *map(str, args)],
        env=environment(data_dir, **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Cinelog:
    """``cinelog serve`` in its own process."""

    command = (COMMAND,)

    def __init__(self, data_dir, *args, workers=1, port=None, **settings):
        self.data_dir = data_dir
        self._clients = []
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = Path(data_dir).with_suffix(".log")
        self._log = self.log_path.open("a")
        self.process = subprocess.Popen(
            [*self.command, "serve", "--port", str(self.port), "--workers", str(workers), *args],
            env=environment(data_dir, **settings),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_until_ready(self, timeout_s=30):
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.output()}")
            try:
                if httpx.get(f"{self.url}/.well-known/jwks.json", timeout=1).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError(f"not ready: {self.output()}")

    def output(self):
        return self.log_path.read_text()

    def stop(self, timeout_s=15):
        """Terminate the service as an operator would; return its exit code."""
        for client in self._clients:
            client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout_s)
        self._log.close()
        return code

    def client(self, token=None, **kwargs):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=10, **kwargs)
        self._clients.append(client)
        return client

    def account(self, username):
        """Register an account; return a client with its access token."""
        with self.client() as anyone:
            body = {"username": username, "email": f"{username}@example.org"}
            body |= {"password": PASSWORD, "password2": PASSWORD}
            created = anyone.post("/auth/register/", json=body)
            assert created.status_code == 201, created.text
            pair = anyone.post("/auth/token/", json={"username": username, "password": PASSWORD})
            assert pair.status_code == 200, pair.text
        client = self.client(pair.json()["access"])
        client.account = created.json()
        client.pair = pair.json()
        return client

    def kill(self, module):
        """``kill -9`` the first child process that runs a module of the service."""
        pid = self.processes(module)[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def processes(self, module):
        """Return the ids of the child processes that run a module of the service."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                args = (stat.parent / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent == self.process.pid and any(
                a.startswith(b"service.") and a.endswith(f".{module}".encode()) for a in args
            ):
                found.append(int(stat.parent.name))
        return sorted(found)

    def redis(self):
        """Return a client of the embedded Redis."""
        client = redis.Redis(unix_socket_path=str(Path(self.data_dir) / "redis.sock"))
        self._clients.append(client)
        return client

    def status(self):
        done = run(self.data_dir, "status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def persistently(send):
    """Retry until the status is below 500, for instance during a restart."""

    def attempt():
        try:
            answer = send()
        except httpx.TransportError:
            return None
        return answer if answer.status_code < 500 else None

    return eventually(attempt)


def eventually(check, timeout_s=10, pause_s=0.02):
    """Return the first true result of ``check``; fail after the timeout."""
    until = time.monotonic() + timeout_s
    while True:
        found = check()
        if found or time.monotonic() > until:
            assert found, "condition not met in time"
            return found
        time.sleep(pause_s)


def problem(response, status, code):
    """Check a response for a problem document and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == response.headers["x-request-id"]
    assert {"type", "title", "detail", "instance"} <= body.keys()
    return body
