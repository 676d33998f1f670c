"""A projection that does nothing, for the tests of the processes."""

import signal
import sys

from service.processes.handshake import WorkerHandshake

if __name__ == "__main__":
    tether = WorkerHandshake(int(sys.argv[1]))
    tether.order()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    tether.ready()
    signal.pause()
