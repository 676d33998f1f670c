"""The listening socket, on which every API worker accepts connections."""

import errno
import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from commands.errors import ConfigurationError
from service.urls import served_url

BACKLOG = 1024
WAIT_S, RETRY_S = 5.0, 0.02


class PortLock:
    """A shared lock in the data directory, held by the processes that listen on a port.

    Workers inherit it. ``held_by_others`` is true if a process of this data directory held it.
    """

    def __init__(self, data_dir: Path, port: int) -> None:
        self.fds: list[int] = []
        self.held_by_others = False
        if not port:
            return
        with suppress(OSError):  # the disk is full: then nothing waits for the port
            file = os.open(data_dir / f"port-{port}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            self.fds.append(file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.held_by_others = True
            fcntl.flock(file, fcntl.LOCK_SH)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self.fds:
            os.close(self.fds.pop())


def listen(host: str, port: int, *, wait_s: float = 0.0) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; port 0 takes a free one.

    A port in use is tried again for ``wait_s``. Raises ConfigurationError with the reason.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise ConfigurationError("CINELOG_HOST", f"{host!r} is not an address") from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(sock, address, time.monotonic() + wait_s)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _refused(error, host, port) from None
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """Return the URL at which a browser on this machine reaches the socket."""
    host, port = sock.getsockname()[:2]
    return served_url(host, str(port))


def _bind(sock: socket.socket, address: Any, until: float) -> None:
    while True:
        try:
            sock.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= until:
                raise
            time.sleep(RETRY_S)
        else:
            return


def _refused(error: OSError, host: str, port: int) -> ConfigurationError:
    match error.errno:
        case errno.EADDRINUSE:
            problem = f"{host}:{port} is taken by another program; stop it or choose another port"
        case errno.EACCES:
            problem = f"this user may not use port {port}; choose one above 1023"
        case errno.EADDRNOTAVAIL:
            return ConfigurationError("CINELOG_HOST", f"{host} is not an address of this machine")
        case _:
            problem = f"cannot listen on {host}:{port} ({error.strerror})"
    return ConfigurationError("CINELOG_PORT", problem)
