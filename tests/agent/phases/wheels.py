"""Small Python packages for tests, made here, so that pip and uv need no network."""

from __future__ import annotations

import zipfile
from pathlib import Path

# A build backend that says that it has begun, and then waits until it is let go.
_SLOW_BACKEND = """
import os, pathlib, sys, time
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    here = pathlib.Path.cwd() / ".state"
    (here / "begun").write_text(str(os.getpid()))
    deadline = time.monotonic() + 120  # a test that failed leaves nobody who would let it go
    while not (here / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    sys.path.insert(0, {tests!r})
    from tests.agent.phases.wheels import make_wheel
    return make_wheel(pathlib.Path(wheel_directory), "slow", "1.0").name
"""
_ROOT = Path(__file__).parents[3]


def make_wheel(folder: Path, name: str, version: str, *, requires: tuple[str, ...] = (), size_bytes: int = 0) -> Path:
    """A wheel with one module, which holds its VERSION; `size_bytes` of noise in it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {one}" for one in requires)]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        if size_bytes:
            wheel.writestr(f"{name}_data.bin", b"\0" * size_bytes)
        wheel.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


class SlowPackage:
    """A project whose build waits until `let_go`; its requirement line is its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".state").mkdir(parents=True)
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "slow"\nversion = "1.0"\n'
        )
        (folder / "backend.py").write_text(_SLOW_BACKEND.format(tests=str(_ROOT)))

    @property
    def has_begun(self) -> bool:
        """Whether a build has come to the point where it waits."""
        return (self.folder / ".state/begun").exists()

    def let_go(self) -> None:
        """Builds no longer wait."""
        (self.folder / ".state/go").touch()
