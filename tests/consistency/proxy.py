"""A TCP proxy that slows, stalls and cuts the connections that pass it."""

import asyncio
import threading
from pathlib import Path

OPEN, SLOW, SILENT, CUT = "open", "slow", "silent", "cut"
SLOW_S = 0.1


class Proxy:
    """Listens on a free port of 127.0.0.1 and forwards to a port there, or to a Unix socket.

    ``mode``: ``open`` forwards at once, ``slow`` each piece after ``SLOW_S``, ``silent`` nothing
    until the mode changes; ``cut`` ends all connections with a reset, also new ones.
    """

    def __init__(self, target: int | Path) -> None:
        self.mode = OPEN
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._speaking = asyncio.Event()
        self._speaking.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def set(self, mode: str) -> None:
        """Change the mode."""
        self._do(self._set(mode))

    def close(self) -> None:
        """End all connections and the thread."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _set(self, mode: str) -> None:
        self.mode = mode
        if mode == SILENT:
            self._speaking.clear()
        else:
            self._speaking.set()
        if mode == CUT:
            await self._cut()

    async def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._set(CUT)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == CUT:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            to_reader, to_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        self._open.add(to_writer)
        await asyncio.gather(self._pump(reader, to_writer), self._pump(to_reader, writer))
        self._open -= {writer, to_writer}

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if self.mode == SLOW:
                    await asyncio.sleep(SLOW_S)
                await self._speaking.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            writer.transport.abort()
        else:
            writer.close()
