"""What a driver process is started with, once the phases before it are done: their paths, variables and volumes put in, and
what tells the process its rank. Pure but for reading their results in .runyard/phase/<phase>/result.json.
Standard library only; not loaded for a plain run."""

from __future__ import annotations

import os

from runyard import names
from runyard.atomic import read_json

from . import meeting, rank_environment, torchrun, work_folder, worker_logs

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

    from .local_run import LocalRun

# What an image brings itself: a folder of the node in such a place would put another system in place of the image's.
_SYSTEM_DIRS = frozenset(("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr"))
_SYSTEM_PLACES = frozenset(("/", "/home", "/opt", "/root", "/tmp", "/var"))  # noqa: S108 - a name, not a file of ours


def complete(launch: dict[str, Any], local: LocalRun, rank: int) -> None:
    """Make environment.json's `launch`, in place, that of the process `rank`, whoever starts it. Raises OSError.

    What a person set by hand (--env) stays before everything, but for RUNYARD_…, by which processes are found.
    """
    if local.spec:
        apply(launch, local, rank)
    launch["env"]["RUNYARD_RANK"] = str(rank)
    own = {*launch.get("own", ()), *(local.spec.get("env") or {})}
    if rank_environment.is_distributed(local.run):
        met = meeting.ensured(local.run_dir, local.run)
        given = rank_environment.variables(local.run, met, rank, gpus=_gpus(launch["env"]))
        given["AZUREML_OUTPUT_DIRECTORY"] = local.path(names.OUTPUTS_DIR)
        launch["env"] |= {name: value for name, value in given.items() if name not in own or name.startswith("RUNYARD_")}
    flags = torchrun.flags_of(launch["argv"])
    if flags is not None:
        launch["env"] |= worker_logs.variables(flags, launch["env"], local.path(worker_logs.LOGS_DIR))
        met = meeting.of(local.run_dir, local.run)
        launch["env"] |= torchrun.node_variables(flags, launch["env"], local.run, met)


def _gpus(env: dict[str, str]) -> int:
    """How many GPUs the process may use."""
    chosen = env.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return len([word for word in chosen.split(",") if word.strip() not in ("", "-1")])
    return len([name for name in os.listdir("/dev") if name.startswith("nvidia") and name[6:].isdigit()])


def apply(launch: dict[str, Any], local: LocalRun, rank: int = 0) -> None:
    """Put into `launch`, in place, what the phases before have come to."""
    image, execution, preparation = (_data(local, phase) for phase in ("image", "execution", "preparation"))
    own = local.spec.get("env") or {}
    launch["env"] |= {name: value for name, value in (image.get("env") or {}).items() if name not in own}
    if image.get("path"):
        launch["env"]["PATH"] = image["path"] + os.pathsep + launch["env"].get("PATH", os.defpath)
    launch["env"] |= {name: value for name, value in (preparation.get("env") or {}).items() if name not in own}
    if preparation.get("code_dir"):
        launch["cwd"] = os.path.normpath(os.path.join(preparation["code_dir"], local.spec.get("cwd") or ""))
    elif local.is_container:
        launch["cwd"] = local.spec.get("cwd") or ""  # where `runyard run` happened to be started means nothing to an image
    gpus = str((local.spec.get("resources") or {}).get("gpus", "auto"))
    if gpus.isdigit() and not local.is_container and "CUDA_VISIBLE_DEVICES" not in own:
        launch["env"]["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(int(gpus))))
    if local.is_container:
        from .container import driver_name, label_flag

        launch["env"] = _of_container(launch["env"], local.spec)
        launch["container"] = {
            "name": driver_name(local.run, rank),
            "image": execution["image"],
            "flags": [label_flag(local.run), *(execution.get("gpu_flags") or []), *_limits(local.spec.get("resources") or {})],
            "volumes": _volumes(local, launch["cwd"]) + (preparation.get("volumes") or []),
        }


def _of_container(env: dict[str, str], spec: dict[str, Any]) -> dict[str, str]:
    """The host's own variables stay outside: in the image PATH and HOME are others."""
    own = spec.get("env") or {}
    ours = {*own, "PYTHONUNBUFFERED", "AZUREML_RUN_ID"}
    return {name: value for name, value in env.items() if name in ours or name.startswith("RUNYARD_")}


def _limits(resources: dict[str, Any]) -> list[str]:
    flags = {"cpus": "--cpus", "memory": "--memory", "shm_size": "--shm-size"}
    return [f"{flag}={resources[name]}" for name, flag in flags.items() if resources.get(name)]


def _volumes(local: LocalRun, cwd: str) -> list[dict[str, Any]]:
    """Folders of the node that the driver sees at the same path: its code and data, its outputs, its own logs, its `cwd`."""
    own = (names.OUTPUTS_DIR, names.USER_LOGS_DIR, names.TRACKING_DIR, names.BLOBS_DIR)
    paths = [local.path(name) for name in own]
    if work_folder.is_ours(local.run):
        paths.append(local.run["work_dir"])
    if not local.spec.get("code") and os.path.isdir(cwd) and not _is_systems(cwd):
        paths.append(cwd)
    return [{"source": path, "target": path} for path in paths]


def _is_systems(path: str) -> bool:
    """Whether an image has its own at this path. Looked at by name: in the image it is the name that counts."""
    path = os.path.normpath(path)
    return path in _SYSTEM_PLACES or path.split("/")[1] in _SYSTEM_DIRS


def _data(local: LocalRun, phase: str) -> dict[str, Any]:
    result = read_json(local.path(os.path.join(names.phase_dir(phase), "result.json"))) or {}
    data: dict[str, Any] = result.get("data") or {}
    return data
