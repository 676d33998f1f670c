"""Stack: two nodes of Cinelog on PostgreSQL under Patroni and on Redis."""

from contextlib import ExitStack

from tests.ha.namespaces import Network
from tests.ha.patroni import PatroniCluster
from tests.running import Cinelog


class Stack:
    """Use it as a context manager."""

    def __init__(self, folder, redis_kind, *, synchronous=True):
        self.folder = folder
        self.network = Network()
        self.postgres = PatroniCluster(folder, synchronous=synchronous)
        self.redis = redis_kind(folder)
        self.nodes = []

    def __enter__(self):
        self.wait_until_whole()
        self.postgres.create_database()
        self.settings = {
            "event_store_url": self.postgres.url,
            "redis_url": self.redis.url,
            "signing_keys": self.folder / "signing-keys.json",
            "issuer": "https://movies.example.org",
            "access_ttl_s": 86_400,
            "log_level": "warning",
        }
        for number in (1, 2):
            self.start_node(number)
        return self

    def __exit__(self, *_):
        with ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.stop)
        for machine in self.machines:
            machine.kill()

    @property
    def machines(self):
        return [*self.postgres.etcd.machines, *self.postgres.machines, *self.redis.machines]

    def start_node(self, number, port=None):
        node = Cinelog(self.folder / f"node{number}", workers=1, port=port, **self.settings)
        self.nodes.insert(number - 1, node)

    def restart_ended(self):
        """Start again whatever has ended, as an init system does."""
        for machine in self.machines:
            machine.start_ended()
        for number, node in enumerate(self.nodes, start=1):
            if node.process.poll() is not None:
                self.nodes.remove(node)
                node.stop()
                self.start_node(number, node.port)

    @property
    def urls(self):
        return [node.url for node in self.nodes]

    def wait_until_whole(self, timeout_s=90):
        self.postgres.wait_until_whole(timeout_s)
        self.redis.wait_until_whole(timeout_s)
