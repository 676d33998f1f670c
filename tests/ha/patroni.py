"""PostgreSQL under Patroni: three members, three of etcd, synchronous replication without fallback."""

import json
import shutil
from pathlib import Path

import httpx
import psycopg

from tests.ha.machines import Machine, until

_BINARIES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
PROGRAMS = ["patroni", "etcd"]
# loop_wait + 2 * retry_timeout <= ttl: a primary that cannot renew its lease gives up before it ends.
TIMINGS = {"ttl": 4, "loop_wait": 1, "retry_timeout": 1}
PARAMETERS = {
    "shared_buffers": "32MB",
    "max_connections": 60,
    "wal_log_hints": "on",
    "wal_keep_size": "256MB",
    # A standby that is gone or a client that is gone is noticed in time.
    "wal_sender_timeout": "3s",
    "wal_receiver_timeout": "3s",
    "wal_retrieve_retry_interval": "500ms",
    "tcp_user_timeout": "3s",
    # A server that stops waits as long for clients that were cut off while they connected.
    "authentication_timeout": "3s",
    "client_connection_check_interval": "1s",
}
_STANDBYS = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"


def missing_programs():
    names = [name for name in PROGRAMS if not shutil.which(name)]
    return names + ([] if _BINARIES else ["postgresql"])


class Etcd:
    """Three members of etcd, each a machine."""

    def __init__(self, folder):
        self.machines = [
            Machine(f"etcd{number}", folder, servers=["clients", "peers"]) for number in (1, 2, 3)
        ]
        cluster = ",".join(f"{m.name}=http://127.0.0.1:{m.port['peers']}" for m in self.machines)
        for machine in self.machines:
            clients = f"http://127.0.0.1:{machine.port['clients']}"
            peers = f"http://127.0.0.1:{machine.port['peers']}"
            machine.start(
                "etcd",
                *(shutil.which("etcd"), "--name", machine.name, "--data-dir", "data"),
                *("--listen-client-urls", clients, "--advertise-client-urls", clients),
                *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
                *("--initial-cluster", cluster, "--heartbeat-interval", "50"),
                *("--election-timeout", "500", "--log-level", "warn", "--enable-v2"),
            )

    @property
    def hosts(self):
        return [f"127.0.0.1:{machine.port['clients']}" for machine in self.machines]


class PatroniCluster:
    """Three members; ``url`` leads to the primary, whichever it is."""

    def __init__(self, folder, *, synchronous=True):
        self.etcd = Etcd(folder)
        self.machines = [
            Machine(f"pg{number}", folder, servers=["postgres", "api"]) for number in (1, 2, 3)
        ]
        for machine in self.machines:
            config = machine.write("patroni.json", json.dumps(self._config(machine, synchronous)))
            machine.start("patroni", shutil.which("patroni"), config)

    @property
    def url(self):
        hosts = ",".join(f"127.0.0.1:{machine.port['postgres']}" for machine in self.machines)
        return f"postgresql://postgres@{hosts}/cinelog?target_session_attrs=read-write"

    def roles(self):
        """Return the machines by role, as a member that answers tells them; {} if none does."""
        for machine in self.machines:
            try:
                url = f"http://127.0.0.1:{machine.port['api']}/cluster"
                members = httpx.get(url, timeout=1).json()["members"]
            except (httpx.HTTPError, ValueError, KeyError):
                continue
            by_name = {m["name"]: m for m in members}
            roles = {}
            for one in self.machines:
                member = by_name.get(one.name, {})
                state = member.get("state")
                role = member.get("role", "absent")
                roles.setdefault(role if state in {"running", "streaming"} else state, []).append(
                    one
                )
            return roles
        return {}

    def wait_until_whole(self, timeout_s=90):
        """Wait until two standbys follow the primary, one of them synchronously."""

        def whole():
            try:
                with psycopg.connect(self._admin_url, connect_timeout=2) as connection:
                    rows = connection.execute(_STANDBYS).fetchall()
            except psycopg.Error:
                return False
            roles = self.roles()
            is_safe = (("sync",) in rows and "sync_standby" in roles) or not self.synchronous
            return len(rows) == 2 and is_safe and len(roles.get("leader", ())) == 1

        try:
            until(whole, timeout_s, "")
        except TimeoutError:
            raise TimeoutError(f"the cluster is not whole: {self.describe()}") from None

    def primary(self):
        (machine,) = self.roles()["leader"]
        return machine

    def create_database(self):
        def created():
            try:
                with psycopg.connect(
                    self._admin_url, autocommit=True, connect_timeout=2
                ) as connection:
                    connection.execute("CREATE DATABASE cinelog")
            except psycopg.errors.DuplicateDatabase:
                return True
            except psycopg.Error:
                return False
            return True

        until(created, 20, "no database could be created")

    @property
    def _admin_url(self):
        return self.url.replace("/cinelog?", "/postgres?")

    def describe(self):
        return {role: [one.name for one in machines] for role, machines in self.roles().items()}

    def _config(self, machine, synchronous):
        self.synchronous = synchronous
        folder = str(machine.folder)
        api = f"127.0.0.1:{machine.port['api']}"
        server = f"127.0.0.1:{machine.port['postgres']}"
        passwords = {"superuser": "postgres", "replication": "replicator", "rewind": "rewinder"}
        return {
            "scope": "cinelog",
            "name": machine.name,
            "restapi": {"listen": api, "connect_address": api},
            # With "etcd3" a primary of Patroni before 3.0.3 that was paused takes its lock back.
            "etcd": {"hosts": self.etcd.hosts},
            "bootstrap": {
                "dcs": {
                    **TIMINGS,
                    "maximum_lag_on_failover": 1 << 20,
                    "synchronous_mode": synchronous,
                    "synchronous_mode_strict": synchronous,
                    # A crashed primary is replaced, not restarted.
                    "primary_start_timeout": 0,
                    # A primary stays one while etcd is away, if all members agree.
                    "failsafe_mode": True,
                    "postgresql": {
                        "use_pg_rewind": True,
                        # A new primary makes its slots seconds after its promotion.
                        "use_slots": False,
                        "parameters": PARAMETERS,
                    },
                },
                "initdb": [{"encoding": "UTF8"}, {"auth": "trust"}, {"username": "postgres"}],
            },
            "postgresql": {
                "listen": server,
                "connect_address": server,
                "data_dir": f"{folder}/data",
                "bin_dir": str(_BINARIES),
                "pgpass": f"{folder}/pgpass",
                "use_unix_socket": True,
                "pg_hba": [
                    "local all all trust",
                    "host all all 127.0.0.1/32 trust",
                    "host replication all 127.0.0.1/32 trust",
                ],
                "authentication": {
                    use: {"username": name, "password": name} for use, name in passwords.items()
                },
                "parameters": {"unix_socket_directories": folder},
            },
        }
