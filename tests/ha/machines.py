"""Machine: the servers that run under one account, with their ports and their folder.

Its processes are found by their account, so inside a namespace they are all of the machine's.
"""

import itertools
import os
import pwd
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.running import free_port

# Accounts that every Debian has, each for one machine; a stack has at most twelve.
_ACCOUNTS = itertools.cycle(
    "games man lp mail news uucp proxy www-data backup list irc daemon nobody".split()  # noqa: SIM905
)


class Machine:
    """Starts servers; kills, pauses and resumes all of them at once, or one by name."""

    def __init__(self, name, folder, *, servers):
        """``servers`` names them; each gets a port."""
        self.name = name
        account = pwd.getpwnam(next(_ACCOUNTS))
        self.uid, self._gid = account.pw_uid, account.pw_gid
        self.folder = Path(folder) / name
        self.folder.mkdir(mode=0o700)
        os.chown(self.folder, self.uid, self._gid)
        self.port = {server: free_port() for server in servers}
        self._commands = {}
        self._running = {}

    @property
    def ports(self):
        return sorted(self.port.values())

    def write(self, name, text):
        """Write a file that the machine's servers may read and change; return its path."""
        path = self.folder / name
        path.write_text(text)
        os.chown(path, self.uid, self._gid)
        return path

    def start(self, server, *command):
        """Start a server, or start it again as before."""
        self._commands[server] = command = command or self._commands[server]
        with (self.folder / f"{server}.out").open("ab") as out:
            self._running[server] = subprocess.Popen(
                list(map(str, command)),
                user=self.uid,
                group=self._gid,
                extra_groups=[],
                cwd=self.folder,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def start_ended(self):
        """Start every server that has ended; return their names."""
        ended = [name for name, process in self._running.items() if process.poll() is not None]
        for name in ended:
            self.start(name)
        return ended

    def process_ids(self, *, running=""):
        """Return its processes, or those whose command line contains a text."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if folder.stat().st_uid == self.uid:
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if line and running in line:
                        found.append(int(folder.name))
        return sorted(found)

    def send(self, signal_number, *, running=""):
        """Send a signal to its processes until no new one is found."""
        sent = set()
        while new := set(self.process_ids(running=running)) - sent:
            for pid in new:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal_number)
            sent |= new

    def kill(self):
        """End everything at once, as a power cut does."""
        self.send(signal.SIGKILL)
        for process in self._running.values():
            process.wait(5)

    def pause(self, *, running=""):
        self.send(signal.SIGSTOP, running=running)

    def resume(self):
        self.send(signal.SIGCONT)

    def output(self, server):
        return (self.folder / f"{server}.out").read_text(errors="replace")


def until(check, timeout_s, what):
    """Return the first true result of ``check``. Raises TimeoutError with ``what`` was missing."""
    ends = time.monotonic() + timeout_s
    while not (found := check()):
        if time.monotonic() > ends:
            raise TimeoutError(what)
        time.sleep(0.05)
    return found
