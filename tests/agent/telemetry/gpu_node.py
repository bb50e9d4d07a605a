"""A node with pretend GPUs: a stand-in for NVIDIA's library, compiled here, and a sampler that loads it as the real one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_SOURCE = Path(__file__).with_name("fake_nvml.c")


def build(folder: Path, *flags: str) -> Path:
    """The folder of a library of that name; skips where there is no compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("needs_system(gcc): the stand-in for NVML cannot be compiled")
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-Wall", "-Werror", "-shared", "-fPIC", *flags, "-o", str(library), str(_SOURCE)], check=True)
    return folder


class GpuNode:
    """A sampler process; `library` None: a node without NVIDIA's library."""

    def __init__(
        self, folder: Path, library: Path | None, *, kernel_log: Path | None = None, spool: Path | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.spool = spool or folder / "spool"
        self.spool.mkdir(exist_ok=True)
        self._wishes, self._errors = folder / "wishes", folder / "said"
        env = dict(os.environ) | {"FAKE_NVML": str(self._wishes)} | ({"LD_LIBRARY_PATH": str(library)} if library else {})
        argv = [sys.executable, "-m", "tests.agent.telemetry.looker", str(self.spool), str(kernel_log or folder / "no log")]
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)

    def __enter__(self) -> GpuNode:
        return self

    def __exit__(self, *raised: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            assert self._process.wait(10) == 0
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def wish(self, **numbers: int) -> None:
        """What the library tells from now on; what is not named is as at first."""
        fresh = self._wishes.with_suffix(".new")
        fresh.write_text("".join(f"{name}={number}\n" for name, number in numbers.items()))
        fresh.rename(self._wishes)

    def look(self) -> dict[str, Any]:
        """All that looker.py tells after one more sample."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def sample(self) -> dict[str, float]:
        """The sample of one more look."""
        sample: dict[str, float] = self.look()["sample"]
        return sample

    def said(self) -> list[str]:
        """Its sentences for the log."""
        return self._errors.read_text().splitlines()
