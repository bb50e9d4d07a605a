"""What a script runs in, as the SDK's users say it; it becomes the Environment of runyard/spec.py.

Reads the requirements files that it names; a Dockerfile that is given as text is written to this machine's cache when the run
is submitted. What a node cannot do is refused with a sentence, when the run is submitted or before.

| Azure ML | here |
| --- | --- |
| `Environment(name)`, `python.user_managed_dependencies = True` | the Python that is on the node; no more is built |
| `from_pip_requirements(name, file)` | a venv |
| `from_docker_image(name, image)`, `docker.base_image` | a container of that image |
| `from_dockerfile(name, dockerfile)`, `docker.base_dockerfile` | a container of the image that it builds |
| `environment_variables` | variables of the script |
| `python.interpreter_path` | what starts the script, by default python3, or on this machine this Python; a venv is made of it |
| `docker.shm_size` | shared memory of the container |
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runyard import atomic, names, requirements
from runyard import spec as specs
from runyard.errors import InputError
from runyard.settings import Settings

CONTAINERFILE = "Containerfile"


class _Section:
    """Takes the attributes that it knows, and refuses others: one that nobody reads would be passed over in silence."""

    _where = ""
    _known: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._known:
            known = ", ".join(word for word in self._known if not word.startswith("_"))
            raise InputError(f"{self._where}.{name} is not known here; there are {known}")
        object.__setattr__(self, name, value)


class PythonSection(_Section):
    """Which Python there is."""

    _where = "environment.python"
    _known = ("user_managed_dependencies", "interpreter_path", "conda_dependencies")

    def __init__(self) -> None:
        self.user_managed_dependencies: bool | None = None
        self.interpreter_path = ""
        self.conda_dependencies: Any = None


class DockerSection(_Section):
    """The container, where there is one."""

    _where = "environment.docker"
    _known = ("enabled", "base_image", "base_dockerfile", "shm_size", "arguments")

    def __init__(self) -> None:
        self.enabled: bool | None = None
        self.base_image: str | None = None
        self.base_dockerfile: str | None = None
        self.shm_size: str | None = None
        self.arguments: list[str] = []


class DockerConfiguration(_Section):
    """A run's docker_runtime_config: whether its environment's image is used, and with how much shared memory."""

    _where = "docker_runtime_config"
    _known = ("use_docker", "shared_volumes", "arguments", "shm_size")

    def __init__(
        self,
        use_docker: bool = False,
        shared_volumes: bool | None = None,
        arguments: Sequence[str] | None = None,
        shm_size: str | None = None,
    ) -> None:
        self.use_docker = use_docker
        self.shared_volumes = shared_volumes
        self.arguments = list(arguments or [])
        self.shm_size = shm_size


class Environment(_Section):
    """An environment. Its name is for people; equal contents are built once, whatever they are called."""

    _where = "environment"
    _known = ("name", "environment_variables", "python", "docker", "_requirements")

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise InputError(f"the environment's name is {name!r}; it has to be a text")
        self.name = name
        self.environment_variables: dict[str, str] = {}
        self.python = PythonSection()
        self.docker = DockerSection()
        self._requirements = requirements.Requirements()

    def __repr__(self) -> str:
        return f"Environment({self.name!r})"

    @staticmethod
    def from_pip_requirements(name: str, file_path: str | os.PathLike[str], pip_version: str | None = None) -> Environment:
        """A venv with what the requirements file asks for; it is read now, with the files that it names. Raises InputError."""
        if pip_version is not None:
            raise InputError("pip_version cannot be chosen: a venv is made by uv or by its own pip; leave it out")
        environment = Environment(name)
        environment._requirements = requirements.read(Path(file_path))
        return environment

    @staticmethod
    def from_docker_image(
        name: str,
        image: str,
        container_registry: Any = None,
        conda_specification: str | None = None,
        pip_requirements: str | None = None,
    ) -> Environment:
        """A container of a ready image, which brings all that the script needs."""
        if container_registry is not None:
            raise InputError("container_registry: write the registry into the image's name, and log the nodes' podman in there")
        _refuse_more(conda_specification, pip_requirements)
        environment = Environment(name)
        environment.docker.base_image = image
        return environment

    @staticmethod
    def from_dockerfile(
        name: str,
        dockerfile: str | os.PathLike[str],
        conda_specification: str | None = None,
        pip_requirements: str | None = None,
    ) -> Environment:
        """A container of the image that a Dockerfile builds. `dockerfile`: its path, with its folder as the build's context; or
        its text, for runs on this machine, with nothing to copy from."""
        _refuse_more(conda_specification, pip_requirements)
        environment = Environment(name)
        environment.docker.base_dockerfile = os.fspath(dockerfile)
        return environment

    @staticmethod
    def from_conda_specification(name: str, file_path: str) -> Environment:
        """Refused: no node makes conda environments."""
        raise InputError(
            f"environment {name!r}: conda environments are not made by the nodes; list pip's packages in a requirements file"
            " (from_pip_requirements), or take an image that has conda in it (from_docker_image)"
        )


def _refuse_more(conda_specification: str | None, pip_requirements: str | None) -> None:
    for word, value in (("conda_specification", conda_specification), ("pip_requirements", pip_requirements)):
        if value is not None:
            raise InputError(f"{word} is not installed into an image; install it in the Dockerfile (from_dockerfile)")


def spec_of(environment: Environment | None, settings: Settings, *, is_elsewhere: bool) -> specs.Environment:
    """What the nodes are asked for. `is_elsewhere`: other machines than this one. Raises InputError for what cannot be."""
    if environment is None:
        return specs.Environment()
    if not isinstance(environment, Environment):
        raise InputError(f"environment is a {type(environment).__name__}; make it with Environment(name), or leave it out")
    docker = environment.docker
    if environment.python.conda_dependencies is not None:
        raise InputError("environment.python.conda_dependencies: no node makes conda environments; take from_pip_requirements")
    if docker.arguments:
        raise InputError("environment.docker.arguments cannot be handed on to the container's engine; leave them out")
    is_container = bool(docker.base_image or docker.base_dockerfile)
    if docker.enabled and not is_container:
        raise InputError("environment.docker.enabled needs an image; set docker.base_image, or take from_docker_image")
    if is_container and docker.enabled is not False:
        return _container(environment, settings, is_elsewhere)
    if docker.shm_size:
        raise InputError("environment.docker.shm_size needs a container; set docker.base_image, or leave it out")
    return _venv(environment)


def _venv(environment: Environment) -> specs.Environment:
    wanted = environment._requirements
    if not wanted.folder:
        return specs.Environment()
    if environment.python.user_managed_dependencies:
        raise InputError(
            "environment.python.user_managed_dependencies: a requirements file is installed by the node; leave one of them out"
        )
    return specs.Environment(
        kind=specs.VENV,
        python=environment.python.interpreter_path,
        requirements=wanted.text,
        constraints=wanted.constraints,
        requirements_dir=wanted.folder,
    )


def _container(environment: Environment, settings: Settings, is_elsewhere: bool) -> specs.Environment:
    docker = environment.docker
    if environment._requirements.folder:
        raise InputError("a requirements file is not installed into an image; install it in the Dockerfile (from_dockerfile)")
    if docker.base_image and docker.base_dockerfile:
        raise InputError("environment.docker has base_image and base_dockerfile; keep one of them")
    if docker.base_image:
        return specs.Environment(kind=specs.CONTAINER, image=str(docker.base_image))
    file = _containerfile(str(docker.base_dockerfile), settings, is_elsewhere)
    return specs.Environment(
        kind=specs.CONTAINER,
        containerfile=str(file),
        context=str(file.parent),
        registry=settings.environment.registry,
        repository=settings.environment.repository,
    )


def _containerfile(given: str, settings: Settings, is_elsewhere: bool) -> Path:
    """The Dockerfile's path; one that is given as text is written to the cache, named by its content."""
    if "\n" not in given:
        return Path(given).expanduser().absolute()
    if is_elsewhere:
        raise InputError(
            "the Dockerfile is given as text, and a cluster's nodes build from files that they have; give a path that is the"
            " same there, or push the image and take from_docker_image"
        )
    digest = hashlib.sha256(given.encode()).hexdigest()
    folder = Path(settings.environment.cache_dir).expanduser().absolute() / "containerfiles" / digest
    folder.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
    atomic.write_bytes(str(folder / CONTAINERFILE), given.encode(), durable=False)
    return folder / CONTAINERFILE
