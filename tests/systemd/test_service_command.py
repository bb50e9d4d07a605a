"""`runyard service` without a systemd: into an image that is being made, and what it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runyard import configuration
from runyard.cli import service_files
from runyard.errors import ConfigError

Service = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our command in a folder that is in nobody's home, wherever this checkout lies: the environment's own, by links."""
    venv, place = Path(sys.prefix), tmp_path_factory.mktemp("installed")
    (place / "bin").mkdir()
    (place / "bin/python3").symlink_to(venv / "bin/python3")
    (place / "lib").symlink_to(venv / "lib")
    shutil.copyfile(venv / "pyvenv.cfg", place / "pyvenv.cfg")
    script = place / "bin/runyard"
    script.write_text(f"#!{place}/bin/python3\nimport sys\n\nfrom runyard.cli import main\n\nsys.exit(main())\n")
    script.chmod(0o755)
    return script


@pytest.fixture
def service(command: Path) -> Service:
    """The verb, on this machine or in an image (`root`)."""

    def call(*words: str, root: Path | None = None) -> subprocess.CompletedProcess[str]:
        argv = [str(command), "service", *words, *(["--root", str(root)] if root else [])]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
        return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=30, check=False)

    return call


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_the_agent_goes_into_an_image_with_its_settings_and_its_token_and_comes_out_again(
    service: Service, command: Path, tmp_path: Path
) -> None:
    image, token = tmp_path / "image", tmp_path / "token"
    image.mkdir()
    token.write_text("join-me\n")
    wanted = ["--collector", "http://collector:8750", "--join-token-file", str(token)]
    done = service("install", "agent", *wanted, root=image)
    assert (done.returncode, done.stderr) == (0, "")
    unit = image / "etc/systemd/system/runyard-agent.service"
    assert f"ExecStart={command} agent --config /etc/runyard/agent.toml" in unit.read_text()
    loaded = configuration.load(config_file=str(image / "etc/runyard/agent.toml"), environ={})
    assert loaded.client.collector_url == "http://collector:8750"
    kept = image / "etc/credstore/runyard.join"
    assert (kept.read_text(), kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == ("join-me\n", 0o600, 0o700)
    assert service("install", "agent", *wanted, root=image).returncode == 0
    assert service("uninstall", "agent", root=image).returncode == 0
    assert files_below(image) == {"etc/runyard/agent.toml"}  # the administrator's


def test_what_both_services_need_stays_until_the_last_one_goes(service: Service, tmp_path: Path) -> None:
    for name in ("agent", "collector"):
        assert service("install", name, root=tmp_path).returncode == 0
    shared = set(service_files.SHARED.values())
    service("uninstall", "agent", root=tmp_path)
    assert shared < files_below(tmp_path)
    service("uninstall", "collector", root=tmp_path)
    assert not shared & files_below(tmp_path)


def test_settings_that_an_administrator_has_changed_stay_as_they_are(service: Service, tmp_path: Path) -> None:
    settings = tmp_path / "etc/runyard/agent.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('[client]\ncollector_url = "http://one:1"\n')
    assert service("install", "agent", "--collector", "http://one:1", root=tmp_path).returncode == 0
    done = service("install", "agent", "--collector", "http://two:2", root=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr
        == f'runyard: {settings} is there already and does not say collector_url = "http://two:2"; change it there\n'
    )
    assert settings.read_text() == '[client]\ncollector_url = "http://one:1"\n'


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["install", "collector", "--collector", "http://c:1"], "--collector has no meaning for install collector"),
        (["uninstall", "agent", "--collector", "http://c:1"], "--collector has no meaning for uninstall agent"),
        (["install", "collector", "--port", "70000"], "--port: 70000 is no port; 1 to 65535"),
        (["install", "agent", "--collector", "ftp://c"], "ftp://c"),
        (
            ["install", "agent", "--join-token-file", "/none"],
            "/none cannot be read as a join token; `runyard clusters token NAME`",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(service: Service, words: list[str], sentence: str, tmp_path: Path) -> None:
    done = service(*words, root=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert sentence in done.stderr
    assert files_below(tmp_path) == set()


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs this machine")
def test_a_machine_without_systemd_is_told_so(service: Service) -> None:
    done = service("install", "agent")
    assert done.returncode == 2
    assert done.stderr.startswith("runyard: systemd does not run this machine")


def test_a_command_that_no_unit_could_start_is_refused(tmp_path: Path) -> None:
    odd = tmp_path / "a b"
    odd.write_text("#!/bin/sh\n")
    odd.chmod(0o755)
    for command, sentence in ((str(tmp_path / "none"), "is no command"), (str(odd), "has characters that a unit")):
        with pytest.raises(ConfigError, match=sentence):
            service_files.check_command(command, service_files.SERVICES["agent"])
