"""A TCP proxy in front of a PostgreSQL socket that cuts or stalls a connection."""

import socket
import threading
from urllib.parse import parse_qs, urlsplit


class Proxy:
    """Acts on the first client message that contains ``when``: ``then`` is ``cut`` or ``stall``.

    ``forward`` says whether that message still reaches the server.
    """

    def __init__(self, url):
        parts = urlsplit(url)
        self._target = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"postgresql://postgres:@127.0.0.1:{self.port}{parts.path}?sslmode=disable"
        self.when, self.then, self.forward = None, "cut", True
        self.seen = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            stalled = threading.Event()
            for source, target in ((client, server), (server, client)):
                args = (source, target, stalled, source is client)
                threading.Thread(target=self._pump, args=args, daemon=True).start()

    def _pump(self, source, target, stalled, asks):
        try:
            while data := source.recv(65536):
                if stalled.is_set():
                    continue
                if asks and self.when and self.when in data:
                    self.seen.set()
                    stalled.set()
                    if self.forward:
                        target.sendall(data)
                    if self.then == "cut":
                        # The server sees no end of its connection, as after a network failure.
                        source.shutdown(socket.SHUT_RDWR)
                        return
                    continue
                target.sendall(data)
        except OSError:
            pass
        finally:
            if not (asks and stalled.is_set()):
                for one in (source, target):
                    one.close()
