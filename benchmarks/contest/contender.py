"""A contender: installed once, then loaded and served for each size."""

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
from contextlib import suppress
from pathlib import Path

from .faces import FACES, KINDS, Api

ROOT = Path(__file__).parent.parent.parent
CONTENDERS = Path(__file__).parent / "contenders"
SECRET = "benchmark-secret-of-no-value-0123456789"  # for this run only
READY_S, SETUP_S, LOAD_S = 180, 1_200, 3_600


def _encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed_token():
    """Return a JWT of an account that any contender takes."""
    claims = {"sub": "1", "username": "bench", "exp": int(time.time()) + 86_400}
    text = b".".join(
        _encoded(json.dumps(one).encode()) for one in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    return (text + b"." + _encoded(hmac.digest(SECRET.encode(), text, "sha256"))).decode()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Contender:
    """What a ``contender.toml`` tells."""

    def __init__(self, name, work):
        self.name, self.source, self.work = name, CONTENDERS / name, work / name
        facts = tomllib.loads((self.source / "contender.toml").read_text())
        self.title = facts["title"]
        self.setup, self.load, self.serve = facts.get("setup", []), facts["load"], facts["serve"]
        self.versions, self.token = facts.get("versions", ""), facts.get("token", "")
        self.needs_postgresql = facts.get("database") == "postgresql"
        self.face = FACES[facts.get("face", "plain")]
        self.kinds = facts.get(
            "kinds", [kind for kind in KINDS if kind not in ("cursor", "history")]
        )

    def install(self):
        """Copy the folder and run its setup, unless that was done for the same files."""
        texts = [path.read_bytes() for path in sorted(self.source.rglob("*")) if path.is_file()]
        digest = hashlib.sha256(b"\0".join(texts)).hexdigest()
        done = self.work / ".installed"
        if done.exists() and done.read_text() == digest:
            return
        shutil.copytree(self.source, self.work, dirs_exist_ok=True)
        for command in self.setup:
            self.run(command, SETUP_S)
        done.write_text(digest)

    def environment(self, **more):
        known = {"JWT_SECRET": SECRET, "PYTHON": sys.executable, "ROOT": str(ROOT)}
        return os.environ | known | {name: str(value) for name, value in more.items()}

    def run(self, command, timeout_s, **environment):
        """Run a command to its end; return what it prints."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.work,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command}: {(done.stderr or done.stdout).strip()[-400:]}")
        return done.stdout.strip()


class Server:
    """A contender that serves rows, until ``close``."""

    def __init__(self, contender, rows, data, database_url, workers=2):
        self.contender, self.data = contender, data
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        self.environment = {
            "PORT": free_port(),
            "WORKERS": workers,
            "ROWS": rows,
            "DATA": data,
            "DATABASE": data / "movies.db",
            "DATABASE_URL": database_url,
        }
        began = time.monotonic()
        contender.run(contender.load, LOAD_S, **self.environment)
        self.load_s = time.monotonic() - began
        began = time.monotonic()
        self.log = (data / "serve.log").open("wb")
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {contender.serve.strip()}"],
            cwd=contender.work,
            env=contender.environment(**self.environment),
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        try:
            self.api = self._when_ready()
        except BaseException:
            self.close()
            raise
        self.ready_s = time.monotonic() - began

    def _when_ready(self):
        contender, deadline = self.contender, time.monotonic() + READY_S
        token = "" if contender.token else signed_token()
        problem = "it does not answer"
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if not token:
                    token = contender.run(contender.token, 60, **self.environment)
                api = Api(contender.face, self.environment["PORT"], token)
                api.call(contender.face.list())
            except (OSError, RuntimeError, urllib.error.URLError, ValueError) as error:
                problem = str(error)
                time.sleep(0.05)
            else:
                return api
        tail = (self.data / "serve.log").read_text(errors="replace")[-400:]
        raise RuntimeError(f"{problem}; {tail}")

    def memory_mb(self):
        """Return the proportional memory of all its processes, in MB."""
        return sum(map(pss_mb, processes_of(self.process.pid)))

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        with suppress(ProcessLookupError):  # what it may have left behind
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


def processes_of(pid):
    """Return a process and all below it."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += processes_of(int(child))
    except OSError:
        pass
    return found


def pss_mb(pid):
    """Return the memory of a process, its share of shared pages counted."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) / 1024
