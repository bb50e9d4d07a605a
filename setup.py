"""The build's steps that pyproject.toml cannot say. Wheel and source distribution hold the web page and the notebook's widget,
which are built where they are not there yet; a wheel brings the manual's pages, too, made from the command's own words.

Reads whether page and widget are there; writes them by tools/build_studio.sh, and the pages by tools/make_manual.py into
build/. An editable install needs neither page nor widget nor Node.
"""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

from distutils.command.install_data import install_data  # isort: skip - it is there once setuptools has been loaded

ROOT = Path(__file__).parent
BUILT = ("collector/static/index.html", "runyard/widgets/static/widget.js")
SCRIPT = ROOT / "tools/build_studio.sh"
MANUAL = Path("build/manual")


class BuildWithStudio(build_py):
    """Builds page and widget, then copies packages as ever."""

    def run(self) -> None:
        if not self.editable_mode:
            _have_page()
        super().run()


class SdistWithStudio(sdist):
    """Builds page and widget first: what is built from it needs no Node."""

    def run(self) -> None:
        _have_page()
        super().run()


class InstallWithManual(install_data):
    """Makes the manual's pages and takes them along."""

    def run(self) -> None:
        subprocess.run([sys.executable, "tools/make_manual.py", str(MANUAL)], cwd=ROOT, check=True)
        pages = sorted((ROOT / MANUAL).iterdir())
        self.data_files = [
            (f"share/man/man{section}", [str(MANUAL / page.name) for page in pages if page.suffix == f".{section}"])
            for section in (1, 5)
        ]
        super().run()


def _have_page() -> None:
    if all((ROOT / path).is_file() for path in BUILT):
        return
    is_built = False
    if SCRIPT.is_file():
        environ = os.environ | {"PYTHON": sys.executable}
        is_built = subprocess.run(["sh", str(SCRIPT)], env=environ, check=False).returncode == 0
    if not is_built:
        raise SystemExit(
            "runyard: the wheel needs the web page in collector/static and the widget in runyard/widgets/static, and"
            " tools/build_studio.sh could not build them; `make studio` in a checkout does, and says what is missing"
        )


setup(
    cmdclass={"build_py": BuildWithStudio, "install_data": InstallWithManual, "sdist": SdistWithStudio},
    data_files=[("share/man/man1", [])],  # not empty, so that install_data is called
)
