"""A PostgreSQL server and a streaming replica of it, whose replay tests may pause."""

import os
import pwd
import subprocess
from contextlib import contextmanager
from pathlib import Path

import psycopg

from commands.event_store.store import Store
from tests.controls import new_id
from tests.running import eventually


class Replicated:
    """The primary and its replica, made with the package ``pgserver``."""

    def __init__(self, pgserver, folder):
        self.primary = pgserver.get_server(folder / "primary", cleanup_mode="stop")
        copy = folder / "replica"
        copy.mkdir(mode=0o700)
        user = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            pgserver.utils.ensure_prefix_permissions(copy)
            account = pwd.getpwnam(self.primary.system_user)
            os.chown(copy, account.pw_uid, account.pw_gid)
            user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        program = Path(pgserver.__file__).parent / "pginstall" / "bin" / "pg_basebackup"
        options = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
        subprocess.run(
            [program, "-d", self.primary.get_uri(), "-D", copy, *options],
            check=True,
            capture_output=True,
            timeout=60,
            cwd="/",
            **user,
        )
        for file in (".handle_pids.json", ".s.PGSQL.5432.lock", "log"):  # of the primary
            (copy / file).unlink(missing_ok=True)
        self.replica = pgserver.get_server(copy, cleanup_mode="stop")

    def close(self):
        self.replica.cleanup()
        self.primary.cleanup()

    def new_database(self):
        """Return the URLs of an empty event store at the primary and at the replica."""
        name = f"log_{new_id().hex}"
        self.ask(self.primary, f"CREATE DATABASE {name}")
        url = self.primary.get_uri(database=name)
        Store.open(url).close()
        self.wait_until_replayed()
        return url, self.replica.get_uri(database=name)

    def wait_until_replayed(self):
        (head,) = self.ask(self.primary, "SELECT pg_current_wal_lsn()::text")
        query = f"SELECT pg_last_wal_replay_lsn() >= '{head}'::pg_lsn"
        eventually(lambda: self.ask(self.replica, query)[0])

    @contextmanager
    def paused(self):
        """Let the replica fall behind."""
        self.ask(self.replica, "SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        eventually(lambda: self.ask(self.replica, state)[0])
        try:
            yield
        finally:
            self.ask(self.replica, "SELECT pg_wal_replay_resume()")

    def ask(self, server, query):
        """Run a query and return its first row, None without rows."""
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchone() if cursor.description else None
