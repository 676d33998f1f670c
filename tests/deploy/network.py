"""The network of the containers, in a namespace of its own: a bridge, names, published ports.

``python network.py FOLDER FD=HOST:PORT…``: names are files of FOLDER with addresses, one a line; what
connects to a listening socket FD, which is outside, is connected to HOST:PORT inside.
"""

import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

GATEWAY = "10.88.0.1"
_A, _HEADER = 1, 12


def answer(query, names):
    """Return the response of a name server to one query (RFC 1035, 4.1)."""
    labels, at = [], _HEADER
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind = int.from_bytes(query[at + 1 : at + 3])
    file = names / ".".join(labels)
    addresses = file.read_text().split() if file.is_file() else []
    found = addresses if kind == _A else []
    status = 0x8180 if addresses else 0x8183
    counts = (1).to_bytes(2) + len(found).to_bytes(2) + bytes(4)
    record = b"\xc0\x0c\x00\x01\x00\x01" + (1).to_bytes(4) + b"\x00\x04"
    rows = b"".join(record + socket.inet_aton(one) for one in found)
    return query[:2] + status.to_bytes(2) + counts + query[_HEADER : at + 5] + rows


def serve_names(names):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((GATEWAY, 53))
        while True:
            query, client = server.recvfrom(512)
            with suppress(IndexError, ValueError, OSError):  # a query that is not one, or an error
                server.sendto(answer(query, names), client)


def publish(fd, host, port, names):
    """Connect each client of the socket ``fd`` to a port of a container."""
    with socket.socket(fileno=fd) as server:
        server.setblocking(True)
        while True:
            client, _ = server.accept()
            with suppress(OSError):
                address = (names / host).read_text().split()[0]
                inner = socket.create_connection((address, port), timeout=5)
                inner.settimeout(None)
                for pair in ((client, inner), (inner, client)):
                    threading.Thread(target=_copy, args=pair, daemon=True).start()
                continue
            client.close()


def _copy(source, sink):
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def main(names, *published):
    for words in (
        "link set lo up",
        # An address of its own: else it takes one of its ports, and changes when they go.
        "link add br0 address 02:00:00:00:00:01 type bridge",
        f"addr add {GATEWAY}/24 dev br0",
        "link set br0 up",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    for one in published:
        fd, _, target = one.partition("=")
        host, _, port = target.partition(":")
        args = (int(fd), host, int(port), Path(names))
        threading.Thread(target=publish, args=args, daemon=True).start()
    threading.Thread(target=serve_names, args=[Path(names)], daemon=True).start()
    print("up", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
