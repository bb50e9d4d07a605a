"""One look at the node's GPUs: what each tells of itself, the processes on it, the Xid events since the look before.

Reads through nvml.py. A member that a GPU or its driver does not tell is absent; nothing is made up for it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .nvml import GpuLost, Nvml
from .xid import Xid, bus_of

_MEMORY_V2 = 0x02000028
_CORE_SENSOR = 0
_CORRECTED, _UNCORRECTED, _SINCE_DRIVER = 0, 1, 0
_XID_EVENT = 8
_MOST_EVENTS = 100
_MOST_MIG = 8
# Reasons for which a GPU lowers its clocks, by NVML's bits; idling and what a person has set are no trouble.
_SLOWED = {0x4: "power_cap", 0x8: "hardware", 0x20: "thermal", 0x40: "hardware_thermal", 0x80: "power_brake"}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment. `lost`: why it cannot be asked; then `values` are empty. `processes`: pid → its memory."""

    index: int
    name: str
    uuid: str
    bus: tuple[int, ...]
    values: Mapping[str, float] = field(default_factory=dict)
    processes: Mapping[int, int] = field(default_factory=dict)
    slowed: Sequence[str] = ()
    mig: Sequence[Mapping[str, float]] = ()
    lost: str = ""

    def to_json(self) -> dict[str, Any]:
        """What a run's telemetry says of it."""
        more = {"slowed": list(self.slowed), "mig": [dict(one) for one in self.mig], "lost": self.lost}
        return {"gpu": self.index, **self.values, **{name: value for name, value in more.items() if value}}


