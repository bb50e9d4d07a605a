"""Processes whose wall clock is off, by as much as a file says at each look: their monotonic clock stays as it is."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


def needs_compiler(test: Any) -> Any:
    """Marks a test that shifts clocks."""
    marked = pytest.mark.needs_system("gcc")(test)
    return pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")(marked)


@dataclass(frozen=True)
class ShiftedClock:
    """`environ` is for the processes whose clock is to be off."""

    library: Path
    file: Path

    @property
    def environ(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "SHIFT_FILE": str(self.file)}

    def shift(self, shift_s: int) -> None:
        """From now on the clock is off by so many seconds."""
        aside = self.file.with_suffix(".new")
        aside.write_text(str(shift_s))
        aside.rename(self.file)


def shifted_clock(folder: Path, shift_s: int = 0) -> ShiftedClock:
    """A clock that is off by `shift_s`; built in `folder`."""
    library = folder / "shifted_clock.so"
    source = Path(__file__).with_name("shifted_clock.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    clock = ShiftedClock(library, folder / "shift")
    clock.shift(shift_s)
    return clock
