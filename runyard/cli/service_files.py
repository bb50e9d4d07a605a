"""What a service of ours needs in the system's folders: its unit, its settings, its user, its join token.

Reads from the folder `systemd` of this package, writes below a root folder ("/", or an image that is being made).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import runyard
from runyard.atomic import write_bytes
from runyard.errors import ConfigError, InputError

# Where the units say that the command is; `install` puts in its place where it really is.
COMMAND = "/usr/bin/runyard"
SOURCES = Path(runyard.__file__).parent / "systemd"
# Where the units lie when a package of the distribution has brought them, and when we have.
PACKAGE_UNITS = "lib/systemd/system"
OWN_UNITS = "etc/systemd/system"
SETTINGS = "etc/runyard"
CREDENTIALS = "etc/credstore"
# Both services' own: file of ours -> where it goes.
SHARED = {
    "runyard.slice": f"{OWN_UNITS}/runyard.slice",
    "sysusers.d/runyard.conf": "etc/sysusers.d/runyard.conf",
    "tmpfiles.d/runyard.conf": "etc/tmpfiles.d/runyard.conf",
}
# What tmpfiles.d has of ours that is needed before the next boot.
MADE_AT_ONCE = ("/etc/runyard", "/var/lib/runyard-run")
# Folders that a service with ProtectHome=yes does not see.
_HIDDEN = ("/home/", "/root/", "/run/user/")


@dataclass(frozen=True, slots=True)
class Service:
    """One of the two."""

    name: str
    state: str  # where its data are, in words; no command of ours removes them

    @property
    def unit(self) -> str:
        """Its name for systemctl."""
        return f"runyard-{self.name}.service"

    @property
    def settings(self) -> str:
        """Its file of settings, relative to the root."""
        return f"{SETTINGS}/{self.name}.toml"


SERVICES = {
    "agent": Service("agent", "/var/lib/runyard and /var/lib/runyard-run"),
    "collector": Service("collector", "/var/lib/runyard-collector"),
}


def is_packaged(root: Path, service: Service) -> bool:
    """Whether a package of the distribution has brought the unit: then it is the package that takes it out again."""
    return (root / PACKAGE_UNITS / service.unit).exists()


def is_installed(root: Path, service: Service) -> bool:
    """Whether `install` has put the unit there."""
    return (root / OWN_UNITS / service.unit).exists()


def check_command(command: str, service: Service) -> None:
    """Raises ConfigError where no unit can start this command."""
    if not os.access(command, os.X_OK):
        raise ConfigError(f"{command} is no command; install the package (pip install runyard) and call the runyard it brings")
    if re.search(r"[^\w/.+@~-]", command):
        raise ConfigError(f"{command!r} has characters that a unit would have to quote; install the package in a plain folder")
    if service.name == "collector" and command.startswith(_HIDDEN):
        raise ConfigError(f"{command} lies in a home, which the collector's service does not see; install it below /opt")


def write_units(root: Path, service: Service, command: str) -> None:
    """The unit and what both services share, each whole or as it was."""
    texts = {service.unit: f"{OWN_UNITS}/{service.unit}"} | SHARED
    for source, target in texts.items():
        text = (SOURCES / source).read_text(encoding="utf-8")
        _write(root / target, text.replace(COMMAND, command), 0o644)


def remove_units(root: Path, service: Service) -> list[str]:
    """Takes out what `write_units` has put there, but for what the other service still needs; the paths that are gone."""
    targets = [f"{OWN_UNITS}/{service.unit}"]
    if not any(is_installed(root, other) for other in SERVICES.values() if other != service):
        targets += SHARED.values()
    there = [target for target in targets if (root / target).exists()]
    for target in there:
        (root / target).unlink()
    return [f"/{target}" for target in there]


def write_settings(root: Path, service: Service, wanted: Mapping[str, str | int]) -> bool:
    """The file of settings with the values that are wanted, where there is none or a package's; whether it was made.

    Another one is the administrator's: it is left as it is, and has to say what is wanted.
    """
    path = root / service.settings
    text = (SOURCES / path.name).read_text(encoding="utf-8")
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
        _check_settings(path, wanted)
        return False
    for key, value in wanted.items():
        text = re.sub(rf"(?m)^{key} = .*$", lambda _, key=key, value=value: f"{key} = {json.dumps(value)}", text)  # type: ignore[misc]
    _write(path, text, 0o640 if service.name == "collector" else 0o644)
    return True


def _check_settings(path: Path, wanted: Mapping[str, str | int]) -> None:
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None
    found = {key: value for section in document.values() if isinstance(section, dict) for key, value in section.items()}
    for key, value in wanted.items():
        if found.get(key) != value:
            raise InputError(f"{path} is there already and does not say {key} = {json.dumps(value)}; change it there")


def write_join_token(root: Path, source: Path) -> None:
    """Puts the token where the agent's unit finds it, and nobody but root reads it."""
    try:
        token = source.read_text(encoding="ascii").strip()
    except (OSError, ValueError):  # no "from": the error of a bad text quotes what it read
        raise ConfigError(f"{source} cannot be read as a join token; `runyard clusters token NAME` makes one") from None
    if not token or len(token.split()) > 1:
        raise ConfigError(f"{source} has to hold the join token alone; `runyard clusters token NAME` makes one")
    _write(root / CREDENTIALS / "runyard.join", token + "\n", 0o600)


def remove_join_token(root: Path) -> None:
    """What is secret does not stay behind."""
    (root / CREDENTIALS / "runyard.join").unlink(missing_ok=True)


def _write(path: Path, text: str, mode: int) -> None:
    for folder in reversed([path.parent, *path.parent.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700 if folder.name == "credstore" else 0o755)
    write_bytes(str(path), text.encode())  # 0600 until it is whole
    path.chmod(mode)
