"""The Spec of a ScriptRunConfig: what `runyard run` and a cluster's queue are asked for. One sentence for what cannot be.

Reads whether the script is there, and what environment.py reads; writes what it writes.
"""

from __future__ import annotations

import numbers
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from runyard import sizes, spec_check
from runyard.distribution import MPI, PYTORCH, TENSORFLOW, Distribution
from runyard.errors import InputError
from runyard.queue_order import Wanted
from runyard.settings import LONGEST_S, Settings
from runyard.spec import CONTAINER, HOST, VENV, Limits, Resources, Spec

from . import environment as environments
from .script_run_config import MpiConfiguration, PyTorchConfiguration, ScriptRunConfig, TensorflowConfiguration

LOCAL = "local"
BACKENDS = ("nccl", "gloo", "mpi")
# What only a queue knows, with the values that say nothing.
OF_A_QUEUE = {"priority": 0, "max_queue_seconds": 0.0, "retries": 0, "user": ""}


def target_of(config: ScriptRunConfig) -> str:
    """The cluster's name; empty for this machine."""
    target = config.compute_target
    name = target if isinstance(target, str) else getattr(target, "name", "")
    if target is not None and (not isinstance(name, str) or not name):
        raise InputError(
            "compute_target is neither a cluster nor a name; leave it out for this machine, or give a cluster's name"
        )
    if name.startswith("slurm:") or name == "slurm":
        raise InputError(f"compute_target {name!r}: runs go to Slurm by `runyard submit --cluster {name}`, not by the SDK")
    return "" if name == LOCAL else name


def code_of(config: ScriptRunConfig) -> str:
    """The folder that goes along; empty: none does. Raises InputError where it is none."""
    code = "" if config.source_directory is None else os.path.abspath(os.path.expanduser(config.source_directory))  # noqa: PTH100, PTH111
    if code and not os.path.isdir(code):  # noqa: PTH112
        raise InputError(f"source_directory: {code} is no folder; it has to be the folder that the script lies in")
    return code


def wanted_of(
    config: ScriptRunConfig,
    settings: Settings,
    run_id: str,
    experiment: str,
    tags: Mapping[str, str] | None,
    name: str,
    parent_run_id: str,
) -> Wanted:
    """What is wanted of a cluster or of this machine, checked; its code is not packed. Raises InputError. Blocks on files."""
    is_local = not target_of(config)
    environment = _with_docker(config, environments.spec_of(config.environment, settings, is_elsewhere=not is_local))
    code = code_of(config)
    gpus, cpus, memory_bytes = _count(config.gpus, "gpus"), _cpus(config.cpus), _memory(config.memory)
    spec = Spec(
        command=_command(config, environment.kind, code, is_local),
        experiment=experiment,
        name=_text(name or config.display_name, "display_name"),
        tags=_texts(tags or {}, "tags"),
        env=_texts(_variables(config), "environment_variables"),
        code=code,
        environment=environment,
        datastores=config.datastores,
        resources=_resources(config, environment.kind, is_local),
        limits=Limits(driver_s=_duration_s(config.max_run_duration_seconds, "max_run_duration_seconds")),
        distribution=_distribution(config, is_local),
    )
    spec_check.check(spec, is_elsewhere=not is_local)
    if is_local:
        _refuse_queue(config)
    return Wanted(
        run_id=run_id,
        spec=spec,
        gpus=gpus or 0,
        cpus=cpus,
        memory_bytes=memory_bytes,
        priority=_count(config.priority, "priority", least=-1000, most=1000) or 0,
        max_queue_s=_duration_s(config.max_queue_seconds, "max_queue_seconds"),
        retries=_count(config.retries, "retries", most=1000) or 0,
        user=_text(config.user, "user"),
        parent_run_id=parent_run_id,
    )


def _command(config: ScriptRunConfig, kind: str, code: str, is_local: bool) -> tuple[str, ...]:
    if isinstance(config.command, str):
        if not config.command.strip():
            raise InputError("command is empty; give the words of a command, or a text for the shell")
        return "/bin/sh", "-c", config.command
    if config.command is not None:
        return _words(config.command, "command")
    python = "python3"
    if kind != VENV and config.environment is not None and config.environment.python.interpreter_path:
        python = config.environment.python.interpreter_path
    elif kind == HOST and is_local:
        python = sys.executable
    return python, _script(config, code), *_words(config.arguments or (), "arguments")


def _script(config: ScriptRunConfig, code: str) -> str:
    """The script's path in the code; where there is none, on the node."""
    script = os.fspath(config.script or "")
    if not script:
        raise InputError("script is empty; it has to name a file in source_directory")
    if not code:
        return script
    path = os.path.normpath(os.path.join(code, script))  # noqa: PTH118
    if not f"{path}/".startswith(f"{code.rstrip('/')}/"):
        raise InputError(
            f"the script {script!r} is not in source_directory ({code}); only what lies there is brought to the nodes"
        )
    if not os.path.isfile(path):  # noqa: PTH113
        raise InputError(f"the script {script!r} does not exist in source_directory ({code})")
    return os.path.relpath(path, code)


def _words(given: Any, what: str) -> tuple[str, ...]:
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise InputError(f"{what} is a {type(given).__name__}; it has to be a list of words, as in ['--lr', 0.1]")
    return tuple(_word(one, f"{what}[{position}]") for position, one in enumerate(given))


