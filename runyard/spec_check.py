"""Whether a Spec can be carried out, as far as this machine can tell: one sentence for the first thing that is wrong.

Reads from the file system (whether folders and files are there); writes nothing. For Specs made by hand, of flags or of a file.
"""
# os.path says no where pathlib raises: of a name that is too long, of half a character.
# ruff: noqa: PTH110, PTH112, PTH117, PTH118

from __future__ import annotations

import os
import re
from dataclasses import fields, replace
from typing import Any

from . import distribution, names
from .distribution import Distribution
from .errors import InputError
from .settings import LONGEST_S
from .spec import CONTAINER, DOWNLOAD, HOST, MOUNT, VENV, Datastore, Environment, Limits, Manager, Resources, Retries, Spec
from .spec_kinds import nearest, shown_path, why_wrong
from .spec_secrets import check_options, check_secrets, check_url

MOST_RETRIES = 100

# Members of an environment -> the one kind that they belong to.
OWNERS = dict.fromkeys(("python", "requirements", "constraints", "requirements_dir"), VENV) | dict.fromkeys(
    ("image", "containerfile", "context", "build_args", "registry"), CONTAINER
)

_PARTS: dict[str, type[Any]] = {
    "Environment": Environment,
    "Resources": Resources,
    "Limits": Limits,
    "Retries": Retries,
    "Distribution": Distribution,
    "tuple[Datastore, ...]": Datastore,
    "tuple[Manager, ...]": Manager,
}
_DATASTORE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MANAGER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
_REGISTRY = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?")
_REPOSITORY = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_MEMORY = re.compile(r"[1-9][0-9]*[bkmg]", re.IGNORECASE)


def check(spec: Spec, *, is_elsewhere: bool = False) -> None:
    """Raises InputError, with the member's name, for what is wrong or missing. Whether the command's program is there, it
    does not look at; `is_elsewhere`: nor at files that only the run itself needs. Blocks on the file system."""
    _check_kinds(spec, "")
    if not spec.command or not spec.command[0]:
        raise InputError("there is no command to run; write it behind --, as in: runyard run -- python train.py")
    if spec.experiment and names.why_bad_run_id(spec.experiment):
        raise InputError(f"experiment {spec.experiment!r} {names.why_bad_run_id(spec.experiment)}")
    for name in spec.env:
        if not name or "=" in name:
            raise InputError(f"env: {name!r} is no name of a variable; it has to be a text without '='")
    if "" in spec.tags:
        raise InputError('tags: a tag has no name; write it as in tags = { lr = "0.1" }')
    _check_environment(spec.environment, is_elsewhere)
    _check_folders(spec, is_elsewhere)
    _check_datastores(spec.datastores, is_elsewhere)
    for manager in spec.context_managers:
        _check_manager(manager)
    _check_resources(spec.resources, spec.environment.kind)
    _check_numbers(spec)
    why = distribution.why_wrong(replace(spec.distribution, node_rank=0))  # which node this is, no description says
    if why:
        raise InputError(why)
    if spec.distribution.kind == distribution.MPI and spec.environment.kind == CONTAINER:
        raise InputError("--distribution mpi starts its ranks on the node itself; take no image and no containerfile with it")


def _check_kinds(part: Any, prefix: str) -> None:
    """Every member has a value of its kind; for Specs that no reader has made."""
    for member in fields(part):
        value, where = getattr(part, member.name), prefix + member.name
        kind = _PARTS.get(str(member.type))
        if kind is None:
            why = why_wrong(str(member.type), value)
            if why:
                raise InputError(f"{where} {why}")
            continue
        parts = value if str(member.type).startswith("tuple") else (value,)
        if not isinstance(parts, list | tuple) or not all(isinstance(one, kind) for one in parts):
            raise InputError(f"{where} holds something else than {kind.__name__}; make it with runyard.spec.{kind.__name__}")
        for index, one in enumerate(parts):
            _check_kinds(one, f"{where}[{index}]." if parts is value else f"{where}.")


def _check_environment(environment: Environment, is_elsewhere: bool) -> None:
    kind = environment.kind
    if kind not in (HOST, VENV, CONTAINER):
        raise InputError(
            f"environment.kind is {kind!r}; it has to be host, venv or container{nearest(kind, (HOST, VENV, CONTAINER))}"
        )
    for name, owner in OWNERS.items():
        if getattr(environment, name) and kind != owner:
            raise InputError(f"environment.{name} is for the kind {owner!r}, and the kind is {kind!r}; take one of them out")
    if kind == VENV:
        _check_venv(environment)
    if kind == CONTAINER:
        _check_container(environment, is_elsewhere)


