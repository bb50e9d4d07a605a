"""Who this node is: its id, which is its identity, and its IP, which is a name for people."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from runyard.errors import SpoolError
from runyard.names import FILE_MODE

NODE_ID_FILE = ".node_id"


def node_id(spool_dir: Path) -> str:
    """The id of this node, made at first use and kept in the spool's folder: 16 hex digits."""
    path = spool_dir / NODE_ID_FILE
    for _ in range(2):
        with suppress(FileNotFoundError):
            text = path.read_text(encoding="ascii").strip()
            if text:
                return text
        _make_node_id(path)
    raise SpoolError(f"{path} holds no node id; remove it, and a new one is made")


def _make_node_id(path: Path) -> None:
    # Written aside and linked into place: of two that start at once one wins, and nobody reads a half-written id.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(os.urandom(8).hex() + "\n", encoding="ascii")
    temporary.chmod(FILE_MODE)
    with suppress(FileExistsError):
        path.hardlink_to(temporary)
    temporary.unlink()


def ip_towards(url: str) -> str:
    """The local address from which the host of `url` is reached; loopback where there is no such way. Sends nothing."""
    host = urlsplit(url).hostname if url else None
    if not host:
        return "127.0.0.1"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)  # a datagram socket: this only picks the route
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
