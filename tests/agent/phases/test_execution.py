"""The image comes to the node by its digest, with podman's layer lines in 55 and every attempt numbered there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from runyard.agent.phases import gpus
from runyard.errors import PhaseError
from runyard.spec import CONTAINER, Environment, Resources, Retries, Spec
from tests.agent.phases.phase_run import PhaseRun
from tests.podman_site import PodmanSite, make_context, podman_site  # noqa: F401
from tests.waiting import wait_for

NEEDS_PODMAN = pytest.mark.needs_system("podman runc docker-registry busybox-static")


class Place:
    """A folder for runs, whose images are this test's own."""

    def __init__(self, folder: Path, site: PodmanSite) -> None:
        self.folder = folder
        self.site = site
        self.repository = f"test/{folder.name.lower()}"
        self.name = f"{site.registry}/{self.repository}"
        self._runs = 0

    def push(self, tag: str = "1") -> str:
        """Push a new image; its digest. This node does not keep it."""
        return self.site.push_new(f"{self.repository}:{tag}", self.folder / "context", f"RUN echo {self.folder} {tag} > /which")

    def run(self, image: str, *, retries: int = 0, gpu_count: str = "0", environ: Mapping[str, str] = {}) -> PhaseRun:
        """A new run in a ready image."""
        self._runs += 1
        spec = Spec(
            environment=Environment(kind=CONTAINER, image=image),
            resources=Resources(gpus=gpu_count),
            retries=Retries(execution=retries),
        )
        variables = self.site.environ | {"TMPDIR": str(self.folder)} | dict(environ)
        run_dir = self.folder / f"spool/run{self._runs}-{self.folder.name}"
        return PhaseRun(run_dir, spec, cache_dir=self.folder / "cache", environ=variables)


@pytest.fixture
def place(tmp_path: Path, podman_site: PodmanSite) -> Iterator[Place]:  # noqa: F811
    """A place, and the registry up."""
    yield Place(tmp_path, podman_site)
    podman_site.start_registry()
    assert not list(tmp_path.glob("runyard-*"))  # what pulls put there meanwhile


@NEEDS_PODMAN
def test_an_image_is_pulled_by_its_digest_with_its_layers_in_the_log(place: Place) -> None:
    image = f"{place.name}@{place.push()}"
    run = place.run(image)
    data = run.done("execution")
    assert data == {"image": image, "image_id": data["image_id"], "gpu_flags": []}
    assert f"Pulling {image}, attempt 1 of 1." in run.log()
    assert run.log().count("Copying blob sha256:") >= 2
    assert place.site.podman("run", "--rm", data["image"], "cat", "/which").startswith(str(place.folder))
    assert place.site.podman("image", "inspect", "--format", "{{.Id}}", image).strip() == data["image_id"]

    again = place.run(image)
    assert again.done("execution") == data
    assert f"The image {image} is on this node already" in again.log()
    assert "Copying blob" not in again.log()


@NEEDS_PODMAN
def test_a_tag_is_resolved_to_the_digest_that_it_means_now(place: Place) -> None:
    for content in ("first", "second"):
        digest = place.site.push_new(f"{place.repository}:moving", place.folder / "context", f"RUN echo {content} > /which")
        run = place.run(f"{place.name}:moving")
        image = run.done("execution")["image"]
        assert image == f"{place.name}@{digest}"
        assert f"{place.name}:moving is {image}." in run.log()
        assert place.site.podman("run", "--rm", image, "cat", "/which") == f"{content}\n"


@NEEDS_PODMAN
def test_the_tag_of_an_image_that_was_built_here_is_resolved_to_what_the_registry_has(place: Place) -> None:
    make_context(place.folder / "context", f"RUN echo {place.folder} > /which")
    place.site.podman("build", "--tag", f"{place.name}:1", str(place.folder / "context"))
    place.site.podman("push", "--digestfile", str(place.folder / "digest"), f"{place.name}:1")
    image = place.run(f"{place.name}:1").done("execution")["image"]
    assert image == f"{place.name}@{(place.folder / 'digest').read_text()}"


