"""The stores outside the service: PostgreSQL and Redis, each behind a proxy."""

import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

from service.embedded_redis.valkey_process import server_binary
from tests.consistency.proxy import Proxy
from tests.running import eventually

RESTART_S, ENDS_S = 30, 1


class OutsideRedis:
    """A Valkey with an append-only file that is not the service's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.start()
        self.proxy = Proxy(self.socket)
        self.url = f"redis://127.0.0.1:{self.proxy.port}/0"

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        options = {"port": 0, "unixsocket": self.socket, "dir": self.folder}
        options |= {"save": "", "appendonly": "yes", "appendfsync": "everysec"}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.process = subprocess.Popen([server_binary(), *words], stdout=subprocess.DEVNULL)
        eventually(lambda: answers(self.socket), RESTART_S)

    def pids(self) -> list[int]:
        """Return the process."""
        return [self.process.pid]

    def restart(self) -> None:
        """Start it again if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(ENDS_S)
            self.start()

    def close(self) -> None:
        """End it."""
        self.proxy.close()
        self.process.kill()
        self.process.wait()


class Postgres:
    """A PostgreSQL server with a database: a child process, so that the end of it is noticed."""

    def __init__(self, folder: Path) -> None:
        import pgserver  # noqa: PLC0415 - not every Python has a wheel of it
        from pgserver._commands import POSTGRES_BIN_PATH  # noqa: PLC0415

        self.folder, self._program = folder, POSTGRES_BIN_PATH / "postgres"
        server = pgserver.get_server(folder, cleanup_mode="stop")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE cinelog")
        self._user, self._uri = server.system_user, server.get_uri()
        self._sockets = Path(server.get_postmaster_info().socket_dir)
        server.cleanup()
        self.start()
        self.proxy = Proxy(self._sockets / ".s.PGSQL.5432")
        self.url = f"postgresql://postgres:@127.0.0.1:{self.proxy.port}/cinelog?sslmode=disable"

    def start(self) -> None:
        """Start it, again and again until it answers."""

        def is_up() -> bool:
            if process.poll() is not None:
                return True
            with suppress(psycopg.OperationalError), psycopg.connect(self._uri, connect_timeout=2):
                return True
            return False

        until = time.monotonic() + RESTART_S
        while time.monotonic() < until:
            with (self.folder / "log").open("a") as log:
                words = ["-D", self.folder, "-k", self._sockets, "-h", ""]
                self.process = process = subprocess.Popen(
                    [self._program, *words], stderr=log, user=self._user
                )
            eventually(is_up, RESTART_S)
            if process.poll() is None:
                return
            time.sleep(0.1)  # processes of the one before may still hold its memory

    def pids(self) -> list[int]:
        """Return the postmaster and its children."""
        return [self.process.pid, *children(self.process.pid)]

    def backends(self) -> list[int]:
        """Return the processes that serve the connections of the service."""
        query = "SELECT pid FROM pg_stat_activity WHERE datname = 'cinelog'"
        with psycopg.connect(self._uri) as connection:
            return [pid for (pid,) in connection.execute(query)]

    def restart(self) -> None:
        """Start it again if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(ENDS_S)
            self.start()

    def close(self) -> None:
        """End it."""
        self.proxy.close()
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


def answers(socket: Path) -> bool:
    """Return whether a Redis answers on a socket, with its data loaded."""
    with redis.Redis.from_url(f"unix://{quote(str(socket))}") as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def children(parent: int) -> list[int]:
    """Return the child processes of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
        except OSError:
            continue
    return found
