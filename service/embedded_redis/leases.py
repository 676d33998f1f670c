"""The lines that users of the embedded Redis hold to its keeper."""

import selectors
import socket
from contextlib import suppress
from pathlib import Path

from service.data_dir import KEEPER_SOCKET


class ClientConnections:
    """True while somebody holds one. What is told goes to all of them and is never waited for."""

    def __init__(self, first: socket.socket, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._held: set[socket.socket] = set()
        self._last: socket.socket | None = None
        Path(KEEPER_SOCKET).unlink(missing_ok=True)
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(KEEPER_SOCKET)
        self._door.listen(128)
        self._door.setblocking(False)
        selector.register(self._door, selectors.EVENT_READ)
        self._add(first)

    def __bool__(self) -> bool:
        return bool(self._held)

    def hear(self, what: object, greeting: str) -> None:
        """Take what is readable: a new line, which is greeted, or the end of one."""
        if what is self._door:
            self._accept(greeting)
        elif isinstance(what, socket.socket) and hung_up(what):
            # Who came in at this very moment is a reason to go on.
            self._accept(greeting)
            self._selector.unregister(what)
            self._held.discard(what)
            if self._held:
                tell(what, "goes on")
                what.close()
            else:
                self._last = what  # hung up by our end and not before

    def tell(self, word: str) -> None:
        """Say a word on every line."""
        for line in self._held:
            tell(line, word)

    def close_the_door(self) -> None:
        """Let nobody in any more."""
        Path(KEEPER_SOCKET).unlink(missing_ok=True)

    def _accept(self, greeting: str) -> None:
        with suppress(BlockingIOError, ConnectionError):
            while True:
                line, _ = self._door.accept()
                self._add(line)
                tell(line, greeting)

    def _add(self, line: socket.socket) -> None:
        line.setblocking(False)
        self._held.add(line)
        self._selector.register(line, selectors.EVENT_READ)


def hung_up(line: socket.socket) -> bool:
    """Return whether the user of a line has closed it, or has ended."""
    try:
        return line.recv(4096, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def tell(line: socket.socket, word: str) -> None:
    """Say a word; one that takes none has hung up, which is heard soon, or does not listen."""
    with suppress(OSError):
        line.send(f"{word}\n".encode(), socket.MSG_DONTWAIT)
