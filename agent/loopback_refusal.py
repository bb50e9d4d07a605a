"""In place of a tracking server that cannot live: every request is refused at once, so that no training waits for it.

MLflow's clients would try again for minutes where nobody answers, and where they are told to. Standard library only, and loaded
only where a server was given up.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

# Failed Dependency: none of those that are tried again.
_BODY = (
    b'{"error_code":"TEMPORARILY_UNAVAILABLE","message":"The tracking server of this run on this node cannot be started;'
    b" the run's system log says why\"}"
)
_ANSWER = (
    b"HTTP/1.1 424 Failed Dependency\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: "
    + str(len(_BODY)).encode()
    + b"\r\n\r\n"
    + _BODY
)
_MOST_BYTES = 1 << 20
_MOST_AT_ONCE = 100


def refuse(listening: Any) -> None:
    """Answer those who wait on the socket (a `_socket.socket` that does not block). Does not wait."""
    import _socket

    for _ in range(_MOST_AT_ONCE):
        try:
            descriptor, _ = listening._accept()
        except OSError:  # nobody waits any more
            return
        one = _socket.socket(listening.family, listening.type, listening.proto, fileno=descriptor)
        try:
            one.setblocking(False)
            one.recv(_MOST_BYTES)  # what stays unread would take the answer back
            one.send(_ANSWER)
            one.shutdown(_socket.SHUT_WR)
        except OSError:  # it has gone, or has said nothing yet: it will try again
            pass
        finally:
            one.close()
