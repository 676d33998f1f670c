"""An API worker: ``python -m service.processes.api_worker MODULE:FACTORY STATUS_FD SOCKET_FD``.

The supervisor starts it. It serves on a listening socket that all workers inherit. On SIGTERM it
stops accepting, finishes its requests for at most 3 s, and ends, whatever is still running.
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

# Most garbage of requests has no cycles.
GC_THRESHOLDS = (10_000, 20, 20)
GRACE_S, CLOSE_S = 3.0, 0.3
LAST_S = 3.4
"""When the kernel ends a process whose shutdown hangs in a thread or in code without an await."""


def main(app_name: str, status_fd: str, socket_fd: str) -> int:
    """Serve until SIGTERM. If that cannot begin, report why and return 2."""
    handshake = WorkerHandshake(int(status_fd))
    # Modules stay loaded: searching them for garbage takes a fifth of the time to start.
    gc.disable()
    module, _, name = app_name.partition(":")
    factory = getattr(import_module(module), name)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    message = handshake.receive()
    message.configure_logs()
    with socket.socket(fileno=int(socket_fd)) as sock, asyncio.Runner(loop_factory=_loop) as runner:
        try:
            app: Sanic[Any, Any] = factory(message.settings)
            app.config.MOTD = False
            return runner.run(serve(app, sock, handshake))
        except CinelogError as error:
            signal.setitimer(signal.ITIMER_REAL, LAST_S)
            return handshake.send_refusal(error)


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not available on every system
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def serve(app: "Sanic[Any, Any]", sock: socket.socket, handshake: WorkerHandshake) -> int:
    """Serve ``app`` on ``sock`` until SIGTERM. Reports ``ready`` once it accepts connections."""
    from sanic.application.state import ApplicationServerInfo  # noqa: PLC0415 - loaded by the app
    from sanic.http.constants import HTTP  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_exception)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Without this entry, which Sanic's own runner adds, each response has an empty Alt-Svc header.
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
    heartbeat = loop.create_task(_send_heartbeats(handshake))
    await stop.wait()
    heartbeat.cancel()
    signal.setitimer(signal.ITIMER_REAL, LAST_S)
    await _drain(app, server)
    return 0


def log_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what no task received, but not that a host name could not be resolved.

    If a connection is given up while uvloop looks up the name, it drops the future of the lookup.
    Whoever connects has logged the timeout.
    """
    if not isinstance(context.get("exception"), socket.gaierror):
        loop.default_exception_handler(context)


async def _send_heartbeats(handshake: WorkerHandshake) -> None:
    """Show the parent that this event loop is not blocked."""
    while True:
        handshake.send_heartbeat()
        await asyncio.sleep(HEARTBEAT_S)


async def _drain(app: "Sanic[Any, Any]", server: Any) -> None:
    """Shut down in order: stop accepting, end streams, finish requests, close the parts."""
    until = asyncio.get_running_loop().time() + min(app.config.GRACEFUL_SHUTDOWN_TIMEOUT, GRACE_S)
    server.server.close()
    app.config.KEEP_ALIVE = False
    await _within(server.before_stop(), until)
    await asyncio.sleep(0.02)  # to read requests that have already arrived
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
