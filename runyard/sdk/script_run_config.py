"""A script that is to be run, as the SDK's users describe it: where it lies, what it is given, where and how it runs.

Pure data, checked when the run is submitted: configuring.py makes the Spec of it. Names, arguments and defaults are Azure ML's;
what stands behind `*` is ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runyard.errors import InputError
from runyard.spec import Datastore

if TYPE_CHECKING:
    from .environment import DockerConfiguration, Environment
    from .workspace import ComputeTarget

# 30 days.
LONGEST_DURATION_S = 2_592_000


class MpiConfiguration:
    """So many processes on each of so many nodes, started by the site's mpirun."""

    def __init__(self, process_count_per_node: int = 1, node_count: int = 1) -> None:
        self.process_count_per_node = process_count_per_node
        self.node_count = node_count


class PyTorchConfiguration:
    """`process_count` processes over all nodes, by default one each, with the variables that torch.distributed reads.

    The backend is what the script gives to init_process_group; what is said of it here is checked to be one, and no more."""

    def __init__(self, communication_backend: str = "Nccl", process_count: int | None = None, node_count: int = 1) -> None:
        self.communication_backend = communication_backend
        self.process_count = process_count
        self.node_count = node_count


class TensorflowConfiguration:
    """Workers, each on a node of its own, and parameter servers beside them; TF_CONFIG says who is where."""

    def __init__(self, worker_count: int = 1, parameter_server_count: int = 1) -> None:
        self.worker_count = worker_count
        self.parameter_server_count = parameter_server_count


DistributedJobConfig = MpiConfiguration | PyTorchConfiguration | TensorflowConfiguration


class ScriptRunConfig:
    """A script or command for Experiment.submit.

    `source_directory` is packed and brought to the nodes, where the run starts in it; None: there is no code to bring.
    `arguments` are texts, numbers and paths, each a word. `command`, in place of script and arguments: the words, or a text for
    the shell. `compute_target`: a cluster, or its name; None or "local": this machine. `max_run_duration_seconds` None: any.

    Ours: `gpus`, `cpus` and `memory` ("8g") of each node; on a cluster, with neither cpus nor memory, it gets whole nodes.
    `priority`, `max_queue_seconds`, `retries` and `user` are those of `runyard submit`. `datastores`: runyard.spec.Datastore.
    """

    def __init__(
        self,
        source_directory: str | os.PathLike[str] | None,
        script: str | os.PathLike[str] | None = None,
        arguments: Sequence[Any] | None = None,
        run_config: Any = None,
        compute_target: str | ComputeTarget | None = None,
        environment: Environment | None = None,
        distributed_job_config: DistributedJobConfig | None = None,
        resume_from: Any = None,
        max_run_duration_seconds: float | None = LONGEST_DURATION_S,
        command: str | Sequence[Any] | None = None,
        docker_runtime_config: DockerConfiguration | None = None,
        *,
        gpus: int | None = None,
        cpus: float | None = None,
        memory: str | None = None,
        priority: int = 0,
        max_queue_seconds: float = 0.0,
        retries: int = 0,
        user: str = "",
        environment_variables: Mapping[str, str] | None = None,
        datastores: Sequence[Datastore] = (),
        display_name: str = "",
    ) -> None:
        """Raises InputError for what can never be; what depends on where it runs is looked at when it is submitted."""
        if run_config is not None:
            raise InputError(
                "run_config is not known here; give compute_target, environment and distributed_job_config by their names"
            )
        if resume_from is not None:
            raise InputError(
                "resume_from: a script is not told here where a checkpoint lies; make it a datastore (datastores=[…]) and read"
                " its path from RUNYARD_DATASTORE_<NAME>, or give its path as an argument where the nodes share it"
            )
        if (script is None) == (command is None):
            raise InputError("a ScriptRunConfig needs either a script or a command; give one of them")
        if command is not None and arguments:
            raise InputError("arguments are a script's, and a command was given; write them into the command")
        self.source_directory = source_directory
        self.script = script
        self.arguments = arguments
        self.compute_target = compute_target
        self.environment = environment
        self.distributed_job_config = distributed_job_config
        self.max_run_duration_seconds = max_run_duration_seconds
        self.command = command
        self.docker_runtime_config = docker_runtime_config
        self.gpus = gpus
        self.cpus = cpus
        self.memory = memory
        self.priority = priority
        self.max_queue_seconds = max_queue_seconds
        self.retries = retries
        self.user = user
        self.environment_variables = dict(environment_variables or {})
        self.datastores = tuple(datastores)
        self.display_name = display_name

    def __repr__(self) -> str:
        what = self.command if self.script is None else os.fspath(self.script)
        return f"ScriptRunConfig({what!r}, compute_target={self.compute_target!r})"