def _check_venv(environment: Environment) -> None:
    if not environment.requirements.strip():
        raise InputError("environment.requirements is empty or missing; name a requirements file, or take the kind 'host'")
    if environment.python.startswith("-"):
        raise InputError(f"environment.python {environment.python!r} is no program; name one, as in python3.12")
    _check_absolute("environment.requirements_dir", environment.requirements_dir)
    if "/" in environment.python:
        _check_absolute("environment.python", environment.python)


def _check_container(environment: Environment, is_elsewhere: bool) -> None:
    if environment.image and environment.containerfile:
        raise InputError("environment.image and environment.containerfile are both given; take a ready image or build one")
    if environment.image:
        _check_image(environment)
    elif environment.containerfile:
        _check_build(environment, is_elsewhere)
    else:
        raise InputError("environment has neither image nor containerfile; a container needs one of them")


def _check_image(environment: Environment) -> None:
    if not _IMAGE.fullmatch(environment.image):
        raise InputError(
            f"environment.image {environment.image!r} is no name of an image; write it as in docker.io/library/python:3.12"
        )
    for name in ("context", "build_args", "registry"):
        if getattr(environment, name):
            raise InputError(
                f"environment.{name} is for an image that is built, and environment.image is ready; take one of them out"
            )


def _check_build(environment: Environment, is_elsewhere: bool) -> None:
    for name, is_there, what in (("containerfile", os.path.isfile, "file"), ("context", os.path.isdir, "folder")):
        path = getattr(environment, name)
        _check_absolute(f"environment.{name}", path)
        if not is_elsewhere and not is_there(path):
            raise InputError(
                f"environment.{name}: {shown_path(path) or 'what is given'} is no {what}; it has to be one that exists"
            )
    if "" in environment.build_args or any("=" in name for name in environment.build_args):
        raise InputError('environment.build_args: a name is empty or holds "="; write it as in build_args = { BASE = "3.12" }')
    registry = environment.registry
    if registry and not _REGISTRY.fullmatch(registry):
        why = "has a scheme or a path" if "/" in registry else "is no registry"
        raise InputError(
            f"environment.registry {_without_password(registry)!r} {why}; write it as host:port, as in registry.local:5000"
        )
    if not _REPOSITORY.fullmatch(environment.repository):
        raise InputError(
            f"environment.repository {environment.repository!r} is no repository; write it in small letters, as in team/runs"
        )


def _without_password(address: str) -> str:
    return re.sub(r"[^/]*@", "…@", address)


def _check_folders(spec: Spec, is_elsewhere: bool) -> None:
    if spec.code:
        _check_absolute("code", spec.code)
        if not os.path.isdir(spec.code):
            raise InputError(f"code: {shown_path(spec.code)} is no folder; it has to be the folder of the code that exists")
        if os.path.isabs(spec.cwd) or ".." in spec.cwd.split("/"):
            raise InputError(f"cwd {spec.cwd!r} is not inside the code; with code, give it relative to that folder")
        if not os.path.isdir(os.path.join(spec.code, spec.cwd)):
            raise InputError(f"cwd: there is no folder {spec.cwd!r} in the code ({shown_path(spec.code)})")
    elif spec.cwd:
        _check_absolute("cwd", spec.cwd)
        if spec.environment.kind != CONTAINER and not is_elsewhere and not os.path.isdir(spec.cwd):
            raise InputError(f"cwd: {shown_path(spec.cwd)} is no folder; it has to be one that exists")


def _check_absolute(where: str, path: str) -> None:
    if not os.path.isabs(path):
        raise InputError(f"{where} is {path!r}; it has to be an absolute path")


