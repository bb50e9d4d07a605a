"""An image is built once from what it is made of, pushed for all nodes, and told in 20; what fails says why."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runyard.agent.phases import image_key
from runyard.errors import PhaseError
from runyard.spec import CONTAINER, Environment, Spec
from tests.agent.phases.image_place import Place, details, place_of_a_test  # noqa: F401
from tests.agent.phases.phase_run import PhaseRun
from tests.podman_site import podman_site  # noqa: F401
from tests.waiting import wait_for

pytestmark = pytest.mark.needs_system("podman buildah runc docker-registry busybox-static")


def test_an_image_is_built_and_pushed_and_20_ends_with_where_it_is(place: Place) -> None:
    run = place.run(environ={"SOME_TOKEN": "hunter2-hunter2"})
    data = run.done("image")
    told = details(run)
    assert told == {
        "registry": place.site.registry,
        "repository": place.repository,
        "tag": data["key"][:16],
        "digest": data["image"].rpartition("@")[2],
    }
    assert data == {
        "image": f"{place.site.registry}/{place.repository}@{told['digest']}",
        "is_built": True,
        "key": data["key"],
    }
    assert "\nstep-has-run\n" in run.image_log()
    assert "step-has-run" not in run.log()
    assert "hunter2" not in run.log() + run.image_log()
    place.site.podman("rmi", "--force", f"{place.site.registry}/{place.repository}:{told['tag']}")
    place.site.podman("pull", data["image"])
    assert place.site.podman("run", "--rm", data["image"], "cat", "/here") == str(place.folder)
    assert place.builds() == 1


def test_an_unchanged_environment_is_not_built_again(place: Place) -> None:
    first = place.run().done("image")
    again = place.run()
    assert again.done("image") == first | {"is_built": False}
    assert place.builds() == 1
    assert not again.has_image_log
    assert f"The cached environment is used: the image {first['image']}" in again.log()


def test_what_another_node_has_pushed_is_not_built_again(place: Place) -> None:
    first = place.run().done("image")
    place.cache_dir = place.folder / "cache-of-another-node"
    again = place.run()
    assert again.done("image") == first | {"is_built": False}
    assert place.builds() == 1
    assert not again.has_image_log
    assert "The cached environment is used: the registry has it" in again.log()


def test_two_runs_at_the_same_time_build_once(place: Place) -> None:
    place.context_with("RUN sleep 1")
    runs = [place.run(), place.run()]
    with runs[0].started("image") as first, runs[1].started("image") as second:
        first.wait(60)
        second.wait(60)
    results = [run.result("image")["data"] for run in runs]
    assert sorted(result["is_built"] for result in results) == [False, True]
    assert [run.has_image_log for run in runs] == [result["is_built"] for result in results]
    assert results[0]["image"] == results[1]["image"]
    assert place.builds() == 1


def test_what_the_registry_has_lost_is_built_again(place: Place) -> None:
    first = place.run().done("image")
    place.site.forget(place.repository, first["image"].rpartition("@")[2])
    again = place.run()
    assert again.done("image")["is_built"] is True
    assert place.builds() == 2
    assert "is there no longer" in again.log()


def test_without_a_registry_the_image_stays_on_the_node_and_20_says_so(place: Place) -> None:
    run = place.run(registry="")
    data = run.done("image")
    assert details(run) == {
        "registry": "none",
        "repository": place.repository,
        "tag": data["key"][:16],
        "image": data["image"],
    }
    assert place.site.podman("run", "--rm", data["image"], "cat", "/here") == str(place.folder)
    assert place.run(registry="").done("image") == data | {"is_built": False}
    place.site.podman("rmi", "--force", data["image"])
    assert place.run(registry="").done("image")["is_built"] is True
    assert place.builds() == 2


def test_buildah_builds_as_well(place: Place) -> None:
    run = place.run(builder="buildah", build_args={"COLOUR": "green"})
    data = run.done("image")
    assert "with buildah from" in run.image_log()
    assert details(run)["digest"] == data["image"].rpartition("@")[2]
    place.site.podman("pull", data["image"])


def test_build_arguments_reach_the_build_and_make_another_image(place: Place) -> None:
    place.context_with("ARG COLOUR", "RUN echo colour-is-$COLOUR")
    green, blue = (place.run(build_args={"COLOUR": colour}) for colour in ("green", "blue"))
    images = [run.done("image")["image"] for run in (green, blue)]
    assert "\ncolour-is-green\n" in green.image_log()
    assert "\ncolour-is-blue\n" in blue.image_log()
    assert images[0] != images[1]


def test_what_a_step_caches_is_there_in_the_next_build(place: Place) -> None:
    step = "RUN --mount=type=cache,target=/kept echo {0} >> /kept/lines; echo all: $(cat /kept/lines)"
    place.context_with(step.format("one"))
    place.run().done("image")
    place.context_with(step.format("two"))
    second = place.run()
    second.done("image")
    assert "\nall: one two\n" in second.image_log()


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (("RUN echo reason-on-stderr >&2; exit 7",), 'building at STEP "RUN echo reason-on-stderr'),
        (("RUNN true",), 'Unknown instruction: "RUNN"'),
        (("COPY nowhere /",), "no such file or directory"),
    ],
)
def test_a_containerfile_with_an_error_fails_with_the_builders_words(place: Place, steps: tuple[str, ...], words: str) -> None:
    place.context_with(*steps)
    run = place.run()
    result = run.complete("image")
    assert result["result"] == "failed"
    assert result["cause"].startswith(f"the image could not be built from {place.context}/Containerfile: ")
    assert words in result["cause"]
    assert result["log"] == "azureml-logs/20_image_build_log.txt"
    assert words in run.image_log()
    assert place.builds() == 0


def test_a_base_image_that_does_not_exist_fails_the_build(place: Place) -> None:
    (place.context / "Containerfile").write_text(f"FROM {place.site.registry}/nowhere:1\n")
    assert "manifest unknown" in place.run().failed("image")


def test_a_containerfile_or_a_context_that_is_missing_is_said_so_before_anything_is_built(place: Place) -> None:
    (place.context / "Containerfile").rename(place.context / "Dockerfile.other")
    run = place.run()
    assert run.failed("image") == (
        f"environment.containerfile: {place.context}/Containerfile does not exist on this node or is no file"
    )
    assert not run.has_image_log
    other = place.run(containerfile=f"{place.context}/Dockerfile.other", context=f"{place.folder}/nowhere")
    assert other.failed("image").startswith(f"environment.context: {place.folder}/nowhere does not exist")


def test_a_registry_that_is_down_fails_before_the_build(place: Place) -> None:
    run = place.run(registry=place.site.other_registry)
    result = run.complete("image")
    assert result["cause"] == (
        f"the image cannot be built for all nodes: environment.registry {place.site.other_registry} could not be reached "
        "in 4 attempts (connection refused); start it or set another one"
    )
    assert result["is_passing"] is True
    assert not run.has_image_log
    assert "attempt 4 of 4." in run.log()


def test_a_push_outlasts_a_registry_that_restarts(place: Place) -> None:
    place.context_with("RUN echo step-has-begun; sleep 2")
    run = place.run()
    with run.started("image") as process:
        wait_for(lambda: "\nstep-has-begun\n" in run.image_log(), "the build")
        place.site.stop_registry()
        wait_for(lambda: "Attempt 1 of 4 failed (connection refused)" in run.image_log(), "the first attempt's end")
        place.site.start_registry()
        process.wait(60)
    assert run.result("image")["result"] == "done"
    assert details(run)["digest"].startswith("sha256:")


def test_a_builder_that_does_not_work_is_said_so(place: Place) -> None:
    run = place.run(builder="docker", environ={"DOCKER_HOST": f"unix://{place.folder}/no.sock"})
    cause = run.failed("image")
    assert cause.startswith("environment.builder is docker, whose engine does not answer") or shutil.which("docker") is None
    assert cause.endswith("on this node; install it or set another one")


def test_without_podman_on_the_node_a_container_is_refused(place: Place) -> None:
    run = place.run(environ={"PATH": str(place.folder)})
    assert run.failed("image") == "environment.kind is container, and this node has no podman to run it; install podman"


def test_a_full_disk_is_named_in_the_cause(place: Place) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place.temporary)], check=False)
    if done.returncode:
        pytest.skip("needs_system(mount): a tmpfs cannot be mounted here")
    place.context_with("RUN head -c 8000000 /dev/zero > /large")
    try:
        cause = place.run().failed("image")
    finally:
        subprocess.run(["umount", str(place.temporary)], check=True)
    assert "the image could not be built" in cause
    assert f"; the disk that holds {place.temporary}" in cause


@pytest.mark.parametrize("ignore_file", [".containerignore", ".dockerignore"])
def test_all_that_an_image_is_made_from_is_in_its_key_and_nothing_else(tmp_path: Path, ignore_file: str) -> None:
    containerfile = tmp_path / "Containerfile"
    containerfile.write_text("FROM scratch\n")
    (tmp_path / "code/data").mkdir(parents=True)
    (tmp_path / "code/main.py").write_text("1")
    (tmp_path / ignore_file).write_text("# a comment\n*.log\ncode/data/*\n!code/data/kept\n/secret/\n")

    def key(**build_args: str) -> str:
        return image_key.of(containerfile, tmp_path, build_args)

    seen = [key(), key(A="1"), key(A="2")]
    for change in (
        lambda: (tmp_path / "code/main.py").write_text("2"),
        lambda: (tmp_path / "code/main.py").chmod(0o755),
        lambda: (tmp_path / "code/main.py").rename(tmp_path / "code/other.py"),
        lambda: (tmp_path / "code/link").symlink_to("other.py"),
        lambda: (tmp_path / "code/x.log").touch(),  # the pattern starts at the root
        lambda: (tmp_path / "code/data/kept").touch(),
        lambda: (tmp_path / "code/empty").mkdir(),
        lambda: containerfile.write_text("FROM scratch\nENV A=1\n"),
    ):
        change()
        seen.append(key())
    assert len(set(seen)) == len(seen)

    (tmp_path / "x.log").touch()
    (tmp_path / "code/data/large").write_text("x")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").touch()
    os.utime(tmp_path / "code/other.py", (1, 1))
    assert key() == seen[-1]


def test_a_run_that_names_neither_an_image_nor_a_containerfile_is_refused(tmp_path: Path) -> None:
    run = PhaseRun(tmp_path / "run", Spec(environment=Environment(kind=CONTAINER)), cache_dir=tmp_path)
    assert "environment.image or the environment.containerfile" in run.failed("image")
    with pytest.raises(PhaseError, match="does not exist"):
        image_key.of(tmp_path / "Containerfile", tmp_path, {})
    assert shutil.which("podman")
