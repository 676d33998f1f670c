"""The owner of an embedded Redis: runs the server as its child and starts it again when it dies."""

import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from threading import Event

from service.backoff import Backoff, GiveUpError
from service.data_dir import REDIS_DATA
from service.embedded_redis import crash_marker
from service.embedded_redis.valkey_process import ValkeyProcess
from service.observability.logs import warn

LOADING_POLL_S, POLL_S, PING_S, HANGS_S = 0.01, 0.1, 3.0, 15.0
FORGET_S = 60.0
EARLY_TRIES = 2
"""Starts of a server that is killed before its first reply."""
NEVER = float("inf")
_LUA = files("service.embedded_redis").joinpath("lua")
FORGET_SESSIONS = _LUA.joinpath("forget_sessions.lua").read_text(encoding="utf-8")


class RedisOwner:
    """Holds the lock of a data directory, whose descriptor is ``lock``."""

    def __init__(
        self, data_dir: Path, lock: int, closing: Event, on_ready: Callable[[], None]
    ) -> None:
        self._data_dir = data_dir
        self._closing = closing
        self._on_ready = on_ready
        self._server = ValkeyProcess(data_dir, lock)
        self._backoff = Backoff("the embedded Redis")
        self._was_ready = False
        self._forget_sessions = crash_marker.power_was_cut(data_dir)

    def run(self) -> None:
        """Keep the server running until ``closing`` is set. Raises GiveUpError if it cannot run."""
        pause_s = 0.0
        try:
            while not self._closing.wait(pause_s):
                ready_at = self._run_once()
                if (code := self._server.poll()) is not None:
                    pause_s = self._pause_after(code, ready_at)
        finally:
            if self._server.stop() and self._was_ready:
                crash_marker.mark_shutdown(self._data_dir, clean=True)

    def _run_once(self) -> float:
        """Run the server until it ends or ``closing`` is set; return when it was ready."""
        self._server.start()
        ready_at, silent_s, asked_at = NEVER, 0.0, time.monotonic()
        while not self._closing.wait(LOADING_POLL_S if ready_at == NEVER else POLL_S):
            if self._server.poll() is not None:
                break
            now = time.monotonic()
            if ready_at != NEVER and now < asked_at + PING_S:
                continue
            # Any reply will do: the server may load its data or be busy with a script. Time in
            # which this process did not run does not count.
            reply = self._server.ask("PING")
            silent_s = 0.0 if reply else silent_s + min(now - asked_at, PING_S + 1)
            asked_at = now
            if silent_s >= HANGS_S:
                warn(f"the embedded Redis has not answered for {HANGS_S:.0f} s; killed")
                self._server.kill()
            elif ready_at == NEVER and reply.startswith(b"+PONG") and self._sessions_may_live():
                # Not earlier: a start that fails must leave the news of a power cut to the next.
                crash_marker.mark_shutdown(self._data_dir, clean=False)
                self._server.publish()
                self._was_ready, ready_at = True, time.monotonic()
                self._on_ready()
        return ready_at

    def _sessions_may_live(self) -> bool:
        """End all sessions if the last shutdown may have been a power cut."""
        if self._forget_sessions:
            reply = self._server.ask("EVAL", FORGET_SESSIONS, "0", timeout_s=FORGET_S)
            if not reply.startswith(b"+OK"):
                return False
            warn("the last shutdown may have been a power cut: all sessions were ended")
            self._forget_sessions = False
        return True

    def _pause_after(self, code: int, ready_at: float) -> float:
        reason = self._server.exit_reason(code)
        if not self._was_ready and (code >= 0 or self._backoff.short_lives >= EARLY_TRIES):
            if not (self._server.could_not_read(code) and (self._data_dir / REDIS_DATA).exists()):
                raise GiveUpError(reason)
            kept = crash_marker.set_data_aside(self._data_dir)
            warn(f"the embedded Redis cannot read its data ({reason}); kept as {kept}")
            return 0.0
        now = time.monotonic()
        return self._backoff.after(reason, now - self._server.started_at, now - ready_at)
