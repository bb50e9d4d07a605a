"""docker builds images as well, where its engine runs; podman pulls and runs them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.phases.image_place import Place, details, place_of_a_test  # noqa: F401
from tests.podman_site import PodmanSite, docker_engine, missing, podman_site  # noqa: F401
from tests.waiting import wait_for

pytestmark = pytest.mark.needs_system("docker.io podman runc docker-registry busybox-static")


@pytest.fixture
def docker(tmp_path: Path, podman_site: PodmanSite) -> Iterator[dict[str, str]]:  # noqa: F811
    """A docker engine of this test's own; the environment of its clients."""
    if reason := missing(("docker", "dockerd")):
        pytest.skip(reason)
    # A socket's path may not be longer than 107 bytes, and what an engine keeps is large.
    folder = Path(tempfile.mkdtemp(prefix="docker-site-"))
    try:
        with docker_engine(folder, podman_site.registry) as environ:
            yield environ
    finally:
        shutil.rmtree(folder)


def test_docker_builds_where_its_engine_runs_and_podman_pulls_it(place: Place, docker: dict[str, str]) -> None:
    run = place.run(builder="docker", environ=docker)
    data = run.done("image")
    assert "\nstep-has-run\n" in run.image_log()
    assert details(run)["digest"] == data["image"].rpartition("@")[2]
    image = run.done("execution")["image"]
    assert place.site.podman("run", "--rm", image, "cat", "/here") == str(place.folder)
    assert place.run(builder="docker", environ=docker).done("image") == data | {"is_built": False}

    run = place.run(builder="docker", environ=docker, registry="")
    assert "set environment.registry, from where podman can pull" in run.failed("image")


def test_a_cancel_ends_what_docker_builds(place: Place, docker: dict[str, str]) -> None:
    place.context_with(f"RUN echo step-has-begun; exec {place.endless_step}")
    run = place.run(builder="docker", environ=docker)
    with run.started("image") as process:
        wait_for(lambda: "step-has-begun" in run.image_log(), "the build")
        run.cancel()
        process.wait(30)
    assert run.result("image")["result"] == "canceled"
    wait_for(lambda: not place.sleepers(), "the end of the step, which the engine sees to")
