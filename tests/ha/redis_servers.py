"""Redis under Sentinel (three servers, three sentinels), and as a cluster of six."""

import shutil

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.ha.machines import Machine, until

PROGRAMS = ["redis-server", "redis-sentinel"]
DOWN_AFTER_MS = 1_500
# A master without a replica that confirms stops taking writes: one that is cut off soon does.
_SERVER = """\
bind 127.0.0.1
port {port}
dir .
appendonly yes
appendfsync everysec
save ""
repl-diskless-sync-delay 0
repl-timeout 5
repl-ping-replica-period 1
min-replicas-to-write 1
min-replicas-max-lag 3
"""
_SENTINEL = """\
bind 127.0.0.1
port {port}
dir .
sentinel monitor cinelog 127.0.0.1 {master} 2
sentinel down-after-milliseconds cinelog {down_after}
sentinel failover-timeout cinelog 1500
sentinel parallel-syncs cinelog 2
"""
_CLUSTER = """\
bind 127.0.0.1
port {port}
cluster-port {bus}
cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout 1500
cluster-replica-validity-factor 0
dir .
appendonly yes
save ""
repl-diskless-sync-delay 0
"""


def missing_programs():
    return [name for name in PROGRAMS if not shutil.which(name)]


def _client(port):
    timeouts = {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)}
    return redis.Redis(port=port, decode_responses=True, **timeouts)


class SentinelServers:
    """Three machines with a server and a sentinel each."""

    def __init__(self, folder):
        self.machines = [
            Machine(f"redis{number}", folder, servers=["server", "sentinel"])
            for number in (1, 2, 3)
        ]
        master = self.machines[0].port["server"]
        for machine in self.machines:
            text = _SERVER.format(port=machine.port["server"])
            if machine is not self.machines[0]:
                text += f"replicaof 127.0.0.1 {master}\n"
            config = machine.write("server.conf", text)
            machine.start("server", shutil.which("redis-server"), config)
        # A sentinel asks a master for its replicas when it starts, then every ten seconds.
        until(lambda: _replicas(master) == 2, 20, "no two replicas follow the master")
        for machine in self.machines:
            text = _SENTINEL.format(
                port=machine.port["sentinel"], master=master, down_after=DOWN_AFTER_MS
            )
            config = machine.write("sentinel.conf", text)
            machine.start("sentinel", shutil.which("redis-sentinel"), config)

    @property
    def url(self):
        nodes = ",".join(f"127.0.0.1:{machine.port['sentinel']}" for machine in self.machines)
        return f"redis+sentinel://{nodes}/cinelog"

    def primary(self):
        """Return the machine that most sentinels name."""
        ports = []
        for machine in self.machines:
            try:
                with _client(machine.port["sentinel"]) as client:
                    ports.append(int(client.sentinel_get_master_addr_by_name("cinelog")[1]))
            except RedisError:
                continue
        port = max(ports, key=ports.count)
        return next(one for one in self.machines if one.port["server"] == port)

    def wait_until_whole(self, timeout_s=60):
        """Wait until two replicas follow the master and three sentinels agree on it."""

        def whole():
            try:
                port = self.primary().port["server"]
                return _replicas(port) == 2 and self._agree(port)
            except (RedisError, ValueError):
                return False

        until(whole, timeout_s, "Sentinel has no master with two replicas")

    def _agree(self, port):
        for machine in self.machines:
            with _client(machine.port["sentinel"]) as client:
                if client.info("sentinel")["sentinel_tilt"]:
                    return False
                master = client.sentinel_master("cinelog")
            known = master["num-other-sentinels"], master["num-slaves"]
            if int(master["port"]) != port or known != (2, 2):
                return False
        return True


class RedisCluster:
    """Six machines: three masters with a replica each."""

    def __init__(self, folder):
        self.machines = [
            Machine(f"node{number}", folder, servers=["server", "bus"]) for number in range(1, 7)
        ]
        for machine in self.machines:
            text = _CLUSTER.format(port=machine.port["server"], bus=machine.port["bus"])
            config = machine.write("server.conf", text)
            machine.start("server", shutil.which("redis-server"), config)
        self._join()

    @property
    def url(self):
        nodes = ",".join(f"127.0.0.1:{machine.port['server']}" for machine in self.machines)
        return f"redis+cluster://{nodes}"

    def primary(self):
        """Return the machine of the master that has the slot of the read model."""
        slot = redis.cluster.key_slot(b"{movies}")
        for start, end, (_, port, *_rest), *_others in self._ask("CLUSTER", "SLOTS"):
            if start <= slot <= end:
                return next(one for one in self.machines if one.port["server"] == port)
        raise LookupError("no master has the slot")

    def wait_until_whole(self, timeout_s=60):
        """Wait until each of three masters has a replica that follows it."""

        def whole():
            try:
                if "cluster_state:ok" not in str(self._ask("CLUSTER", "INFO")):
                    return False
                slots = self._ask("CLUSTER", "SLOTS")
                if any(len(one) != 4 for one in slots) or len({one[2][1] for one in slots}) != 3:
                    return False
                for _, _, (_, port, *_rest), *_others in slots:
                    if _replicas(port) != 1:
                        return False
            except (RedisError, LookupError):
                return False
            return True

        until(whole, timeout_s, "the Redis cluster is not whole")

    def _ask(self, *command):
        for machine in self.machines:
            try:
                with _client(machine.port["server"]) as client:
                    return client.execute_command(*command)
            except RedisError:
                continue
        raise LookupError("no node answers")

    def _join(self):
        ports = [machine.port["server"] for machine in self.machines]
        masters, replicas = self.machines[:3], self.machines[3:]
        until(lambda: all(_answers(port) for port in ports), 10, "a node does not start")
        bounds = [0, 5461, 10923, 16384]
        for number, machine in enumerate(masters):
            with _client(machine.port["server"]) as client:
                client.execute_command("CONFIG", "SET", "cluster-announce-ip", "127.0.0.1")
                first, last = bounds[number], bounds[number + 1] - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for machine in self.machines[1:]:
            with _client(machine.port["server"]) as client:
                first = self.machines[0].port
                client.execute_command(
                    "CLUSTER", "MEET", "127.0.0.1", first["server"], first["bus"]
                )
        for master, replica in zip(masters, replicas, strict=True):
            with _client(master.port["server"]) as client:
                name = client.execute_command("CLUSTER", "MYID")
            _follow(replica.port["server"], name)


def _replicas(port):
    """Return how many replicas follow a master; 0 if it is none, or does not answer."""
    try:
        with _client(port) as client:
            info = client.info("replication")
    except RedisError:
        return 0
    found = [info.get(f"slave{n}", {}).get("state") == "online" for n in range(2)]
    return found.count(True) if info["role"] == "master" else 0


def _answers(port):
    try:
        with _client(port) as client:
            return client.ping()
    except RedisError:
        return False


def _follow(port, master):
    """Make a node the replica of a master, once it knows it."""

    def follows():
        try:
            return client.execute_command("CLUSTER", "REPLICATE", master)
        except RedisError:
            return False

    with _client(port) as client:
        until(follows, 15, "a node does not know the others")
