"""Ports of this node that nobody uses now. Nothing holds them until somebody binds them: the answer is good, not guaranteed.

Reads from the kernel, by binding; standard library only.
"""

from __future__ import annotations

import errno
import os
import socket

_LEAST = 10_000
_MOST = 65_535
_RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range"
_TRIES = 200


def first_free_port(count: int = 1) -> int:
    """The first of `count` ports in a row that are free on all addresses. Raises OSError where none were found.

    They lie below those that the kernel hands out to outgoing connections: there, anybody could have one a moment later.
    """
    most = _below_outgoing() - count
    for _ in range(_TRIES):
        first = _LEAST + int.from_bytes(os.urandom(4), "big") % max(1, most - _LEAST)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise OSError(f"no {count} free ports in a row were found between {_LEAST} and {most}")


def _below_outgoing() -> int:
    try:
        with open(_RANGE_FILE) as file:
            low, high = map(int, file.read().split())
    except (OSError, ValueError):
        return 32_768
    # Where outgoing connections may have nearly all, what lies above them, or else any.
    return low if low > _LEAST + 1000 else _MOST if high > _MOST - 1000 else 32_768


def _is_free(port: int) -> bool:
    return _binds(socket.AF_INET, port) and _binds(socket.AF_INET6, port)


def _binds(family: int, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(("", port))
    except OSError as error:  # a node without IPv6 has nobody on it, either
        return family == socket.AF_INET6 and error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True
