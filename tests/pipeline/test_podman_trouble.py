"""A podman that is slow, hangs, or knows containers of other people: the run ends, and nothing foreign is touched."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from runyard import names
from runyard.agent import container
from tests.agent.phased_runs import PhasedRun, is_there, script
from tests.podman_site import PodmanSite
from tests.waiting import wait_for

from .conftest import PhasedFactory

pytestmark = pytest.mark.needs_system("podman runc docker-registry busybox-static")


@pytest.fixture(scope="module")
def image(podman_site: PodmanSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image in the site's registry, its name with the digest."""
    digest = podman_site.push_new("trouble:1", tmp_path_factory.mktemp("context"))
    return f"{podman_site.registry}/trouble@{digest}"


def podman_that(folder: Path, before_run: str) -> str:
    """A PATH on which podman does something before it starts the driver's container."""
    real = shutil.which("podman")
    tools = folder / "tools"
    tools.mkdir()
    (tools / "podman").write_text(f'#!/bin/sh\ncase " $* " in *" --detach "*) {before_run};; esac\nexec {real} "$@"\n')
    (tools / "podman").chmod(0o755)
    return f"{tools}:{os.environ['PATH']}"


def contained(phased: PhasedFactory, image: str, *command: str, path: str = "", flags: str = "") -> PhasedRun:
    run = phased(f'[environment]\nimage = "{image}"\n{flags}', *command)
    if path:
        run.env["PATH"] = path
    return run


def name_of(run: PhasedRun) -> str:
    return container.name_of(run.json(names.RUN_FILE))


def test_a_start_that_hangs_is_ended_by_a_cancel(
    phased: PhasedFactory, podman_site: PodmanSite, image: str, tmp_path: Path
) -> None:
    run = contained(phased, image, "true", path=podman_that(tmp_path, "exec sleep 3600"))
    run.begin()
    run.wait_phase("driver")
    assert run.process is not None
    run.process.send_signal(signal.SIGINT)
    assert run.finish()["status"] == "Canceled"
    wait_for(lambda: not run.leftovers(), "no process of the run is left")
    assert podman_site.containers() == []


def test_a_start_that_hangs_is_ended_at_the_drivers_time_limit(
    phased: PhasedFactory, podman_site: PodmanSite, image: str, tmp_path: Path
) -> None:
    limit = '[limits]\ndriver = "1s"\n'
    run = contained(phased, image, "true", path=podman_that(tmp_path, "exec sleep 3600"), flags=limit)
    assert run.complete().returncode == 124
    assert run.state()["status"] == "Failed"
    assert podman_site.containers() == []


def test_a_capture_that_is_killed_while_podman_starts_is_followed_by_one_that_starts_the_driver_once(
    phased: PhasedFactory, podman_site: PodmanSite, image: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    run = contained(phased, image, *script("echo ran"), path=podman_that(tmp_path, is_there(gate)))
    run.begin()
    run.wait_phase("driver")
    capture = wait_for(run.capture_pid, "a capture")
    wait_for(lambda: run.text("55").count("runs in the container") == 1, "podman's start")
    os.kill(capture, signal.SIGKILL)
    wait_for(lambda: run.capture_pid() != capture, "another capture")
    gate.touch()
    assert run.finish()["status"] == "Completed"
    assert run.log() == b"ran\n"
    assert podman_site.containers() == []


def test_a_container_that_was_made_and_never_started_is_replaced(
    phased: PhasedFactory, podman_site: PodmanSite, image: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    run = contained(phased, image, *script("echo ran"), path=podman_that(tmp_path, is_there(gate)))
    run.begin()
    run.wait_phase("driver")
    capture = wait_for(run.capture_pid, "a capture")
    podman_site.podman("pull", image)
    mark = run.json(names.RUN_FILE)["mark"]
    podman_site.podman("create", f"--label=runyard.mark={mark}", f"--name={name_of(run)}", image, "true")
    os.kill(capture, signal.SIGKILL)
    wait_for(lambda: run.capture_pid() != capture, "another capture")
    gate.touch()
    assert run.finish()["status"] == "Completed"
    assert run.log() == b"ran\n"


def test_a_driver_whose_container_is_removed_by_hand_has_failed_for_that(
    phased: PhasedFactory, podman_site: PodmanSite, image: str, tmp_path: Path
) -> None:
    run = contained(phased, image, *script(is_there(tmp_path / "never")))
    run.start()
    podman_site.podman("rm", "--force", "--time=0", name_of(run))
    state = run.finish()
    assert state["status"] == "Failed"
    # podman may or may not have written down that it was killed before it forgot it.
    assert state["cause"] in (
        "killed by SIGKILL",
        f"its exit code is lost: podman does not know the container {name_of(run)} any more",
    )
