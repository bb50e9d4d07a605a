"""The flags of `runyard run` that describe more than a command, put over what a run.toml says; then the whole is checked.

Loaded only where one of them is given. Reads the files that they name and which variables are set; writes nothing.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from runyard import requirements, settings, spans, spec_file
from runyard.errors import InputError
from runyard.spec import CONTAINER, MOUNT, VENV, Datastore, Environment, Limits, Manager, Resources, Retries, Spec
from runyard.spec_check import check
from runyard.spec_kinds import nearest
from runyard.spec_secrets import secret_variables

from . import run_distribution
from .run_common import over, pairs, spec_values


def described(args: argparse.Namespace, loaded: settings.Settings, *, is_elsewhere: bool = False) -> Spec:
    """The run that file and flags describe together, checked. Raises InputError. `is_elsewhere`: it takes place on other
    machines, whose files and variables are not looked at."""
    defaults = loaded.environment
    base = Spec()
    if args.spec is not None:
        base = spec_file.load(Path(args.spec), registry=defaults.registry, repository=defaults.repository)
    spec = _with_common_flags(_over(base, args, defaults), args, is_elsewhere)
    _check(spec, base, args.spec, is_elsewhere)
    if not is_elsewhere:
        _check_variables(spec, dict(os.environ) | dict(spec.env))
    return spec


def _with_common_flags(spec: Spec, args: argparse.Namespace, is_elsewhere: bool) -> Spec:
    common = over(spec_values(spec), args, is_elsewhere=is_elsewhere)
    values = {field: getattr(common, field) for field in ("command", "experiment", "name", "tags", "env", "cwd")}
    return replace(spec, **values, limits=replace(spec.limits, driver_s=common.driver_s))


def _over(base: Spec, args: argparse.Namespace, defaults: settings.Environment) -> Spec:
    """The file's description, with the flags of DETAILS in it."""
    return replace(
        base,
        code=base.code if args.code is None else _path(args.code, "--code"),
        environment=_environment(args, base.environment, defaults),
        datastores=_datastores(args, base),
        context_managers=(*base.context_managers, *(Manager(use=use) for use in args.context_manager or [])),
        sidecar=base.sidecar if args.sidecar is None else args.sidecar,
        resources=_resources(args, base.resources),
        limits=_limits(args.limit or [], base.limits),
        retries=_retries(args.retries or [], base.retries),
        distribution=run_distribution.over(base.distribution, args),
    )


def _check(spec: Spec, base: Spec, file: str | None, is_elsewhere: bool) -> None:
    """Check it, and name the file where what is wrong stands there."""
    try:
        check(spec, is_elsewhere=is_elsewhere)
    except InputError as error:
        if file is not None and _why_wrong(replace(base, command=spec.command), is_elsewhere) == str(error):
            raise InputError(f"{file}: {error}") from error
        raise


def _why_wrong(spec: Spec, is_elsewhere: bool) -> str:
    try:
        check(spec, is_elsewhere=is_elsewhere)
    except InputError as error:
        return str(error)
    return ""


def _check_variables(spec: Spec, environ: Mapping[str, str]) -> None:
    """What takes a secret from a variable fails before it starts where there is none."""
    for name in sorted(secret_variables(spec) - set(environ)):
        raise InputError(f"a secret is taken from the variable {name} (env:{name}), which is not set; set it before the run")