class Devices:
    """The GPUs that an open Nvml shows; made anew from time to time, since GPUs come and go."""

    def __init__(self, nvml: Nvml, *, with_events: bool) -> None:
        """Raises NvmlGone. `with_events`: NVML is asked for Xids, because nothing else tells them."""
        self._nvml = nvml
        self._known: list[tuple[Gpu, Any]] = []
        for index in range(nvml.ask("", ("nvmlDeviceGetCount",)) or 0):
            self._known.append(self._open(index))
        self._events = self._register() if with_events else None

    def look(self) -> list[Gpu]:
        """All of them now. Raises NvmlGone."""
        return [self._look(known, handle) for known, handle in self._known]

    def xids(self) -> list[Xid]:
        """Xid events since the last call, at most _MOST_EVENTS. Raises NvmlGone."""
        found: list[Xid] = []
        while self._events is not None and len(found) < _MOST_EVENTS:
            try:
                event = self._nvml.ask("events", ("nvmlEventSetWait_v2",), self._events, 0)
            except GpuLost:
                break
            if event is None:  # a timeout: there is none
                break
            if event.eventType & _XID_EVENT:
                found.append(Xid(number=int(event.eventData), bus=self._bus_of(event.device)))
        return found

    def close(self) -> None:
        """Gives the events back."""
        if self._events is not None:
            self._nvml.ask("events", ("nvmlEventSetFree",), self._events)
            self._events = None

    def _open(self, index: int) -> tuple[Gpu, Any]:
        ask = self._nvml.ask
        try:
            handle = ask(index, ("nvmlDeviceGetHandleByIndex",), index)
            if handle is None:
                return Gpu(index, "", "", (), lost="the driver does not open it"), None
            pci = ask(index, ("nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo"), handle)
            name, uuid = ask(index, ("nvmlDeviceGetName",), handle), ask(index, ("nvmlDeviceGetUUID",), handle)
        except GpuLost as lost:
            return Gpu(index, "", "", (), lost=str(lost)), None
        return Gpu(index, _text(name), _text(uuid), bus_of(_text(pci.busId)) if pci else ()), handle

    def _look(self, known: Gpu, handle: Any) -> Gpu:
        if handle is None:
            return known
        try:
            mig = self._mig(known.index, handle)
            values, slowed = self._values(known.index, handle), self._slowed(known.index, handle)
            processes = self._processes(known.index, handle)
        except GpuLost as lost:
            return Gpu(known.index, known.name, known.uuid, known.bus, lost=str(lost))
        return Gpu(known.index, known.name, known.uuid, known.bus, values, processes, slowed, mig)

    def _values(self, key: int, handle: Any) -> dict[str, float]:
        ask = self._nvml.ask
        rates = ask(key, ("nvmlDeviceGetUtilizationRates",), handle)
        watts = ask(key, ("nvmlDeviceGetPowerUsage",), handle)
        rows = ask(key, ("nvmlDeviceGetRemappedRows",), handle) or (None,) * 4
        total, used = self._memory(key, handle)
        found = {
            "percent": rates.gpu if rates else None,
            "mem_used_bytes": used,
            "mem_total_bytes": total,
            "temp_c": ask(key, ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV1"), handle, _CORE_SENSOR),
            "power_w": round(watts / 1000, 1) if watts is not None else None,
            "clock_mhz": ask(key, ("nvmlDeviceGetClockInfo",), handle, 1),
            "ecc_corrected": ask(key, ("nvmlDeviceGetTotalEccErrors",), handle, _CORRECTED, _SINCE_DRIVER),
            "ecc_uncorrected": ask(key, ("nvmlDeviceGetTotalEccErrors",), handle, _UNCORRECTED, _SINCE_DRIVER),
            "remap_pending": rows[2],
            "remap_failed": rows[3],
        }
        return {name: value for name, value in found.items() if value is not None}

    def _memory(self, key: object, handle: Any) -> tuple[int | None, int | None]:
        """(total, used): of the newer function, whose `used` does not count what the driver keeps for itself."""
        memory = self._nvml.ask((key, "v2"), ("nvmlDeviceGetMemoryInfo",), handle, _MEMORY_V2)
        if memory is None:
            memory = self._nvml.ask(key, ("nvmlDeviceGetMemoryInfo",), handle)
        return (int(memory.total), int(memory.used)) if memory else (None, None)

    def _slowed(self, key: int, handle: Any) -> list[str]:
        names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        bits = self._nvml.ask(key, names, handle) or 0
        return [word for bit, word in _SLOWED.items() if bits & bit]

    def _processes(self, key: int, handle: Any) -> dict[int, int]:
        """A process may be in several lists; its memory is the most that one of them tells."""
        found: dict[int, int] = {}
        for kind in ("Compute", "Graphics", "MPSCompute"):
            names = tuple(f"nvmlDeviceGet{kind}RunningProcesses_v{version}" for version in (3, 2))
            for one in self._nvml.ask(key, names, handle) or ():
                found[one.pid] = max(found.get(one.pid, 0), one.usedGpuMemory or 0)
        return found

    def _mig(self, key: int, handle: Any) -> list[dict[str, int]]:
        """The instances into which a GPU is cut."""
        mode = self._nvml.ask(key, ("nvmlDeviceGetMigMode",), handle)
        if not mode or not mode[0]:
            return []
        found = []
        most = self._nvml.ask(key, ("nvmlDeviceGetMaxMigDeviceCount",), handle) or 0
        for index in range(min(most, _MOST_MIG)):
            part = self._nvml.ask((key, index), ("nvmlDeviceGetMigDeviceHandleByIndex",), handle, index)
            if part is not None:
                total, used = self._memory((key, "mig"), part)
                found.append({"mig": index, "mem_used_bytes": used or 0, "mem_total_bytes": total or 0})
        return found

    def _register(self) -> Any:
        events = self._nvml.ask("events", ("nvmlEventSetCreate",))
        for known, handle in self._known if events is not None else ():
            try:
                kinds = self._nvml.ask(known.index, ("nvmlDeviceGetSupportedEventTypes",), handle) if handle else None
                if (kinds or 0) & _XID_EVENT:
                    self._nvml.ask(known.index, ("nvmlDeviceRegisterEvents",), handle, _XID_EVENT, events)
            except GpuLost:
                continue
        return events

    def _bus_of(self, device: Any) -> tuple[int, ...]:
        place = ctypes.cast(device, ctypes.c_void_p).value
        return next((one.bus for one, handle in self._known if handle and _place(handle) == place), ())


def _place(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
