"""What the driver is started with, once the phases before it are done: their paths, variables and volumes put in. Pure but for
reading their results in .runyard/phase/<phase>/result.json. Standard library only."""

from __future__ import annotations

import os

from runyard import names
from runyard.atomic import read_json

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

    from .local_run import LocalRun


def apply(launch: dict[str, Any], local: LocalRun) -> None:
    """Change `launch` in place. What a person set by hand (--env) stays before what a phase has set."""
    image, execution, preparation = (_data(local, phase) for phase in ("image", "execution", "preparation"))
    own = local.spec.get("env") or {}
    for data in (image, preparation):
        launch["env"] |= {name: value for name, value in (data.get("env") or {}).items() if name not in own}
    if image.get("path"):
        launch["env"]["PATH"] = image["path"] + os.pathsep + launch["env"].get("PATH", os.defpath)
    if preparation.get("code_dir"):
        launch["cwd"] = os.path.normpath(os.path.join(preparation["code_dir"], local.spec.get("cwd") or ""))
    if local.is_container:
        launch["container"] = {
            "name": local.container,
            "image": execution["image"],
            "flags": execution.get("gpu_flags") or [],
            "volumes": preparation.get("volumes") or [],
        }


def _data(local: LocalRun, phase: str) -> dict[str, Any]:
    result = read_json(local.path(os.path.join(names.phase_dir(phase), "result.json"))) or {}
    data: dict[str, Any] = result.get("data") or {}
    return data
