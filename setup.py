"""The build's one step that pyproject.toml cannot say: a wheel holds the web page, which is built where it is not there yet.

Reads whether collector/static is there; writes it by tools/build_studio.sh. An editable install needs neither it nor Node.
"""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SCRIPT = ROOT / "tools/build_studio.sh"


class BuildWithStudio(build_py):
    """Builds the page, then copies packages as ever."""

    def run(self) -> None:
        if not self.editable_mode and not (ROOT / "collector/static/index.html").is_file():
            _build_page()
        super().run()


def _build_page() -> None:
    is_built = False
    if SCRIPT.is_file():
        environ = os.environ | {"PYTHON": sys.executable}
        is_built = subprocess.run(["sh", str(SCRIPT)], env=environ, check=False).returncode == 0
    if not is_built:
        raise SystemExit(
            "runyard: the wheel needs the web page in collector/static, and tools/build_studio.sh could not build it;"
            " `make studio` in a checkout does, and says what is missing"
        )


setup(cmdclass={"build_py": BuildWithStudio})
