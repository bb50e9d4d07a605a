"""The build's one step that pyproject.toml cannot say: a wheel holds the web page and the notebook's widget, which are
built where they are not there yet.

Reads whether they are there; writes them by tools/build_studio.sh. An editable install needs neither them nor Node.
"""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
BUILT = ("collector/static/index.html", "runyard/widgets/static/widget.js")
SCRIPT = ROOT / "tools/build_studio.sh"


class BuildWithStudio(build_py):
    """Builds page and widget, then copies packages as ever."""

    def run(self) -> None:
        if not self.editable_mode and not all((ROOT / path).is_file() for path in BUILT):
            _build_page()
        super().run()


def _build_page() -> None:
    is_built = False
    if SCRIPT.is_file():
        environ = os.environ | {"PYTHON": sys.executable}
        is_built = subprocess.run(["sh", str(SCRIPT)], env=environ, check=False).returncode == 0
    if not is_built:
        raise SystemExit(
            "runyard: the wheel needs the web page in collector/static and the widget in runyard/widgets/static, and"
            " tools/build_studio.sh could not build them; `make studio` in a checkout does, and says what is missing"
        )


setup(cmdclass={"build_py": BuildWithStudio})