@NEEDS_PODMAN
@pytest.mark.parametrize("name", ["nowhere:1", "nowhere@sha256:" + "ab" * 32])
def test_an_image_that_does_not_exist_fails_at_once(place: Place, name: str) -> None:
    image = f"{place.site.registry}/{name}"
    run = place.run(image, retries=3)
    assert run.failed("execution") == (
        f"the image {image} does not exist (manifest unknown); check its registry, its name and its tag"
    )
    assert "attempt 2" not in run.log()


@NEEDS_PODMAN
@pytest.mark.parametrize("name", ["unqualified:1", "127.0.0.1/Upper:1"])
def test_a_name_that_leads_nowhere_fails_at_once(place: Place, name: str) -> None:
    run = place.run(name, retries=3)
    cause = run.failed("execution")
    assert f"the image {name} " in cause
    assert "did not resolve" in cause or "must be lowercase" in cause
    assert "attempt 2" not in run.log()


@NEEDS_PODMAN
def test_a_registry_that_is_down_is_tried_again_by_number_and_then_is_the_cause(place: Place) -> None:
    image = f"{place.site.other_registry}/x:1"
    run = place.run(image, retries=1)
    cause = run.failed("execution")
    assert cause.startswith(f"the image {image} could not be pulled in 2 attempts: ")
    assert cause.endswith("connection refused")
    assert f"Pulling {image}, attempt 1 of 2." in run.log()
    assert "Attempt 1 of 2 failed (connection refused); the next one in 1 s." in run.log()
    assert f"Pulling {image}, attempt 2 of 2." in run.log()


@NEEDS_PODMAN
def test_a_registry_that_comes_back_in_time_is_enough(place: Place) -> None:
    image = f"{place.name}@{place.push()}"
    place.site.stop_registry()
    run = place.run(image, retries=3)
    with run.started("execution") as process:
        wait_for(lambda: "Attempt 1 of 4 failed" in run.log(), "the first attempt's end")
        place.site.start_registry()
        process.wait(60)
    assert run.result("execution")["data"]["image"] == image


@NEEDS_PODMAN
def test_without_the_registry_what_the_tag_meant_here_last_is_used_and_said(place: Place) -> None:
    image = f"{place.name}@{place.push()}"
    place.run(f"{place.name}:1").done("execution")
    place.site.stop_registry()
    run = place.run(f"{place.name}:1")
    assert run.done("execution")["image"] == image
    assert f"{place.name}:1 could not be asked for; the copy that this node has is used." in run.log()


