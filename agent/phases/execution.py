"""The execution phase: the run's image is brought to this node, by its digest. Its log is 55, podman's layer lines included.

Reads what the image phase came to; hands on by what the driver's container is started.
"""

from __future__ import annotations

import re
from typing import Any

from runyard.errors import PhaseError
from runyard.spec import CONTAINER

from . import gpus, images, leftovers
from .phase import Phase
from .retrying import repeat
from .words import ABSENT, DENIED, UNREACHABLE, Refusal

_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}\Z")


def run(phase: Phase) -> dict[str, Any]:
    """Have the image on this node: {"image": what to start, by digest or id, "image_id", "gpu_flags": for podman}.

    Raises PhaseError where it cannot be had. Blocks. Empty for a run without a container.
    """
    if phase.spec.environment.kind != CONTAINER:
        return {}
    images.require_podman()
    leftovers.clear(phase)
    gpu_flags = gpus.flags(phase.spec.resources.gpus, (phase.run.get("placement") or {}).get("gpus"))
    image = phase.result("image").get("image") or phase.spec.environment.image
    if _is_local(image):
        image = _local(phase, image)
    elif "@sha256:" in image and (image_id := images.image_id(image)):
        phase.say(f"The image {image} is on this node already ({image_id}); nothing is pulled.")
    else:
        image = _pulled(phase, image)
    phase.say(f"GPUs for the container: {' '.join(gpu_flags) or 'none'}.")
    return {"image": image, "image_id": images.image_id(image), "gpu_flags": gpu_flags}


def _is_local(image: str) -> bool:
    """Whether no registry has the image: it is named by its id, or as what podman has built here."""
    return image.startswith("localhost/") or bool(_ID.match(image))


def _local(phase: Phase, image: str) -> str:
    image_id = images.image_id(image)
    if not image_id:
        raise PhaseError(f"the image {image} is not on this node, and its name says that no registry has it; build it again")
    phase.say(f"The image {image} is on this node ({image_id}); no registry has it, and nothing is pulled.")
    return image_id


def _pulled(phase: Phase, image: str) -> str:
    """The image by its digest, pulled. Without its registry, what a tag meant here last is better than no run."""
    retries = phase.spec.retries.execution
    with leftovers.cleared(phase) as environ:
        refused = repeat(phase, f"Pulling {image}", retries, lambda: images.pull(image, phase.log_end(), environ))
    if refused is not None and (refused.kind != UNREACHABLE or not images.image_id(image)):
        raise PhaseError(_why(image, refused, retries))
    if refused is not None:
        phase.say(f"{image} could not be asked for; the copy that this node has is used.")
    if "@sha256:" in image:
        return image
    exact = images.by_digest(image)
    if not exact:
        exact = images.image_id(image)
    phase.say(f"{image} is {exact}.")
    return exact


def _why(image: str, refused: Refusal, retries: int) -> str:
    if refused.kind == ABSENT:
        return f"the image {image} does not exist ({refused.reason}); check its registry, its name and its tag"
    if refused.kind == DENIED:
        return f"the registry denies the image {image} to this node ({refused.reason}): log in with podman, or check the name"
    if refused.kind == UNREACHABLE:
        return f"the image {image} could not be pulled in {retries + 1} attempts: {refused.line}"
    return f"the image {image} cannot be pulled: {refused.line}"
