"""The keeper: a small process that owns the embedded Redis of one data directory.

``python -m service.embedded_redis.daemon DIRECTORY BINARY``, with the first user's line as standard
input. Rules:

1. It is the parent of the server, and the server cannot outlive it.
2. Whoever uses the server holds a line: a connection to ``keeper.sock``. The kernel closes the line
   of a user that is killed.
3. When the last line closes, it ends the server cleanly and then itself.
4. ``keeper.lock`` is held by the keeper and, inherited, by the server: whoever gets it knows that
   nobody else writes the data.
5. ``redis.sock`` appears when the server answers and after sessions that may not live were ended.
6. A server that dies is started again with a growing pause; one that cannot run ends the keeper.
7. A server that answers nothing for 15 s, in time that the keeper was awake, is killed.

On a line it says ``loading`` while the server reads its data, ``ready``, or ``failed`` and why. To
a user that is done it says ``goes on`` where there are others; to the last one it says nothing and
hangs up once the server has ended.
"""

import fcntl
import os
import selectors
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from service.backoff import Backoff
from service.data_dir import KEEPER_LOCK, REDIS_DATA, REDIS_LOG, REDIS_SOCKET, release_reserve
from service.embedded_redis import crash_marker
from service.embedded_redis.leases import ClientConnections, hung_up, tell
from service.embedded_redis.valkey_process import HIDDEN_SOCKET, ValkeyProcess
from service.signals import wake_on_signals

LOG_BYTES = 1024 * 1024
LOCK_WAIT_S, PROBE_S, SAY_S, FORGET_S = 4.0, 0.01, 0.5, 60.0
# A system that goes down asks every process to end at once; the users need the server to finish.
TERM_S = 5.0
LOOK_S, HANGS_S = 3.0, 15.0
EARLY_TRIES = 2  # for one that is killed before it ever answered
NEVER = float("inf")
FORGET_SESSIONS = (
    "local at='0' repeat local page=redis.call('SCAN',at,'MATCH','auth:*','COUNT',1000) at=page[1] "
    "if #page[2]>0 then redis.call('UNLINK',unpack(page[2])) end until at=='0' "
    "return redis.status_reply('OK')"
)


class GiveUpError(Exception):
    """The server cannot run, for the reason given."""


