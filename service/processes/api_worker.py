"""One API process: ``python -m service.processes.api_worker MODULE:FACTORY SAID SOCKET``.

The supervisor starts it. It serves on a socket that it inherits and shares with the other workers.
On SIGTERM it stops accepting, answers what is in flight for at most 3 s, and ends; nothing can make
it stay longer.
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from commands.errors import CinelogError
from service.processes.handshake import HEARTBEAT_S, WorkerHandshake
from service.processes.listener import BACKLOG

if TYPE_CHECKING:
    from sanic import Sanic

GRACE_S, CLOSE_S = 3.0, 0.3
# Until the kernel ends a process that hangs in its own end: in a thread, or in what has no await.
LAST_S = 3.4


def main(app_name: str, said: str, listening: str) -> int:
    """Serve until told to end. Exit 2 where that cannot begin; the parent is told why."""
    handshake = WorkerHandshake(int(said))
    # What is loaded stays: to look for cycles in it takes a fifth of the time to start.
    gc.disable()
    module, _, name = app_name.partition(":")
    factory = getattr(import_module(module), name)
    gc.freeze()
    gc.enable()
    message = handshake.receive()
    message.configure_logs()
    with socket.socket(fileno=int(listening)) as sock, asyncio.Runner(loop_factory=_loop) as runner:
        try:
            app: Sanic[Any, Any] = factory(message.settings)
            app.config.MOTD = False
            return runner.run(serve(app, sock, handshake))
        except CinelogError as error:
            signal.setitimer(signal.ITIMER_REAL, LAST_S)
            return handshake.send_refusal(error)


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not there on every system
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def serve(app: "Sanic[Any, Any]", sock: socket.socket, handshake: WorkerHandshake) -> int:
    """Serve ``app`` on ``sock`` until SIGTERM; the parent is told when it accepts."""
    from sanic.application.state import ApplicationServerInfo  # noqa: PLC0415 - loaded by the app
    from sanic.http.constants import HTTP  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Sanic's own way of serving says this; without it every answer has an empty Alt-Svc header.
    host, port = sock.getsockname()[:2]
    app.state.server_info.append(
        ApplicationServerInfo({"version": HTTP.VERSION_1, "host": host, "port": port})
    )
    server: Any = await app.create_server(
        sock=sock, backlog=BACKLOG, asyncio_server_kwargs={"start_serving": False}
    )
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    app.set_serving(True)
    handshake.send_ready()
    beating = loop.create_task(_beat(handshake))
    await stop.wait()
    beating.cancel()
    signal.setitimer(signal.ITIMER_REAL, LAST_S)
    await _drain(app, server)
    return 0


async def _beat(handshake: WorkerHandshake) -> None:
    """Let the parent know that this event loop turns."""
    while True:
        handshake.send_heartbeat()
        await asyncio.sleep(HEARTBEAT_S)


async def _drain(app: "Sanic[Any, Any]", server: Any) -> None:
    """End in order: accept nothing, end streams, answer what is in flight, close the parts."""
    until = asyncio.get_running_loop().time() + min(app.config.GRACEFUL_SHUTDOWN_TIMEOUT, GRACE_S)
    server.server.close()
    app.config.KEEP_ALIVE = False
    await _within(server.before_stop(), until)
    await asyncio.sleep(0.02)  # to read what had come in by then
    while server.connections and asyncio.get_running_loop().time() < until - CLOSE_S:
        for connection in list(server.connections):
            if connection.http is not None:
                connection.http.keep_alive = False
            connection.close_if_idle()
        await asyncio.sleep(0.02)
    app.shutdown_tasks(0)
    for connection in list(server.connections):
        connection.abort()
    app.set_serving(False)
    await _within(server.after_stop(), until)


async def _within(work: Coroutine[Any, Any, Any], until: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await work


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
