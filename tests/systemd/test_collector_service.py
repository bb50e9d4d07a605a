"""The package on a booted node: the collector as a service, from the installation to the removal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd_site import NEEDS_NODES, Machine, booted
from tests.waiting import wait_for

UNIT = "runyard-collector.service"
TOKEN = "/var/lib/runyard-collector/admin.token"
pytestmark = [*NEEDS_NODES, pytest.mark.timeout(300)]


@pytest.fixture
def machine(package: Path) -> Iterator[Machine]:
    """A node with the package, and nothing else of ours."""
    with booted(1) as (one,):
        install(one, package)
        yield one


def install(machine: Machine, package: Path) -> None:
    """As an administrator does who has the file and no network."""
    shutil.copyfile(package, machine.path("/root/runyard.deb"))
    machine.run("dpkg", "--force-unsafe-io", "--install", "/root/runyard.deb")


def runyard(machine: Machine, *words: str) -> str:
    """A command of a user on that node, who has the administrator's token."""
    token = machine.path(TOKEN).read_text().strip()
    return machine.run("runyard", *words, env={"RUNYARD_COLLECTOR_URL": "http://127.0.0.1:8750", "RUNYARD_TOKEN": token})


def restarts(machine: Machine) -> int:
    return int(machine.property(UNIT, "NRestarts"))


def step_a_package_alone_starts_nothing_and_the_command_is_there(machine: Machine) -> None:
    assert machine.run("runyard", "--version").startswith("runyard ")
    assert machine.property(UNIT, "ActiveState") == "inactive"
    assert machine.attempt("systemctl", "is-enabled", UNIT).stdout.strip() == "disabled"
    brought = machine.run("dpkg", "--listfiles", "runyard").splitlines()
    for path in (
        "man/man1/runyard-run.1.gz",
        "man/man5/runyard.toml.5.gz",
        "bash-completion/completions/runyard",
        "zsh/vendor-completions/_runyard",
        "fish/vendor_completions.d/runyard.fish",
    ):
        assert f"/usr/share/{path}" in brought


def step_one_command_starts_the_collector_and_says_so_again(machine: Machine) -> None:
    for _ in range(2):
        said = machine.run("runyard", "service", "install", "collector", "--host", "0.0.0.0", "--port", "8750")
        assert f"{UNIT} runs, and starts with the machine" in said
    assert machine.property(UNIT, "ActiveState") == "active"  # Type=notify: it serves
    assert machine.property(UNIT, "StatusText") == "serving http://0.0.0.0:8750"
    assert json.loads(runyard(machine, "ps", "-o", "json"))["runs"] == []
    other = machine.attempt("runyard", "service", "install", "collector", "--port", "9000")
    assert other.returncode == 2
    assert other.stderr.strip().endswith("is there already and does not say port = 9000; change it there")


def step_its_files_are_its_own(machine: Machine) -> None:
    pid = machine.property(UNIT, "MainPID")
    user = machine.run("ps", "-o", "user=", "-p", pid).strip()
    assert user == "runyard"
    assert machine.run("stat", "-c", "%U %a", TOKEN).split() == ["runyard", "600"]
    assert machine.run("stat", "-c", "%U %G %a", "/etc/runyard/collector.toml").split() == ["root", "runyard", "640"]


