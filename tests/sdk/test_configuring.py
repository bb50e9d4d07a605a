"""What a ScriptRunConfig asks for, with the names, arguments and defaults of Azure ML; what cannot be is one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runyard import Environment, MpiConfiguration, PyTorchConfiguration, ScriptRunConfig, TensorflowConfiguration
from runyard.configuration import load
from runyard.errors import InputError
from runyard.queue_order import Wanted
from runyard.sdk.configuring import target_of, wanted_of
from runyard.sdk.environment import DockerConfiguration
from runyard.spec import CONTAINER, HOST, VENV, Datastore

Ask = Callable[..., Wanted]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "inner").mkdir(parents=True)
    (folder / "train.py").touch()
    (folder / "inner" / "eval.py").touch()
    (tmp_path / "other.py").touch()
    (tmp_path / "requirements.txt").write_text("numpy==2.0\n")
    return folder


@pytest.fixture
def ask(code: Path, tmp_path: Path) -> Ask:
    """What is asked for by a config of the folder `code`."""

    def made(script: Any = "train.py", *words: Any, tags: Any = None, **more: Any) -> Wanted:
        config = ScriptRunConfig(code, script, *words, **more)
        settings = load(environ={"RUNYARD_ENVIRONMENT__CACHE_DIR": str(tmp_path / "cache")})
        return wanted_of(config, settings, "r", "digits", tags, "", "")

    return made


def test_a_script_is_a_python_of_its_environment_with_words(ask: Ask, code: Path) -> None:
    arguments = ["--lr", 0.1, "--n", 3, "--data", Path("/data"), np.float32(0.5), np.int64(7), True]
    wanted = ask("inner/eval.py", arguments, compute_target="lab")
    words = ("--lr", "0.1", "--n", "3", "--data", "/data", "0.5", "7", "True")
    assert wanted.spec.command == ("python3", "inner/eval.py", *words)
    assert (wanted.spec.code, wanted.spec.cwd, wanted.spec.experiment) == (str(code), "", "digits")
    assert wanted.spec.limits.driver_s == 2_592_000
    assert ask(code / "train.py").spec.command == (sys.executable, "train.py")
    assert ask(max_run_duration_seconds=None).spec.limits.driver_s == 0
    named = Environment("e")
    named.python.interpreter_path = "/opt/python"
    assert ask(environment=named).spec.command[0] == "/opt/python"


def test_a_command_is_its_words_or_a_text_for_the_shell(ask: Ask) -> None:
    assert ask(None, command=["python", Path("train.py"), 1]).spec.command == ("python", "train.py", "1")
    assert ask(None, command="cd x && ./run").spec.command == ("/bin/sh", "-c", "cd x && ./run")


def test_the_target_is_a_cluster_or_this_machine(code: Path) -> None:
    assert target_of(ScriptRunConfig(code, "train.py")) == ""
    assert target_of(ScriptRunConfig(code, "train.py", compute_target="local")) == ""
    assert target_of(ScriptRunConfig(code, "train.py", compute_target="lab")) == "lab"


def test_what_a_queue_is_asked_for(ask: Ask) -> None:
    more: dict[str, Any] = {"priority": 5, "max_queue_seconds": 60, "retries": 2, "user": "ann", "display_name": "try"}
    wanted = ask(compute_target="lab", gpus=2, cpus=1.5, memory="8g", tags={"lr": 0.1}, **more)
    assert (wanted.gpus, wanted.cpus, wanted.memory_bytes, wanted.node_count) == (2, 1.5, 8 << 30, 1)
    assert (wanted.priority, wanted.max_queue_s, wanted.retries, wanted.user) == (5, 60.0, 2, "ann")
    assert (wanted.spec.tags, wanted.spec.name) == ({"lr": "0.1"}, "try")
    assert wanted.spec.resources == type(wanted.spec.resources)()


@pytest.mark.parametrize(
    ("config", "spread"),
    [
        (MpiConfiguration(), ("mpi", 1, 1, 0)),
        (MpiConfiguration(4, 2), ("mpi", 2, 4, 0)),
        (PyTorchConfiguration(), ("pytorch", 1, 1, 0)),
        (PyTorchConfiguration(node_count=3), ("pytorch", 3, 1, 0)),
        (PyTorchConfiguration("Gloo", 8, 2), ("pytorch", 2, 4, 0)),
        (TensorflowConfiguration(), ("tensorflow", 1, 2, 1)),
        (TensorflowConfiguration(2, 4), ("tensorflow", 2, 3, 4)),
        (TensorflowConfiguration(2, 0), ("tensorflow", 2, 1, 0)),
    ],
)
def test_how_a_run_is_spread(ask: Ask, config: Any, spread: tuple[str, int, int, int]) -> None:
    found = ask(compute_target="lab", distributed_job_config=config).spec.distribution
    assert (found.kind, found.node_count, found.processes_per_node, found.parameter_servers) == spread


def test_on_this_machine_all_of_tensorflows_processes_are_on_it(ask: Ask) -> None:
    found = ask(distributed_job_config=TensorflowConfiguration(2, 1)).spec.distribution
    assert (found.node_count, found.processes_per_node, found.parameter_servers) == (1, 3, 1)


def test_attributes_may_be_set_as_in_the_sdk_of_2020(ask: Ask) -> None:
    config = MpiConfiguration()
    config.process_count_per_node = 4
    assert ask(compute_target="lab", distributed_job_config=config).spec.distribution.processes_per_node == 4


def test_environments(ask: Ask, code: Path) -> None:
    plain = Environment("plain")
    plain.environment_variables = {"A": "1", "B": 2}  # type: ignore[dict-item]
    plain.python.user_managed_dependencies = True
    spec = ask(environment=plain, environment_variables={"A": "3"}).spec
    assert (spec.environment.kind, spec.env) == (HOST, {"A": "3", "B": "2"})
    venv = ask(environment=Environment.from_pip_requirements("v", code.parent / "requirements.txt")).spec
    assert (venv.environment.kind, venv.environment.requirements, venv.command[0]) == (VENV, "numpy==2.0\n", "python3")
    image = Environment.from_docker_image("i", "registry.local:5000/torch:2")
    docker = DockerConfiguration(use_docker=True, shm_size="2g")
    spec = ask(environment=image, docker_runtime_config=docker, memory="1g", cpus=2).spec
    assert (spec.environment.kind, spec.environment.image) == (CONTAINER, "registry.local:5000/torch:2")
    assert (spec.resources.shm_size, spec.resources.memory, spec.resources.cpus) == ("2g", "1g", 2.0)
    assert ask(environment=image, gpus=1, compute_target="lab").spec.resources.gpus == "1"


def test_a_dockerfile_is_a_path_or_a_text(ask: Ask, code: Path) -> None:
    file = code / "Dockerfile"
    file.write_text("FROM scratch\n")
    found = ask(environment=Environment.from_dockerfile("d", file)).spec.environment
    assert (found.containerfile, found.context) == (str(file), str(code))
    text = "FROM scratch\nRUN true\n"
    found = ask(environment=Environment.from_dockerfile("d", text)).spec.environment
    assert Path(found.containerfile).read_text() == text
    assert ask(environment=Environment.from_dockerfile("d", text)).spec.environment == found


ELSEWHERE = {"compute_target": "lab"}


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ({"script": "none.py"}, ["script 'none.py'", "does not exist"]),
        ({"script": "../other.py"}, ["'../other.py'", "not in source_directory"]),
        ({"script": ""}, ["script is empty"]),
        ({"arguments": "--lr 1"}, ["arguments is a str", "list"]),
        ({"arguments": [1, None]}, ["arguments[1]", "NoneType"]),
        ({"arguments": [{}]}, ["arguments[0]", "dict"]),
        ({"script": None, "command": ""}, ["command is empty"]),
        ({"script": None, "command": []}, ["no command"]),
        ({"compute_target": "slurm:gpu"}, ["slurm:gpu", "runyard submit"]),
        ({"compute_target": 7}, ["compute_target", "name"]),
        ({"priority": 1}, ["priority", "queue"]),
        ({"retries": 1}, ["retries", "queue"]),
        ({"user": "ann"}, ["user", "queue"]),
        ({"max_queue_seconds": 1}, ["max_queue_seconds", "queue"]),
        ({"cpus": 2}, ["cpus", "container"]),
        ({**ELSEWHERE, "cpus": 0}, ["cpus is 0"]),
        ({**ELSEWHERE, "gpus": -1}, ["gpus is -1"]),
        ({**ELSEWHERE, "gpus": 1.5}, ["gpus is 1.5"]),
        ({**ELSEWHERE, "memory": "lots"}, ["memory is 'lots'", "8g"]),
        ({**ELSEWHERE, "memory": 8}, ["memory is 8"]),
        ({**ELSEWHERE, "priority": 2000}, ["priority is 2000"]),
        ({"max_run_duration_seconds": -1}, ["max_run_duration_seconds is -1"]),
        ({"max_run_duration_seconds": float("nan")}, ["max_run_duration_seconds is nan"]),
        ({"max_run_duration_seconds": "1h"}, ["max_run_duration_seconds is '1h'"]),
        ({"display_name": 3}, ["display_name is a int"]),
        ({"tags": ["a"]}, ["tags is a list"]),
        ({"tags": {"": "x"}}, ["tags", "no name"]),
        ({"environment_variables": {"A=B": "x"}}, ["'A=B'"]),
        ({"environment": "torch"}, ["environment is a str", "Environment(name)"]),
        ({"distributed_job_config": "mpi"}, ["distributed_job_config is a str", "MpiConfiguration"]),
        ({"distributed_job_config": MpiConfiguration(node_count=2)}, ["2 nodes", "this machine"]),
        ({"distributed_job_config": MpiConfiguration(process_count_per_node=0)}, ["process_count_per_node is 0"]),
        ({**ELSEWHERE, "distributed_job_config": PyTorchConfiguration(process_count=3, node_count=2)}, ["3", "2 nodes"]),
        ({"distributed_job_config": PyTorchConfiguration("tcp")}, ["communication_backend is 'tcp'", "Gloo"]),
        ({**ELSEWHERE, "distributed_job_config": TensorflowConfiguration(2, 1)}, ["parameter_server_count is 1", "2 nodes"]),
        ({"docker_runtime_config": {"use_docker": True}}, ["docker_runtime_config is a dict"]),
        ({"docker_runtime_config": DockerConfiguration(use_docker=True)}, ["use_docker", "needs an image"]),
        ({"docker_runtime_config": DockerConfiguration(arguments=["--init"])}, ["arguments"]),
        ({"datastores": [Datastore(name="x", url="")]}, ["datastores.x.url"]),
    ],
)
def test_what_cannot_be_is_one_sentence(ask: Ask, more: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        ask(**more)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: ScriptRunConfig("."), ["script or a command"]),
        (lambda: ScriptRunConfig(".", "a.py", command=["b"]), ["script or a command"]),
        (lambda: ScriptRunConfig(".", None, ["x"], command=["b"]), ["arguments are a script's"]),
        (lambda: ScriptRunConfig(".", "a.py", resume_from="/ckpt"), ["resume_from", "datastore"]),
        (lambda: ScriptRunConfig(".", "a.py", None, object()), ["run_config", "compute_target"]),
        (lambda: Environment(""), ["environment's name"]),
        (lambda: Environment.from_conda_specification("c", "c.yml"), ["conda", "from_pip_requirements"]),
        (lambda: Environment.from_pip_requirements("v", "none.txt"), ["none.txt", "does not exist"]),
        (lambda: Environment.from_pip_requirements("v", "none.txt", pip_version="9"), ["pip_version"]),
        (lambda: Environment.from_docker_image("i", "x", pip_requirements="r.txt"), ["pip_requirements", "Dockerfile"]),
        (lambda: Environment.from_docker_image("i", "x", container_registry=object()), ["container_registry"]),
        (lambda: Environment.from_dockerfile("i", "x", conda_specification="c.yml"), ["conda_specification"]),
        (lambda: setattr(Environment("x"), "spark", 1), ["environment.spark", "docker"]),
        (lambda: setattr(Environment("x").docker, "gpu_support", True), ["environment.docker.gpu_support", "base_image"]),
        (lambda: setattr(Environment("x").python, "conda", 1), ["environment.python.conda", "interpreter_path"]),
    ],
)
def test_what_can_never_be_is_said_where_it_stands(make: Callable[[], object], parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_no_part_of_an_environment_is_dropped_in_silence(ask: Ask, code: Path) -> None:
    for section, name, value in (
        ("python", "conda_dependencies", object()),
        ("docker", "arguments", ["--init"]),
        ("docker", "enabled", True),
        ("docker", "shm_size", "2g"),
    ):
        environment = Environment("x")
        setattr(getattr(environment, section), name, value)
        with pytest.raises(InputError, match=name):
            ask(environment=environment)
    venv = Environment.from_pip_requirements("v", code.parent / "requirements.txt")
    venv.python.user_managed_dependencies = True
    with pytest.raises(InputError, match="user_managed_dependencies"):
        ask(environment=venv)
    text = Environment.from_dockerfile("d", "FROM scratch\nRUN true\n")
    with pytest.raises(InputError, match="as text"):
        ask(environment=text, compute_target="lab")
    with pytest.raises(InputError, match="--distribution mpi"):
        ask(environment=Environment.from_docker_image("i", "x"), distributed_job_config=MpiConfiguration())