def _check_datastores(datastores: tuple[Datastore, ...], is_elsewhere: bool) -> None:
    variables: dict[str, str] = {}
    paths: dict[str, str] = {}
    for datastore in datastores:
        _check_datastore(datastore, is_elsewhere)
        name, variable, path = datastore.name, datastore.variable, datastore.path or datastore.name
        if variable in variables:
            raise InputError(
                f"the datastores {variables[variable]!r} and {name!r} would share the variable {variable}; rename one"
            )
        for taken, owner in paths.items():
            if f"{taken}/".startswith(f"{path}/") or f"{path}/".startswith(f"{taken}/"):
                raise InputError(
                    f"the datastores {owner!r} and {name!r} would both lie at the path {path!r}; give one another path"
                )
        variables[variable] = name
        paths[path] = name


def _check_datastore(datastore: Datastore, is_elsewhere: bool) -> None:
    name, where = datastore.name, f"datastores.{datastore.name}"
    if not _DATASTORE_NAME.fullmatch(name):
        raise InputError(
            f"the datastore's name {name!r} cannot be used; it has to be at most 64 letters, digits, '_', '-' and '.', "
            "and starts with a letter or digit"
        )
    if not datastore.url:
        raise InputError(f"{where}.url is missing; write it as in s3://bucket/folder, https://host/folder or /folder")
    check_url(datastore.url, f"{where}.url")
    if datastore.mode not in (DOWNLOAD, MOUNT):
        raise InputError(f"{where}.mode is {datastore.mode!r}; it has to be download or mount")
    if datastore.mode == MOUNT:
        _check_mount(datastore, where, is_elsewhere)
    why = names.why_bad_stream_name(datastore.path) if datastore.path else ""
    if why:
        raise InputError(f"{where}.path {datastore.path!r} {why}; it has to be a path inside the run's data folder")
    check_secrets(datastore.secrets, datastore.options, f"{where}.secrets")
    check_options(datastore.options, f"{where}.options")


def _check_mount(datastore: Datastore, where: str, is_elsewhere: bool) -> None:
    path = datastore.local_path
    if not path:
        raise InputError(
            f"{where}.mode is mount, and its url is no local path; take the mode download, or mount a local folder"
        )
    if not os.path.isabs(path) or not (is_elsewhere or os.path.exists(path)):
        raise InputError(
            f"{where}.url: {shown_path(path)} does not exist; what is mounted has to be a local path, absolute and there"
        )


def _check_manager(manager: Manager) -> None:
    if not _MANAGER.fullmatch(manager.use):
        given = repr(manager.use) if manager.use else "missing"
        raise InputError(f"context_managers: use is {given}; write a name, as in scratch, or module:Class")
    where = f"context_managers ({manager.use})"
    if not 0 < manager.timeout_s <= LONGEST_S:
        raise InputError(
            f"{where}: timeout is {manager.timeout_s}; it has to be more than 0 seconds and at most {LONGEST_S:.0f}"
        )
    options = dict(manager.options)
    check_secrets(options.pop("secrets", {}), {}, f"{where}: secrets")
    check_options(options, f"{where}: options")
    if isinstance(options.get("url"), str):
        check_url(options["url"], f"{where}: url")


def _check_resources(resources: Resources, kind: str) -> None:
    if resources.gpus != "auto" and not re.fullmatch("[0-9]{1,4}", resources.gpus):
        raise InputError(f"resources.gpus is {resources.gpus!r}; it has to be auto or a number of GPUs")
    for name in ("cpus", "memory", "shm_size"):
        if getattr(resources, name) and kind != CONTAINER:
            raise InputError(
                f"resources.{name} needs a container, and the environment's kind is {kind!r}; give an image or a containerfile"
            )
    for name in ("memory", "shm_size"):
        text = getattr(resources, name)
        if text and not _MEMORY.fullmatch(text):
            raise InputError(f"resources.{name} is {text!r}; write a whole number with b, k, m or g, as in 512m or 8g")
    if resources.cpus < 0:
        raise InputError(f"resources.cpus is {resources.cpus}; it has to be a number above 0, or 0 for no limit")


def _check_numbers(spec: Spec) -> None:
    for limit in fields(spec.limits):
        value_s = getattr(spec.limits, limit.name)
        if not 0 <= value_s <= LONGEST_S:
            raise InputError(f"limits.{limit.name} is {value_s}; it has to be from 0 (no limit) to {LONGEST_S:.0f} seconds")
    for retry in fields(spec.retries):
        count = getattr(spec.retries, retry.name)
        if not 0 <= count <= MOST_RETRIES:
            raise InputError(f"retries.{retry.name} is {count}; it has to be a whole number from 0 to {MOST_RETRIES}")