def _word(value: Any, what: str) -> str:
    """A text, number or path as a word of a command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | numbers.Number):
        return str(value)
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        return os.fsdecode(path) if isinstance(path, bytes) else str(path)
    raise InputError(f"{what} is a {type(value).__name__}; it has to be a text, a number or a path")


def _variables(config: ScriptRunConfig) -> dict[str, Any]:
    own = config.environment.environment_variables if config.environment is not None else {}
    return dict(own) | config.environment_variables


def _texts(given: Any, what: str) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise InputError(f"{what} is a {type(given).__name__}; it has to be a dict of texts")
    return {_text(key, f"a name in {what}"): _word(value, f"{what}[{key!r}]") for key, value in given.items()}


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{what} is a {type(value).__name__}; it has to be a text")
    return value


def _with_docker(config: ScriptRunConfig, environment: Any) -> Any:
    """The environment, where docker_runtime_config does not say otherwise."""
    docker = config.docker_runtime_config
    if docker is None:
        return environment
    if not isinstance(docker, environments.DockerConfiguration):
        raise InputError(
            f"docker_runtime_config is a {type(docker).__name__}; make it with runyard.DockerConfiguration, or leave it out"
        )
    if docker.arguments:
        raise InputError("docker_runtime_config.arguments cannot be handed on to the container's engine; leave them out")
    if docker.use_docker and environment.kind != CONTAINER:
        raise InputError(
            "docker_runtime_config.use_docker needs an image; take Environment.from_docker_image or from_dockerfile"
        )
    if not docker.use_docker and environment.kind == CONTAINER:
        raise InputError("docker_runtime_config.use_docker is False, and the environment is an image; take another environment")
    return environment


def _resources(config: ScriptRunConfig, kind: str, is_local: bool) -> Resources:
    """What a container may use; on a cluster, what others get is the queue's."""
    if kind != CONTAINER:
        if is_local and (config.cpus is not None or config.memory is not None):
            raise InputError("cpus and memory on this machine limit a container; take an image, or leave them out")
        return Resources(gpus=str(config.gpus)) if is_local and config.gpus is not None else Resources()
    docker = config.docker_runtime_config
    shm_size = (docker.shm_size if docker is not None else None) or (
        config.environment.docker.shm_size if config.environment is not None else None
    )
    gpus = "auto" if config.gpus is None and is_local else str(config.gpus or 0)
    return Resources(gpus=gpus, cpus=float(config.cpus or 0), memory=config.memory or "", shm_size=shm_size or "")


def _distribution(config: ScriptRunConfig, is_local: bool) -> Distribution:
    asked = config.distributed_job_config
    if asked is None:
        return Distribution()
    if isinstance(asked, MpiConfiguration):
        found = Distribution(
            kind=MPI,
            node_count=_count(asked.node_count, "node_count", least=1) or 1,
            processes_per_node=_count(asked.process_count_per_node, "process_count_per_node", least=1) or 1,
        )
    elif isinstance(asked, PyTorchConfiguration):
        found = _pytorch(asked)
    elif isinstance(asked, TensorflowConfiguration):
        found = _tensorflow(asked, is_local)
    else:
        raise InputError(
            f"distributed_job_config is a {type(asked).__name__}; it has to be an MpiConfiguration, a PyTorchConfiguration or a"
            " TensorflowConfiguration"
        )
    if is_local and found.node_count > 1:
        raise InputError(f"the run wants {found.node_count} nodes, and this machine is one; name a cluster by compute_target")
    return found


def _pytorch(asked: PyTorchConfiguration) -> Distribution:
    if not isinstance(asked.communication_backend, str) or asked.communication_backend.lower() not in BACKENDS:
        raise InputError(f"communication_backend is {asked.communication_backend!r}; it has to be Nccl, Gloo or Mpi")
    nodes = _count(asked.node_count, "node_count", least=1) or 1
    processes = nodes if asked.process_count is None else _count(asked.process_count, "process_count", least=1) or 1
    if processes % nodes:
        raise InputError(f"process_count is {processes}, which does not spread evenly over {nodes} nodes; make it a multiple")
    return Distribution(kind=PYTORCH, node_count=nodes, processes_per_node=processes // nodes)


def _tensorflow(asked: TensorflowConfiguration, is_local: bool) -> Distribution:
    """Each worker has a node, and as many parameter servers as every other; here, all of them are on this one."""
    workers = _count(asked.worker_count, "worker_count", least=1) or 1
    servers = _count(asked.parameter_server_count, "parameter_server_count") or 0
    nodes = 1 if is_local else workers
    if servers % nodes:
        raise InputError(
            f"parameter_server_count is {servers}, which does not spread evenly over {nodes} nodes; make it 0 or a multiple"
        )
    return Distribution(
        kind=TENSORFLOW, node_count=nodes, processes_per_node=(workers + servers) // nodes, parameter_servers=servers
    )


def _refuse_queue(config: ScriptRunConfig) -> None:
    for word, nothing in OF_A_QUEUE.items():
        if getattr(config, word) != nothing:
            raise InputError(
                f"{word} is for a cluster's queue, and this run is for this machine; name a cluster, or leave it out"
            )


def _count(value: Any, what: str, *, least: int = 0, most: int = 100_000) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= int(value) <= most:
        raise InputError(f"{what} is {value!r}; it has to be a whole number from {least} to {most}")
    return int(value)


def _cpus(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) <= 1e6:
        raise InputError(f"cpus is {value!r}; it has to be a number of CPUs above 0, as 1.5")
    return float(value)


def _memory(value: Any) -> int:
    if value is None:
        return 0
    size_bytes = sizes.asked(value) if isinstance(value, str) else None
    if size_bytes is None:
        raise InputError(f"memory is {value!r}; write a whole number with b, k, m or g, as in '512m' or '8g'")
    return size_bytes


def _duration_s(value: Any, what: str) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) <= LONGEST_S:
        raise InputError(f"{what} is {value!r}; it has to be from 0 (no limit) to {LONGEST_S:.0f} seconds")
    return float(value)
