"""A TCP relay, started as a process: takes connections on a listening socket that it inherits, and connects further on.

`python -m tests.relay FD HOST PORT [DELAY_S]`: each piece of bytes leaves DELAY_S after it came, in order, both ways.
Started in a network namespace with a socket that was bound outside, it is the way into that namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PIECE_BYTES = 64 << 10
# Pieces that are under way in one direction; more wait in the kernel.
MOST_UNDER_WAY = 256


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_UNDER_WAY)

    async def take() -> None:
        while data := await reader.read(PIECE_BYTES):
            await pieces.put((loop.time() + delay_s, data))
        await pieces.put((loop.time() + delay_s, b""))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
    finally:
        taking.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await taking


async def _relay(listener: socket.socket, host: str, port: int, delay_s: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_writer = None
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
            await asyncio.gather(_pump(reader, far_writer, delay_s), _pump(far_reader, writer, delay_s))
        except OSError:
            pass  # either side has hung up: so does the other
        finally:
            for one in (writer, far_writer):
                if one is not None:
                    one.close()

    server = await asyncio.start_server(connected, sock=listener)
    await server.serve_forever()


@contextmanager
def relay(
    host: str, port: int, *, listen_host: str = "127.0.0.1", delay_s: float = 0.0, within: Sequence[str] = ()
) -> Iterator[str]:
    """The url of a relay on loopback that leads to `host`:`port` as it is reached from where the words `within` lead."""
    with socket.create_server((listen_host, 0)) as listener:
        listener.set_inheritable(True)
        words = [sys.executable, "-m", "tests.relay", str(listener.fileno()), host, str(port), str(delay_s)]
        process = subprocess.Popen([*within, *words], pass_fds=(listener.fileno(),))
        try:
            yield f"http://{listen_host}:{listener.getsockname()[1]}"
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    _fd, _host, _port, _delay = sys.argv[1:5]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_relay(socket.socket(fileno=int(_fd)), _host, int(_port), float(_delay)))