def step_a_collector_that_hangs_is_ended_and_started_again(machine: Machine) -> None:
    # As in the unit, but quicker.
    machine.write(f"/run/systemd/system/{UNIT}.d/quick.conf", "[Service]\nWatchdogSec=900ms\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    before, pid = restarts(machine), machine.property(UNIT, "MainPID")
    machine.run("kill", "-STOP", pid)
    wait_for(lambda: restarts(machine) > before and machine.property(UNIT, "ActiveState") == "active", "it serves again")
    assert machine.property(UNIT, "MainPID") != pid
    words = machine.journal(UNIT)
    assert "Watchdog timeout" in words
    assert "Fatal Python error: Aborted" in words  # and then where it hung
    assert "/runyard/collector/main.py" in words
    runyard(machine, "ps")
    machine.path(f"/run/systemd/system/{UNIT}.d/quick.conf").unlink()
    machine.run("systemctl", "daemon-reload")


def step_a_collector_that_is_killed_is_started_again_and_the_journal_has_its_words(machine: Machine) -> None:
    before = restarts(machine)
    machine.run("systemctl", "kill", "--signal", "KILL", "--kill-who", "main", UNIT)
    wait_for(lambda: restarts(machine) > before and machine.property(UNIT, "ActiveState") == "active", "it serves again")
    events = [json.loads(line)["event"] for line in machine.journal(UNIT).splitlines() if line.startswith("{")]
    assert events.count("ready") >= 4


def step_bad_settings_stop_it_with_a_sentence_in_the_journal(machine: Machine) -> None:
    settings = machine.path("/etc/runyard/collector.toml")
    text = settings.read_text()
    settings.write_text(text + "prot = 1\n")
    done = machine.attempt("runyard", "service", "install", "collector")
    settings.write_text(text)
    assert done.returncode == 1
    assert done.stderr.startswith("runyard: systemctl restart runyard-collector.service failed: ")
    assert done.stderr.strip().endswith(f"journalctl -u {UNIT} tells why")
    assert "unknown key collector.prot; did you mean 'port'?" in machine.journal(UNIT)
    machine.run("systemctl", "restart", UNIT)


def step_a_backup_while_it_serves_brings_a_run_back_after_its_disk_is_lost(machine: Machine) -> None:
    """As docs/operations.md says; sudo is not on this node."""
    data, backup = "/var/lib/runyard-collector", "/var/backups/runyard"
    where = ("--config", "/etc/runyard/collector.toml", "--data-dir", data)
    token = machine.path(TOKEN).read_text()
    environ = {"RUNYARD_COLLECTOR_URL": "http://127.0.0.1:8750", "RUNYARD_TOKEN": token.strip()}
    machine.run("env", "--chdir", "/root", "runyard", "run", "--run-id", "kept", "--", "echo", "kept", env=environ)
    machine.run("install", "-d", "-o", "runyard", "-g", "runyard", "-m", "700", backup)
    as_runyard = ["runuser", "-u", "runyard", "--", "runyard", "collector"]
    machine.run(*as_runyard, "backup", backup, *where)
    machine.run("systemctl", "stop", "runyard-collector")
    machine.run("mv", data, f"{data}.lost")
    machine.run("install", "-d", "-o", "runyard", "-g", "runyard", "-m", "700", data)
    machine.run(*as_runyard, "restore", backup, *where)
    machine.run("systemctl", "start", "runyard-collector")
    assert machine.path(TOKEN).read_text() == token
    assert runyard(machine, "verify", "kept").startswith("every byte of kept is what its nodes wrote")
    said = machine.run("runyard", "ship", "--again", "--collector", "http://127.0.0.1:8750", env=environ)
    assert said.startswith("there is nothing to send in ")


def step_stopping_it_is_clean_and_quick(machine: Machine) -> None:
    machine.run("systemctl", "stop", UNIT, limit_s=15)
    assert machine.property(UNIT, "Result") == "success"
    assert machine.property(UNIT, "ExecMainStatus") == "0"
    assert "stopping" in machine.journal(UNIT)


def step_what_is_installed_goes_and_the_data_stay(machine: Machine) -> None:
    machine.run("cp", "-a", "/opt/runyard/package", "/opt/venv")  # for the test behind this one
    said = machine.run("runyard", "service", "uninstall", "collector")
    assert "goes with the package" in said
    assert "/var/lib/runyard-collector" in said
    assert machine.attempt("systemctl", "is-enabled", UNIT).stdout.strip() == "disabled"
    machine.run("dpkg", "--purge", "runyard")
    left = machine.run(
        "sh", "-c", "ls -d /opt/runyard /etc/runyard /usr/bin/runyard /lib/systemd/system/runyard* 2>/dev/null; true"
    )
    assert left == ""
    assert machine.path(TOKEN).exists()


def step_without_a_package_the_command_brings_the_units_itself_and_takes_them_out(machine: Machine) -> None:
    command = "/opt/venv/bin/runyard"
    machine.write(command, f"#!/opt/venv/bin/python3 -sP\n{machine.path(command).read_text().partition(chr(10))[2]}", 0o755)
    machine.write("/etc/credstore/runyard.admin", "a-token-of-the-administrators-own-0123456789\n", 0o600)
    machine.run(command, "service", "install", "collector", "--no-start")
    settings = machine.path("/etc/runyard/collector.toml")
    settings.write_text(settings.read_text().replace("# token_file", "token_file"))
    machine.run(command, "service", "install", "collector")
    assert machine.property(UNIT, "FragmentPath") == f"/etc/systemd/system/{UNIT}"
    assert f"{command} collector" in machine.run("ps", "-o", "args=", "-p", machine.property(UNIT, "MainPID"))
    environ = {
        "RUNYARD_COLLECTOR_URL": "http://127.0.0.1:8750",
        "RUNYARD_TOKEN": "a-token-of-the-administrators-own-0123456789",
    }
    machine.run(command, "ps", env=environ)
    machine.run(command, "service", "uninstall", "collector")
    left = machine.run("sh", "-c", "ls /etc/systemd/system/runyard* /etc/sysusers.d /etc/tmpfiles.d 2>/dev/null; true")
    assert "runyard" not in left
    assert machine.property(UNIT, "LoadState") == "not-found"
    assert machine.run(command, "service", "uninstall", "collector") == f"{UNIT} is not installed\n"


def test_a_collector_from_the_installation_of_its_package_to_its_removal(machine: Machine) -> None:
    """Each step finds the node as the one before has left it."""
    step_a_package_alone_starts_nothing_and_the_command_is_there(machine)
    step_one_command_starts_the_collector_and_says_so_again(machine)
    step_its_files_are_its_own(machine)
    step_a_collector_that_hangs_is_ended_and_started_again(machine)
    step_a_collector_that_is_killed_is_started_again_and_the_journal_has_its_words(machine)
    step_bad_settings_stop_it_with_a_sentence_in_the_journal(machine)
    step_a_backup_while_it_serves_brings_a_run_back_after_its_disk_is_lost(machine)
    step_stopping_it_is_clean_and_quick(machine)
    step_what_is_installed_goes_and_the_data_stay(machine)
    step_without_a_package_the_command_brings_the_units_itself_and_takes_them_out(machine)
