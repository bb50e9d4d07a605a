"""Builds the Debian package: this project and what it depends on, as they are in the environment that runs this tool.

Reads from the checkout and from that environment, writes dist/runyard_<version>_<architecture>.deb. It installs without a
network on a system with the same Python as the environment's (3.11: Debian 12).

What dpkg unpacks to /opt/runyard/package is linked by postinst to /opt/runyard/<build>, from where everything runs: an upgrade
replaces no file of a process that lives, and the folder of a build stays while a run of it does.
"""

from __future__ import annotations

import argparse
import compileall
import gzip
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
HOME = "/opt/runyard"
SCRIPTS = ("postinst", "prerm", "postrm")
CONTROL = """\
Package: runyard
Version: {version}
Architecture: {architecture}
Maintainer: Runyard maintainers <maintainers@runyard.invalid>
Installed-Size: {kilobytes}
Depends: libc6 (>= 2.28), python3 (>= {major}.{minor}), python3 (<< {major}.{after})
Recommends: systemd, podman
Section: science
Priority: optional
Description: compute-cluster node agent and log collector for training runs
 Runs training commands on the nodes of a cluster, keeps their logs byte for
 byte and ships them live to a collector. With the services runyard-agent and
 runyard-collector, neither of which is started by the package.
"""


def main() -> int:
    """Builds it; prints its path."""
    parser = argparse.ArgumentParser(description="Build the Debian package.")
    parser.add_argument("--revision", default="1", help="of the package, behind the version")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the package")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="runyard-deb-") as folder:
        stage = Path(folder, "stage")
        stage.mkdir(mode=0o755)
        _fill(stage)
        print(_pack(stage, args.out, f"{_own().version}-{args.revision}"))
    return 0


def _own() -> Distribution:
    return distribution("runyard")


def _fill(stage: Path) -> None:
    """Everything that the package holds."""
    home = stage / HOME[1:] / "package"
    site = home / "lib" / PYTHON / "site-packages"
    site.mkdir(parents=True)
    _copy_project(site)
    for part in _needed():
        _copy_distribution(part, site)
    build = f"{_own().version}-{_digest(site)}"
    (home / "build").write_text(build + "\n")
    _make_environment(home, f"{HOME}/{build}")
    compileall.compile_dir(
        site, quiet=1, workers=0, stripdir=str(home), prependdir=f"{HOME}/{build}",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip
    _copy_system_files(stage)


def _copy_project(site: Path) -> None:
    """Our own packages, whose folders `agent`, `collector` and `systemd` are links in the checkout."""
    shutil.copytree(ROOT / "runyard", site / "runyard", ignore=shutil.ignore_patterns("__pycache__"))


def _needed() -> list[Distribution]:
    """What the project depends on, and what that depends on; S3 is a part of it."""
    found: dict[str, Distribution] = {}
    open_ends = [Requirement(text) for text in _own().requires or []]
    open_ends = [one for one in open_ends if one.marker is None or one.marker.evaluate({"extra": "s3"})]
    while open_ends:
        wanted = open_ends.pop()
        if wanted.name in found:
            continue
        found[wanted.name] = distribution(wanted.name)
        for text in found[wanted.name].requires or []:
            next_one = Requirement(text)
            if next_one.marker is None or any(next_one.marker.evaluate({"extra": extra}) for extra in {"", *wanted.extras}):
                open_ends.append(next_one)
    return list(found.values())


def _copy_distribution(part: Distribution, site: Path) -> None:
    """Its files, but for its commands and what was compiled here."""
    for path in part.files or []:
        if path.parts[0] == ".." or "__pycache__" in path.parts or path.name in ("RECORD", "INSTALLER", "REQUESTED"):
            continue
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.locate(), target)


def _digest(site: Path) -> str:
    """Twelve digits that stand for the content of the folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in site.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(site)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _make_environment(home: Path, place: str) -> None:
    """What makes the folder a virtual environment at `place`, with the one command."""
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to(f"/usr/bin/{PYTHON}")
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    command = home / "bin/runyard"
    command.write_text(f"#!{place}/bin/python3 -sP\nimport sys\n\nfrom runyard.cli import main\n\nsys.exit(main())\n")
    command.chmod(0o755)


def _copy_system_files(stage: Path) -> None:
    units, documents = stage / "lib/systemd/system", stage / "usr/share/doc/runyard"
    for folder in (units, documents, stage / "usr/bin"):
        folder.mkdir(parents=True)
    for unit in (*ROOT.glob("systemd/*.service"), *ROOT.glob("systemd/*.slice")):
        shutil.copyfile(unit, units / unit.name)
    for kind in ("sysusers.d", "tmpfiles.d"):
        shutil.copytree(ROOT / "systemd" / kind, stage / "usr/lib" / kind)
    shutil.copytree(ROOT / "docs", documents / "docs", ignore=shutil.ignore_patterns("decisions", "*.png"))
    _write_manual(stage / "usr/share/man")
    _write_completion(stage / "usr/share")
    shutil.copyfile(ROOT / "LICENSE", documents / "copyright")
    with gzip.GzipFile(documents / "changelog.gz", "wb", mtime=0) as changelog:
        changelog.write((ROOT / "CHANGELOG.md").read_bytes())
    (stage / "usr/bin/runyard").symlink_to(f"{HOME}/current/bin/runyard")


def _write_manual(folder: Path) -> None:
    """The manual's pages, compressed as Debian has them."""
    with tempfile.TemporaryDirectory() as plain:
        subprocess.run([sys.executable, str(ROOT / "tools/make_manual.py"), plain], check=True)
        for page in sorted(Path(plain).iterdir()):
            place = folder / f"man{page.suffix[1:]}"
            place.mkdir(parents=True, exist_ok=True)
            with gzip.GzipFile(place / f"{page.name}.gz", "wb", mtime=0) as compressed:
                compressed.write(page.read_bytes())


def _write_completion(share: Path) -> None:
    """Where each shell looks by itself."""
    places = {
        "bash": "bash-completion/completions/runyard",
        "zsh": "zsh/vendor-completions/_runyard",
        "fish": "fish/vendor_completions.d/runyard.fish",
    }
    for shell, place in places.items():
        (share / place).parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "runyard", "completion", shell]
        (share / place).write_text(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def _pack(stage: Path, out: Path, version: str) -> Path:
    """The package of what is staged."""
    kilobytes = sum(path.lstat().st_size for path in stage.rglob("*") if not path.is_dir()) // 1024
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    fields = {"version": version, "architecture": architecture, "kilobytes": kilobytes}
    fields |= {"major": sys.version_info.major, "minor": sys.version_info.minor, "after": sys.version_info.minor + 1}
    control = stage / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(CONTROL.format(**fields))
    for name in SCRIPTS:
        shutil.copyfile(ROOT / "tools/debian" / name, control / name)
        (control / name).chmod(0o755)
    # Whatever umask this runs with, everybody may read what is installed.
    subprocess.run(["chmod", "-R", "u=rwX,go=rX", str(stage)], check=True)
    package = out / f"runyard_{version}_{architecture}.deb"
    build = ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z10", "--build", str(stage), str(package)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"LC_ALL": "C.UTF-8"})
    return package


if __name__ == "__main__":
    sys.exit(main())
