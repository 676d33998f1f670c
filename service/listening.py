"""The one socket that every API worker accepts on."""

import errno
import socket

from commands.errors import ConfigurationError

BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; 0 takes a free port.

    Raises ConfigurationError that says what is in the way.
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
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _refused(error, host, port) from None
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """Return where a browser on this machine finds what listens there."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # every address: also this one
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refused(error: OSError, host: str, port: int) -> ConfigurationError:
    match error.errno:
        case errno.EADDRINUSE:
            problem = f"{host}:{port} is taken by another program; stop it or choose another port"
        case errno.EACCES:
            problem = f"port {port} is not for this user; choose one above 1023"
        case errno.EADDRNOTAVAIL:
            return ConfigurationError("CINELOG_HOST", f"{host} is no address of this machine")
        case _:
            problem = f"cannot listen on {host}:{port} ({error.strerror})"
    return ConfigurationError("CINELOG_PORT", problem)