@contextmanager
def locked_registry(folder: Path, address: str) -> Iterator[None]:
    """A registry that wants a login; ended at the block's end."""
    (folder / "users").write_text("ada:$2b$04$jVmefkIQoeMrDy/Qg9w7fOSYP9clMR4O3BvfEqs1cEKKfmJYFieJe\n")
    (folder / "locked.yml").write_text(
        f"version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {folder}/locked}}}}\n"
        f"http: {{addr: {address}}}\nauth: {{htpasswd: {{realm: test, path: {folder}/users}}}}\n"
    )
    with (folder / "locked.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "locked.yml")], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@NEEDS_PODMAN
def test_a_registry_that_wants_a_login_is_said_so_and_not_asked_again(place: Place) -> None:
    image = f"{place.site.other_registry}/private:1"
    with locked_registry(place.folder, place.site.other_registry):
        login = ["login", "--username=ada", "--password=right", place.site.other_registry]
        wait_for(lambda: "Succeeded" in place.site.podman(*login, check=False), "the registry's start")
        place.site.podman("logout", "--all")
        run = place.run(image, retries=3)
        cause = run.failed("execution")
    assert cause.startswith(f"the registry denies the image {image} to this node (authentication required): log in")
    assert "attempt 2" not in run.log()


@NEEDS_PODMAN
def test_an_image_of_this_node_alone_is_taken_by_its_id(place: Place) -> None:
    make_context(place.folder / "context", f"RUN echo {place.folder} > /which")
    name = f"localhost/{place.repository}:1"
    place.site.podman("build", "--tag", name, str(place.folder / "context"))
    image_id = place.site.podman("image", "inspect", "--format", "{{.Id}}", name).strip()
    for image in (name, image_id):
        run = place.run(image)
        assert run.done("execution")["image"] == image_id
        assert "nothing is pulled" in run.log()
    place.site.podman("rmi", "--force", image_id)
    assert "is not on this node" in place.run(image_id).failed("execution")


@NEEDS_PODMAN
def test_a_cancel_between_two_attempts_ends_the_phase_at_once(place: Place) -> None:
    run = place.run(f"{place.site.other_registry}/x:1", retries=9)
    with run.started("execution") as process:
        wait_for(lambda: "Attempt 1 of 10 failed" in run.log(), "the first attempt's end")
        run.cancel()
        process.wait(10)
    assert run.result("execution")["result"] == "canceled"
    run.wait_for_end_of_tools()


@NEEDS_PODMAN
def test_a_pull_that_was_killed_is_taken_up_again(place: Place) -> None:
    image = f"{place.name}@{place.push()}"
    run = place.run(image)
    with run.started("execution") as process:
        wait_for(lambda: "Pulling" in run.log(), "the pull")
        process.kill()
    run.wait_for_end_of_tools()
    assert run.done("execution")["image"] == image


@NEEDS_PODMAN
def test_more_gpus_than_the_node_has_are_refused_before_anything_is_pulled(place: Place) -> None:
    run = place.run(f"{place.name}:1", gpu_count="64")
    assert run.failed("execution").startswith("resources.gpus is 64, and this node has ")
    assert "Pulling" not in run.log()


CDI_YAML = """---
cdiVersion: 0.5.0
containerEdits:
  deviceNodes:
  - path: /dev/nvidiactl
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: "0"
- name: "1"
- name: GPU-5b1f6c3e-0000-0000-0000-000000000000
- name: all
kind: nvidia.com/gpu
"""
CDI_JSON = '{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{"name":"0"},{"name":"1"},{"name":"all"}]}'
CDI_OTHER = '{"cdiVersion":"0.5.0","kind":"vendor.example/net","devices":[{"name":"7"}]}'


@pytest.mark.parametrize(("file", "text"), [("nvidia.yaml", CDI_YAML), ("nvidia.json", CDI_JSON)], ids=["yaml", "json"])
def test_gpus_are_given_as_the_node_describes_them(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    (tmp_path / "other.json").write_text(CDI_OTHER)
    assert gpus.flags("auto", cdi_dirs=[tmp_path], dev=tmp_path) == ["--device=nvidia.com/gpu=all"]
    assert gpus.flags("2", cdi_dirs=[tmp_path], dev=tmp_path) == [f"--device=nvidia.com/gpu={number}" for number in (0, 1)]
    assert gpus.flags("0", cdi_dirs=[tmp_path], dev=tmp_path) == []
    assert gpus.flags("1", [1], cdi_dirs=[tmp_path], dev=tmp_path) == ["--device=nvidia.com/gpu=1"]
    with pytest.raises(PhaseError, match=r"resources\.gpus is 3, and this node has 2"):
        gpus.flags("3", cdi_dirs=[tmp_path], dev=tmp_path)


def test_gpus_without_a_description_are_given_as_devices(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "nvidia-caps/nvidia-cap1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    shared = [f"--device={tmp_path}/{name}" for name in ("nvidiactl", "nvidia-uvm", "nvidia-caps/nvidia-cap1")]
    cards = [f"--device={tmp_path}/nvidia{number}" for number in (0, 1, 10)]
    nowhere = [tmp_path / "cdi"]
    assert gpus.flags("auto", cdi_dirs=nowhere, dev=tmp_path) == cards + shared
    assert gpus.flags("1", cdi_dirs=nowhere, dev=tmp_path) == cards[:1] + shared
    assert gpus.flags("auto", [1, 2], cdi_dirs=nowhere, dev=tmp_path) == cards[1:] + shared
    assert gpus.flags("auto", [], cdi_dirs=nowhere, dev=tmp_path) == []
    with pytest.raises(PhaseError, match="given the GPUs 3, and this node has lost"):
        gpus.flags("auto", [3], cdi_dirs=nowhere, dev=tmp_path)
    assert gpus.flags("auto", cdi_dirs=nowhere, dev=tmp_path / "cdi") == []
