"""A real browser without a window, spoken to by the Chrome DevTools Protocol."""

import itertools
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser():
    """Return the path of a browser; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or pytest.skip(f"no browser here: none of {', '.join(NAMES)}")


class Browser:
    """One page of a browser that has never been used, and can find 127.0.0.1 only."""

    def __init__(self, folder):
        self.events = []
        self._folder = Path(folder)
        self._numbers = itertools.count(1)
        self._stack = ExitStack()
        self._command = [
            find_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-dev-shm-usage", f"--user-data-dir={self._folder}",
            "--remote-debugging-port=0", "--window-size=1200,1600",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank",
        ]  # fmt: skip

    def __enter__(self):
        with self._stack:
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = self._stack.enter_context(subprocess.Popen(self._command, **silent))
            self._stack.callback(process.terminate)
            self._page = self._stack.enter_context(connect(self._find_page(), max_size=None))
            for domain in ("Page", "Network", "Log", "Runtime"):
                self.call(f"{domain}.enable")
            self._stack = self._stack.pop_all()  # it began: now it ends with the test
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _find_page(self, timeout_s=30):
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            try:
                port = (self._folder / "DevToolsActivePort").read_text().split()[0]
                pages = httpx.get(f"http://127.0.0.1:{port}/json/list").json()
                return next(p["webSocketDebuggerUrl"] for p in pages if p["type"] == "page")
            except (OSError, IndexError, StopIteration, httpx.TransportError):
                time.sleep(0.05)
        raise AssertionError("the browser did not start")

    def call(self, method, **params):
        """Return the answer to a command; what happened meanwhile is kept in ``events``."""
        number = next(self._numbers)
        self._page.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self._page.recv(timeout=30))
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]
            self.events.append(said)

    def evaluate(self, script):
        """Return the value of an expression."""
        result = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def happened(self, name):
        """Return what was told of events with this name."""
        return [said["params"] for said in self.events if said["method"] == name]