def _environment(args: argparse.Namespace, base: Environment, defaults: settings.Environment) -> Environment:
    """A flag that chooses an environment takes the place of the file's; the others change it."""
    chosen = [flag for flag in ("image", "containerfile", "requirements") if getattr(args, flag) is not None]
    if len(chosen) > 1:
        raise InputError(f"--{chosen[0]} and --{chosen[1]} are for different environments; keep one of them")
    environment = base
    if args.image is not None:
        environment = Environment(kind=CONTAINER, image=args.image)
    elif args.containerfile is not None:
        environment = _built(_path(args.containerfile, "--containerfile"), base, defaults)
    elif args.requirements is not None:
        wanted = requirements.read(Path(_path(args.requirements, "--requirements")))
        environment = Environment(
            kind=VENV,
            python=base.python,
            requirements=wanted.text,
            constraints=wanted.constraints,
            requirements_dir=wanted.folder,
        )
    changes: dict[str, Any] = {key: getattr(args, key) for key in ("registry", "repository") if getattr(args, key) is not None}
    if args.context is not None:
        changes["context"] = _path(args.context, "--context")
    if args.python is not None:
        changes["python"] = _path(args.python, "--python") if "/" in args.python else args.python
    if args.build_arg is not None:
        changes["build_args"] = dict(environment.build_args) | pairs(args.build_arg, "--build-arg")
    return replace(environment, **changes)


def _built(containerfile: str, base: Environment, defaults: settings.Environment) -> Environment:
    is_built = bool(base.containerfile)
    return Environment(
        kind=CONTAINER,
        containerfile=containerfile,
        context=base.context if is_built else str(Path(containerfile).parent),
        build_args=base.build_args if is_built else {},
        registry=base.registry if is_built else defaults.registry,
        repository=base.repository if is_built else defaults.repository,
    )


def _datastores(args: argparse.Namespace, base: Spec) -> tuple[Datastore, ...]:
    """The file's datastores; one of a flag takes the place of the file's of that name."""
    given: dict[str, Datastore] = {}
    for flag, words in (("--datastore", args.datastore or []), ("--mount", args.mount or [])):
        for word in words:
            name, equals, target = word.partition("=")
            if not name or not equals or not target:
                right = "NAME=URL" if flag == "--datastore" else "NAME=PATH"
                # Not quoted: an address without a name may hold a password.
                raise InputError(f"{flag} is not given as {right}; write it as in {flag} digits=/data/digits")
            if name in given:
                raise InputError(f"the datastore {name!r} is given by two flags; keep one of them")
            url = spec_file.absolute_url(target, Path.cwd())
            given[name] = Datastore(name=name, url=url, mode=MOUNT) if flag == "--mount" else Datastore(name=name, url=url)
    kept = [given.pop(one.name, one) for one in base.datastores]
    return (*kept, *given.values())


def _resources(args: argparse.Namespace, base: Resources) -> Resources:
    changes: dict[str, Any] = {
        key: getattr(args, key) for key in ("gpus", "memory", "shm_size") if getattr(args, key) is not None
    }
    if args.cpus is not None:
        try:
            changes["cpus"] = float(args.cpus)
        except ValueError:
            raise InputError(f"--cpus {args.cpus!r} is no number; write it as in --cpus 1.5") from None
    return replace(base, **changes)


def _limits(words: list[str], base: Limits) -> Limits:
    changes: dict[str, float] = {}
    for phase, text in pairs(words, "--limit").items():
        _check_phase("--limit", phase, [member.name.removesuffix("_s") for member in fields(Limits)])
        span_s = spans.seconds(text)
        if span_s is None:
            raise InputError(f"--limit {phase}={text!r} is no length of time; {spans.RIGHT}")
        changes[f"{phase}_s"] = span_s
    return replace(base, **changes)


def _retries(words: list[str], base: Retries) -> Retries:
    changes: dict[str, int] = {}
    for phase, text in pairs(words, "--retries").items():
        _check_phase("--retries", phase, [member.name for member in fields(Retries)])
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise InputError(f"--retries {phase}={text!r} is no number of retries; write it as in --retries {phase}=2")
        changes[phase] = int(text)
    return replace(base, **changes)


def _check_phase(flag: str, phase: str, known: list[str]) -> None:
    if phase not in known:
        raise InputError(f"{flag}: there is no phase {phase!r} for it{nearest(phase, known)}")


def _path(text: str, flag: str) -> str:
    """A path that was given on the command line, absolute."""
    if not text:
        raise InputError(f"{flag} is empty; it has to name a file or folder")
    return os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 - pathlib's raises without a home
