"""Faults of PostgreSQL that tests cause from another session."""

import time
from contextlib import closing, contextmanager

import psycopg

from tests.running import eventually


@contextmanager
def missing_standby(url):
    """Let each commit wait for a synchronous standby that does not exist."""
    with psycopg.connect(url, autocommit=True) as connection:
        _set_standbys(connection, "nobody")
        try:
            yield connection
        finally:
            _set_standbys(connection, "")


def _set_standbys(connection, names):
    connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    connection.execute("SELECT pg_reload_conf()")
    setting = "SHOW synchronous_standby_names"
    eventually(lambda: connection.execute(setting).fetchone()[0] == names)
    # The checkpointer reads it by itself, and then lets commits wait, or go.
    eventually(lambda: _commit_waits(connection) if names else not hanging(connection))


def _commit_waits(connection):
    """Commit in a session of its own; return whether that waits, and end it."""
    with closing(psycopg.connect(connection.info.dsn)) as other:
        other.pgconn.send_query(b"SELECT pg_logical_emit_message(true, 'test', '')")
        pid, until = other.info.backend_pid, time.monotonic() + 0.2
        while pid not in hanging(connection):
            if time.monotonic() > until:
                return False
        connection.execute("SELECT pg_cancel_backend(%s)", (pid,))
        eventually(lambda: pid not in hanging(connection))
    return True


def hanging(connection):
    """Return the process ids of the sessions whose commit waits for a standby."""
    query = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    return [pid for (pid,) in connection.execute(query).fetchall()]


@contextmanager
def locked(url, mode):
    """Hold a lock on the table of the log."""
    with psycopg.connect(url) as connection:
        connection.execute(f"LOCK TABLE cinelog_events IN {mode} MODE")
        yield
