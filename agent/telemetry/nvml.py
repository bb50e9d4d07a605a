"""The edge to NVIDIA's driver: loads NVML's binding only where the library is, and maps its errors to three cases.

Reads from libnvidia-ml.so.1 through pynvml. What a driver or a GPU cannot tell (an old driver, a GPU in MIG mode, no right to
ask) is None, and is not asked again until `forget`; a GPU that is gone raises GpuLost, a driver that is gone NvmlGone.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path
from typing import Any

LIBRARY = "libnvidia-ml.so.1"
# Numbers of NVML's return codes: their names are in the binding, which is not loaded yet.
_UNINITIALIZED, _NOT_SUPPORTED, _NO_PERMISSION, _FUNCTION_NOT_FOUND = 1, 3, 4, 13
_DRIVER_NOT_LOADED, _GPU_IS_LOST, _RESET_REQUIRED, _VERSION_MISMATCH, _GPU_NOT_FOUND = 9, 15, 16, 18, 28
_NEVER = {_NOT_SUPPORTED, _NO_PERMISSION, _FUNCTION_NOT_FOUND}
_GONE = {
    _UNINITIALIZED: "it was closed",
    _DRIVER_NOT_LOADED: "the driver is not loaded",
    _VERSION_MISMATCH: "the driver is another version than the library that was loaded; the agent has to be restarted",
}
_LOST = {
    _GPU_IS_LOST: "it has fallen off the bus or cannot be reached",
    _RESET_REQUIRED: "it has to be reset",
    _GPU_NOT_FOUND: "it is not there any more",
}


class NvmlGone(Exception):  # noqa: N818 - a condition of the node, mapped before anybody else sees it
    """The driver cannot be asked; str() says why. `is_serious`: nobody else on this node can use it, either."""

    def __init__(self, why: str, *, is_serious: bool) -> None:
        super().__init__(why)
        self.is_serious = is_serious


class GpuLost(Exception):  # noqa: N818
    """One GPU cannot be asked any more; str() says why."""


def is_installed() -> bool:
    """Whether this system has the driver's library. Costs a failing dlopen where it has not, and loads nothing then."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


class Nvml:
    """NVML between `open` and `close`; belongs to one thread, and each call may hang as long as the driver does."""

    def __init__(self) -> None:
        self.binding: Any = None
        self._never: set[tuple[object, str]] = set()

    def open(self) -> None:
        """Raises NvmlGone."""
        import pynvml  # 3 MB that no node without a GPU pays for

        try:
            pynvml.nvmlInit()
        except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as error:
            raise _not_open(getattr(error, "value", _FUNCTION_NOT_FOUND)) from error
        self.binding = pynvml

    def close(self) -> None:
        """Gives the driver back. What fails on the way was closed already."""
        if self.binding is not None:
            with suppress(self.binding.NVMLError, self.binding.NVMLLibraryMismatchError):
                self.binding.nvmlShutdown()
            self.binding = None
        self.forget()

    def forget(self) -> None:
        """Ask again for what could not be told: modes of GPUs are changed while they run."""
        self._never.clear()

    def ask(self, key: object, names: tuple[str, ...], *arguments: Any) -> Any:
        """What the first of the functions `names` tells that this driver has, newest first; None where none does.

        `key` names the GPU: what one cannot tell another one may.
        """
        for name in names:
            if (key, name) in self._never:
                continue
            function = getattr(self.binding, name, None)
            if function is None:  # of another version of the binding
                continue
            try:
                return function(*arguments)
            except self.binding.NVMLLibraryMismatchError:  # the binding's other word for a function that is not there
                self._never.add((key, name))
            except self.binding.NVMLError as error:
                self._take(key, name, error.value)
        return None

    def _take(self, key: object, name: str, code: int) -> None:
        if code in _GONE:
            raise NvmlGone(_GONE[code], is_serious=True)
        if code in _LOST:
            raise GpuLost(_LOST[code])
        if code in _NEVER:
            self._never.add((key, name))


def _not_open(code: int) -> NvmlGone:
    if code == _DRIVER_NOT_LOADED and not has_gpu():
        return NvmlGone("", is_serious=False)  # the library of a system that is made for machines with and without GPUs
    if code == _FUNCTION_NOT_FOUND:
        return NvmlGone("the driver is too old; it has to be R400 or later", is_serious=False)
    return NvmlGone(_GONE.get(code) or f"NVML cannot be opened (its error {code})", is_serious=code in _GONE)


def has_gpu(devices: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Whether one of NVIDIA's is on this machine's bus, with or without a driver."""
    return any(
        _word(device / "vendor") == "0x10de" and _word(device / "class").startswith("0x03") for device in devices.glob("*")
    )


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
