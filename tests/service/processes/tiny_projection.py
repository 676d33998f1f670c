"""A projection without work, for tests of the processes."""

import signal
import sys

from service.processes.handshake import WorkerHandshake

if __name__ == "__main__":
    handshake = WorkerHandshake(int(sys.argv[1]))
    handshake.receive()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    handshake.send_ready()
    signal.pause()
