"""Faults of PostgreSQL that tests cause from another session."""

from contextlib import contextmanager

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
    # The process that lets commits wait, or go, has read it as well as this session.
    eventually(
        lambda: (
            connection.execute("SHOW synchronous_standby_names").fetchone()[0] == names
            and (names or not hanging(connection))
        )
    )


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
