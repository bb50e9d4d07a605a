"""A build that is killed or canceled, at whatever moment, is taken up again where that is wanted, and leaves nothing behind."""

from __future__ import annotations

import random
import subprocess
import time
from contextlib import suppress

import pytest

from runyard import names
from tests.agent.phases.image_place import Place, place_of_a_test  # noqa: F401
from tests.podman_site import podman_site  # noqa: F401
from tests.waiting import wait_for

pytestmark = pytest.mark.needs_system("podman runc docker-registry busybox-static")


def test_a_cancel_ends_the_step_that_is_being_built_and_leaves_nothing(place: Place) -> None:
    place.context_with(f"RUN echo step-has-begun; exec {place.endless_step}")
    run = place.run()
    with run.started("image") as process:
        wait_for(lambda: "\nstep-has-begun\n" in run.image_log(), "the build")
        begun_s = time.monotonic()
        run.cancel()
        process.wait(30)
    assert time.monotonic() - begun_s < 10
    assert run.result("image")["result"] == "canceled"
    assert place.left() == []
    assert not place.sleepers()
    run.wait_for_end_of_tools()


def test_a_build_that_was_killed_is_begun_anew_and_leaves_nothing(place: Place) -> None:
    place.context_with(f"RUN echo step-has-begun; [ -e /here/go ] || exec {place.endless_step}")
    run = place.run()
    with run.started("image") as process:
        wait_for(lambda: "\nstep-has-begun\n" in run.image_log() and place.sleepers(), "the build")
        process.kill()
    run.wait_for_end_of_tools()
    assert place.sleepers()  # the step has the image's environment, not ours, and another parent
    place.context_with("RUN echo step-has-run")
    assert run.done("image")["is_built"] is True
    assert not place.sleepers()
    assert place.left() == []


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_or_canceled_at_any_moment_it_is_taken_up_again_and_leaves_nothing(place: Place, seed: int) -> None:
    dice = random.Random(seed)
    place.context_with("RUN head -c 3000000 /dev/urandom > /noise; sleep 0.2", "RUN echo step-has-run")
    run = place.run()
    for phase, most_s in (("image", 2.0), ("execution", 0.5)):
        for _ in range(3):
            with run.started(phase) as process, suppress(subprocess.TimeoutExpired):
                process.wait(dice.uniform(0.1, most_s))
                break
            if dice.random() < 0.5:
                continue  # it was killed
            with run.started(phase) as process:
                run.cancel()
                process.wait(30)
            (run.run_dir / names.STOP_FILE).unlink()
        run.wait_for_end_of_tools()
        data = run.done(phase)
    assert place.site.podman("run", "--rm", data["image"], "cat", "/here") == str(place.folder)