class RedisDaemon:
    """The loop over lines, the server's life, and signals."""

    def __init__(self, binary: str, first: socket.socket) -> None:
        lock = _take_lock(first)
        self.selector = selectors.DefaultSelector()
        self.lines = ClientConnections(first, self.selector)
        self.awake = wake_on_signals(self._asked_to_end)
        self.selector.register(self.awake, selectors.EVENT_READ)
        self.server = ValkeyProcess(binary, lock)
        self.ready = self.was_ready = False
        self.forget = crash_marker.power_was_cut()
        self.pauses = Backoff()
        self.start_at, self.end_at, self.say_at = 0.0, NEVER, 0.0
        self.ready_at, self.looked_at, self.silent_s = NEVER, 0.0, 0.0

    def run(self) -> None:
        """Keep the server running until the last line closes. Raises GiveUpError if it cannot."""
        crash_marker.mark_clean_shutdown(clean=False)
        try:
            while self.lines and time.monotonic() < self.end_at:
                self._mind_the_server()
                for key, _ in self.selector.select(self._until_due()):
                    if key.fileobj == self.awake:
                        os.read(self.awake, 4096)
                    else:
                        self.lines.hear(key.fileobj, "ready" if self.ready else "loading")
        finally:
            self.lines.close_the_door()
            with suppress(FileNotFoundError):
                Path(REDIS_SOCKET).rename(HIDDEN_SOCKET)
            if self.server.stop():
                crash_marker.mark_clean_shutdown(clean=True)

    def _asked_to_end(self, _: int) -> None:
        self.end_at = min(self.end_at, time.monotonic() + TERM_S)

    def _until_due(self) -> float | None:
        now = time.monotonic()
        probe_at = NEVER
        if self.server.pid:
            probe_at = self.looked_at + LOOK_S if self.ready else now + PROBE_S
        due = min(self.start_at, self.end_at, probe_at)
        return None if due == NEVER else max(0.0, due - now)

    def _mind_the_server(self) -> None:
        now = time.monotonic()
        if (code := self.server.ended()) is not None:
            self.ready = False
            self._after_death(code, now)
            self.ready_at = NEVER
        if now >= self.start_at:
            self.start_at = NEVER
            release_reserve(Path())
            self.server.start()
        if self.server.pid and not self.ready:
            if self.server.ask("PING").startswith(b"+PONG"):
                self._announce()
            elif now >= self.say_at:
                self.say_at = now + SAY_S
                self.lines.tell("loading")
        elif self.server.pid and now >= self.looked_at + LOOK_S:
            self._look(now)

    def _look(self, now: float) -> None:
        """Ask the server whether it answers. Any answer will do: it may be busy with a script."""
        if self.server.ask("PING", path=REDIS_SOCKET):
            self.silent_s = 0.0
        else:
            self.silent_s += min(now - self.looked_at, LOOK_S + 1)
            if self.silent_s >= HANGS_S:
                _say(f"the server has not answered for {HANGS_S:.0f} s; killed")
                self.server.kill()
        self.looked_at = now

    def _announce(self) -> None:
        if self.forget:
            answer = self.server.ask("EVAL", FORGET_SESSIONS, "0", wait_s=FORGET_S)
            if not answer.startswith(b"+OK"):
                return
            _say("the last end may have been a power cut: all sessions were ended")
            self.forget = False
        Path(HIDDEN_SOCKET).rename(REDIS_SOCKET)
        self.ready = self.was_ready = True
        self.ready_at = self.looked_at = time.monotonic()
        self.silent_s = 0.0
        self.lines.tell("ready")

    def _after_death(self, code: int, now: float) -> None:
        why = self.server.why(code)
        if not self.was_ready and (code >= 0 or self.pauses.deaths >= EARLY_TRIES):
            if not (self.server.could_not_read(code) and Path(REDIS_DATA).exists()):
                raise GiveUpError(why)
            crash_marker.set_data_aside()
            _say(f"{why}; kept as {crash_marker.DAMAGED}, begun anew")
            self.start_at = now
            return
        pause_s = self.pauses.after(now - self.server.started_at, now - self.ready_at)
        if pause_s is None:
            raise GiveUpError(f"it ended {self.pauses.deaths} times in a row, at last by {why}")
        _say(f"the server ended by {why}; started again in {pause_s:.1f} s")
        self.start_at = now + pause_s


def _take_lock(first: socket.socket) -> int:
    lock = os.open(KEEPER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        if time.monotonic() > until or hung_up(first):
            raise GiveUpError("an earlier server on this directory does not end")
        time.sleep(0.01)


def _say(what: str) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    os.write(2, f"{now} keeper: {what}\n".encode())


def _detach() -> None:
    """Leave the terminal, or what else the starter reads from and writes to, for the log."""
    log = Path(REDIS_LOG)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(f"{REDIS_LOG}.1")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    out = os.open(REDIS_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(out, standard)


def main(directory: str, binary: str) -> int:
    """Keep the server of ``directory`` running for as long as it is used."""
    first = socket.socket(fileno=os.dup(0))
    keeper: RedisDaemon | None = None
    try:
        os.umask(0o077)
        os.chdir(directory)
        release_reserve(Path())
        _detach()
        keeper = RedisDaemon(binary, first)
        keeper.run()
    except (GiveUpError, OSError) as error:
        _say(f"gave up: {error}")
        if keeper is None:
            tell(first, f"failed {error}")
        else:
            keeper.lines.tell(f"failed {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
