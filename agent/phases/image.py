"""The image phase: the environment that a run's driver needs, built where no run before has built it.

Its words go to the execution log, and to 20_image_build_log.txt as soon as, and only if, something is really built.
"""

from __future__ import annotations

from typing import Any

from runyard.errors import PhaseError
from runyard.spec import VENV

from . import image_build, venv
from .phase import Phase


def run(phase: Phase) -> dict[str, Any]:
    """Have the environment. For a venv: what to set (`env`, `path`); for a container: the `image`. Both: `key`, `is_built`.

    Raises PhaseError where it cannot be built. Blocks.
    """
    environment = phase.spec.environment
    if environment.kind == VENV:
        return venv.run(phase)
    if environment.image:
        return {"image": environment.image, "is_built": False, "key": ""}
    if not environment.containerfile:
        raise PhaseError("environment.kind is container: name its environment.image or the environment.containerfile to build")
    return image_build.run(phase)
