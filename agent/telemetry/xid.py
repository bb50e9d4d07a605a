"""Xid events: what NVIDIA's driver says in the kernel's log when something goes wrong on a GPU.

Reads from /dev/kmsg, where it may. Records are numbered by the kernel, from its boot on; the number tells which are new.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

KMSG = "/dev/kmsg"
# At most so many records in one look; a kernel that says more is read further at the next one.
_MOST_RECORDS = 20_000
_RECORD_BYTES = 8192
# PCI:0000:3b:00, in older drivers without "PCI:", with MIG followed by " GPU-I:05"; pid='<unknown>' where it is not known.
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)[^)]*\): (\d+)(?:, pid='?(\d+))?")


@dataclass(frozen=True, slots=True)
class Xid:
    """One event. `bus`: (domain, bus, device) of the GPU; `pid` 0: not told; `record`: the kernel's number, -1 from NVML;
    `log_ns`: since boot, by the clock of the kernel's log."""

    number: int
    bus: tuple[int, ...]
    pid: int = 0
    text: str = ""
    record: int = -1
    log_ns: int = 0

    def to_json(self) -> dict[str, Any]:
        """What a run's telemetry says of it."""
        told = {"xid": self.number, "bus": bus_text(self.bus), "pid": self.pid, "text": self.text}
        return {name: value for name, value in told.items() if value}


class KernelLog:
    """The kernel's log from its oldest record on. Belongs to one thread; `read` does not wait."""

    def __init__(self, path: str = KMSG) -> None:
        self.record = -1  # the last one that was read
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self._descriptor = -1

    @property
    def is_readable(self) -> bool:
        return self._descriptor >= 0

    def read(self) -> list[Xid]:
        """The Xids of all records since the last call; of all that are left since the boot, at the first one."""
        found: list[Xid] = []
        for _ in range(_MOST_RECORDS if self.is_readable else 0):
            try:
                record = os.read(self._descriptor, _RECORD_BYTES).decode(errors="replace")
            except BrokenPipeError:  # the next one was overwritten; reading goes on with the oldest that is left
                continue
            except OSError:  # mostly EAGAIN: there is no more
                break
            if not record:
                break
            # More lines follow a record's own, with a space before them.
            for line in record.splitlines():
                self.record = _number(line, self.record)
                xid = parse(line)
                if xid is not None:
                    found.append(xid)
        return found

    def close(self) -> None:
        if self.is_readable:
            os.close(self._descriptor)
            self._descriptor = -1


def parse(record: str) -> Xid | None:
    """The Xid that a record of /dev/kmsg (`priority,number,µs,flags;text`) tells of; None for any other record."""
    if "NVRM: Xid" not in record or record.count(",") < 2:  # nearly all: the expression is spared them
        return None
    text = record.partition(";")[2].partition("\n")[0]
    match = _XID.search(text)
    if match is None:
        return None
    stamp = record.split(",", 3)[2]
    return Xid(
        number=int(match[2]),
        bus=bus_of(match[1]),
        pid=int(match[3] or 0),
        text=text[:400],
        record=_number(record, -1),
        log_ns=int(stamp) * 1000 if stamp.isdigit() else 0,
    )


def bus_of(text: str) -> tuple[int, ...]:
    """(domain, bus, device) of a PCI address as the kernel (0000:3b:00) or NVML (00000000:3B:00.0) writes it, or ()."""
    try:
        domain, bus, device = text.split(":")
        return int(domain, 16), int(bus, 16), int(device.partition(".")[0], 16)
    except ValueError:
        return ()


def bus_text(bus: tuple[int, ...]) -> str:
    """0000:3b:00"""
    return f"{bus[0]:04x}:{bus[1]:02x}:{bus[2]:02x}" if bus else ""


def _number(record: str, otherwise: int) -> int:
    words = record.split(",", 2)
    return int(words[1]) if len(words) == 3 and words[0].isdigit() and words[1].isdigit() else otherwise
