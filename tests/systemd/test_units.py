"""The units as they are: systemd knows every word of them, and says how far each service is shut in."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runyard import configuration
from tests.systemd_site import ROOT

UNITS = ROOT / "systemd"
pytestmark = [
    pytest.mark.needs_system("systemd"),
    pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze not installed"),
]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """All units in one folder, with a command that is there."""
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.slice")):
        text = unit.read_text().replace("/usr/bin/runyard", "/usr/bin/true")
        (tmp_path / unit.name).write_text("\n".join(line for line in text.splitlines() if "Documentation=" not in line))
    return tmp_path


def exposure(unit: Path) -> float:
    """What `systemd-analyze security` gives, from 0 (shut in) to 10."""
    argv = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert match is not None, done.stdout
    return float(match[1])


@pytest.mark.parametrize("name", sorted(unit.name for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.slice"))))
def test_systemd_knows_every_word_of_a_unit(units: Path, name: str) -> None:
    argv = ["systemd-analyze", "verify", "--recursive-errors=one", f"./{name}"]
    done = subprocess.run(argv, cwd=units, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_collector_is_shut_in(units: Path) -> None:
    assert exposure(units / "runyard-collector.service") < 5.0


def test_each_hardening_that_the_agent_goes_without_has_its_reason_in_the_unit(units: Path) -> None:
    text = (UNITS / "runyard-agent.service").read_text()
    argv = ["systemd-analyze", "security", "--offline=yes", "--json=short", str(units / "runyard-agent.service")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    open_ones = {re.split(r"[=]", entry["name"])[0] for entry in json.loads(done.stdout) if entry["set"] is False}
    # What belongs to others of the same comment, and what says of files what UMask= says: those are made with their modes.
    covered = {"RootDirectory", "DynamicUser", "SupplementaryGroups", "Delegate", "RemoveIPC", "NotifyAccess", "UMask"}
    stems = re.findall(r"\b(\w+?)(\*?)=", text)
    missing = {name for name in open_ones - covered if not any(is_said(name, stem, star) for stem, star in stems)}
    assert missing == set()


def is_said(name: str, stem: str, star: str) -> bool:
    """Whether the comment's word names the setting, or the beginning of several."""
    return name == stem or (bool(star) and name.startswith(stem))


@pytest.mark.parametrize("name", ["agent", "collector"])
def test_the_settings_that_a_service_begins_with_are_right(name: str) -> None:
    loaded = configuration.load(config_file=str(UNITS / f"{name}.toml"), environ={"HOME": "/", "XDG_CONFIG_HOME": "/none"})
    assert (loaded.client.collector_url if name == "agent" else loaded.collector.host) != ""
