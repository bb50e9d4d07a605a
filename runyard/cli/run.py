"""`runyard run -- CMD`: checks the words of the command line, then hands over to the agent's wrapper.

Reads from the flags, the settings and, where a flag names one, the run's description; writes nothing itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runyard import configuration, settings
from runyard.distribution import SLURM, Distribution
from runyard.errors import InputError
from runyard.run_ids import checked_id, fresh_run_id

from .run_common import BARE, DEFAULT_EXPERIMENT, SLURM_MARK, Common, over, pairs, spec_values

if TYPE_CHECKING:
    from runyard.spec import Snapshot, Spec

# The flags that say more than which command to run: title of their group -> (flag, what it takes, help). Those of MANY may be
# repeated. None of them given, nothing that reads descriptions is loaded.
DETAILS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "what the run is made of": (
        ("--spec", "FILE", "a run.toml that describes the run (docs/run-toml.md); a flag wins over it"),
        ("--code", "DIR", "folder that is brought to the nodes as a snapshot; the command runs in it"),
        ("--datastore", "NAME=URL", "data to download before the command runs (https://…, s3://…, a path); may be repeated"),
        ("--mount", "NAME=PATH", "local data to mount read-only; may be repeated"),
        ("--context-manager", "USE", "name or module:Class, entered before the command and left after it; may be repeated"),
    ),
    "environment": (
        ("--image", "I", "run in a container of this image"),
        ("--containerfile", "F", "run in a container of the image that this file builds"),
        ("--context", "D", "folder that the build sees; default: the Containerfile's"),
        ("--build-arg", "K=V", "argument of the build; may be repeated"),
        ("--registry", "HOST:PORT", "where a built image is pushed; default: environment.registry"),
        ("--repository", "R", "repository in that registry; default: environment.repository"),
        ("--requirements", "F", "run in a venv with what this file asks for"),
        ("--python", "P", "interpreter of the venv; default: the one that runs runyard"),
    ),
    "resources and limits": (
        ("--gpus", "N", "a number of GPUs, or auto: all there are"),
        ("--cpus", "N", "CPUs of the container, as in 1.5"),
        ("--memory", "M", "memory of the container, as in 512m or 8g"),
        ("--shm-size", "M", "shared memory of the container"),
        ("--limit", "PHASE=T", "longest time for image, execution, preparation or release, as in image=30m; may be repeated"),
        ("--retries", "PHASE=N", "how often image, execution or preparation is tried again; may be repeated"),
    ),
}
MANY = ("--datastore", "--mount", "--context-manager", "--build-arg", "--limit", "--retries", "--mpi-arg")
# The same for how the run is spread.
SEVERAL = (
    ("--nproc-per-node", "N", "processes on each node, each with a log of its own; default: 1"),
    ("--distribution", "KIND", "pytorch, tensorflow or mpi: which variables the processes get, and who starts them"),
    ("--nnodes", "N", "nodes of the run: the same command is started on each, with the same --run-id; default: 1"),
    ("--node-rank", "R", "which of the nodes this is, from 0, the head node"),
    ("--rendezvous", "T", "how long the nodes wait for each other; default: 10m"),
    ("--parameter-servers", "N", "tensorflow: so many of the processes, the last ones, are parameter servers"),
    ("--on-failure", "POLICY", "fail-fast: when a process has failed, the others are ended (default); wait: they are not"),
    ("--max-restarts", "N", "how often a run that has failed is started again as a whole; default: 0"),
    ("--failure-grace", "T", "fail-fast: how long the others have to end by themselves; default: 30s"),
    ("--stall-after", "T", "a rank that says nothing for so long has its stacks taken; 0: never (default)"),
    ("--mpi-arg", "WORD", "for mpirun, as in --mpi-arg=--bind-to --mpi-arg=none; may be repeated"),
    ("--launcher", "WHO", "auto (default): a Slurm step is recognised; none: it is not; slurm: there has to be one"),
)
# What `runyard submit` asks for travels to a Slurm job in it: base64 of {"spec", "snapshot"} as JSON. The SDK writes the same
# to a file, with "parent_run_id" where there is one.
ORDER_VARIABLE = "RUNYARD_ORDER"


class _Order(NamedTuple):
    """A run that is described, whoever has described it."""

    spec: Spec | None
    snapshot: Snapshot | None = None
    parent_run_id: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `runyard run`."""
    parser.usage = "runyard run [options] [-- CMD [ARG ...]]"
    parser.add_argument("--order", nargs="?", const=BARE, help=argparse.SUPPRESS)
    # Where nobody waits for this process: for so many seconds a collector may be away at the end.
    parser.add_argument("--patience", type=float, help=argparse.SUPPRESS)
    add_flags(parser)


def add_flags(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> None:
    """The flags that describe a run, for every verb that starts one; those in `without` are its own."""
    parser.add_argument("--experiment", metavar="E", help=f"experiment that the run belongs to; default: {DEFAULT_EXPERIMENT}")
    parser.add_argument("--run-id", default="", metavar="R", help="default: <experiment>_<unix seconds>_<8 hex>")
    parser.add_argument("--name", metavar="N", help="a name for people")
    parser.add_argument("--tag", action="append", default=[], metavar="K=V", help="may be repeated")
    parser.add_argument("--env", action="append", default=[], metavar="K=V", help="for the driver; may be repeated")
    parser.add_argument("--cwd", metavar="D", help="folder in which the driver starts; with --code: relative to the code")
    parser.add_argument("--collector", default=None, metavar="URL", help="default: client.collector_url")
    parser.add_argument("--timeout", metavar="T", help="end the driver after so long: 90, 30m, 2h (exit code 124)")
    parser.add_argument("--config", default="", metavar="FILE", help="configuration file")
    if "--no-mlflow" not in without:
        parser.add_argument("--no-mlflow", action="store_true", help="leave MLflow in the command alone; run.mlflow off")
    for title, flags in (*DETAILS.items(), ("several processes and nodes", SEVERAL)):
        group = parser.add_argument_group(title)
        for flag, metavar, text in flags:
            if flag in without:
                continue
            if flag == "--rendezvous":
                group.add_argument(flag, nargs="?", const=BARE, metavar=metavar, help=text)
            else:
                group.add_argument(flag, action="append" if flag in MANY else "store", metavar=metavar, help=text)
    group = parser.add_argument_group("sidecar", "prepare and release in a container or process of its own, beside the driver")
    group.add_argument("--sidecar", action="store_true", default=None, help="with one")
    group.add_argument("--no-sidecar", action="store_false", dest="sidecar", help="without one, whatever the file says")
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    flags = {("client", "collector_url"): args.collector, ("run", "mlflow"): "off" if args.no_mlflow else None}
    loaded = configuration.load(config_file=args.config, flags=flags)
    # Read now: a token file that is wrong is told before the training starts.
    if loaded.client.collector_url:
        _ = loaded.token
    spec = _run_spec(args, loaded)
    if spec.distribution.launcher == SLURM:
        from runyard.agent import slurm_task

        return slurm_task.main(spec, loaded)
    if spec.distribution.max_restarts:
        from runyard.agent import restarts

        return restarts.main(spec, loaded, patience_s=args.patience)
    from runyard.agent.wrapper import Wrapper

    return Wrapper(spec, loaded, patience_s=args.patience).main()


def _run_spec(args: argparse.Namespace, loaded: settings.Settings) -> Any:
    from runyard.agent.node import ip_towards
    from runyard.agent.spool import RunSpec

    spec, snapshot, parent_run_id = _Order(_described(args, loaded)) if args.order is None else _ordered(args)
    common = spec_values(spec) if spec is not None else _plain(args)
    distribution = _distribution(args, spec, loaded)
    run_id = args.run_id or _default_run_id(common.experiment, distribution)
    cwd = _start_dir(common)
    environment = dict(os.environ) | common.env
    if spec is None or spec.environment.kind == "host":
        _check_command(common.command[0], cwd, environment)
    return RunSpec(
        run_id=checked_id(run_id, "the run id"),
        experiment=common.experiment,
        argv=common.command,
        environment=environment,
        cwd=cwd,
        name=common.name,
        tags=common.tags,
        timeout_s=common.driver_s or None,
        grace_s=loaded.run.grace_s,
        streams=loaded.run.streams,
        quota_bytes=loaded.spool.quota_bytes,
        quota_policy=loaded.spool.quota_policy,
        collector_url=loaded.client.collector_url,
        node_ip=ip_towards(loaded.client.collector_url),
        spec=spec,
        snapshot=snapshot,
        cache_dir=_folder(loaded.environment.cache_dir),
        work_dir=_folder(loaded.environment.work_dir),
        builder=loaded.environment.builder,
        drain_s=loaded.run.drain_s,
        excepthook=loaded.run.excepthook == "on",
        mlflow=loaded.run.mlflow == "on",
        progress=loaded.run.progress == "on",
        distribution=distribution,
        own_variables=tuple(common.env),
        parent_run_id=parent_run_id,
    )


def _distribution(args: argparse.Namespace, spec: Spec | None, loaded: settings.Settings) -> Distribution:
    """How the run is spread; a plain run on one node loads nothing for it."""
    asked = Distribution() if spec is None else spec.distribution
    flags = (getattr(args, flag[2:].replace("-", "_")) for flag, _, _ in SEVERAL)
    if asked == Distribution() and all(value is None for value in flags) and not os.environ.get(SLURM_MARK):
        return asked
    from . import run_distribution

    return run_distribution.settled(
        run_distribution.over(asked, args) if spec is None else asked,  # a description has them in it already
        args,
        os.environ,
        has_collector=bool(loaded.client.collector_url),
        launch_s=loaded.run.launch_s,
    )


def _default_run_id(experiment: str, distribution: Distribution) -> str:
    if os.environ.get(SLURM_MARK) and (distribution.launcher or distribution.node_count > 1):
        from runyard.agent import slurm

        return slurm.default_run_id(os.environ, experiment)
    return fresh_run_id(experiment)


def _described(args: argparse.Namespace, loaded: settings.Settings) -> Spec | None:
    """What flags and file describe; None where there is nothing but a command."""
    if not is_detailed(args):
        return None
    from .run_flags import described

    return described(args, loaded)


def _ordered(args: argparse.Namespace) -> _Order:
    """What a Slurm job or the SDK submits, with its code; of the flags only tags are added."""
    import dataclasses
    import json

    from runyard.spec import Snapshot, from_json

    try:
        order = json.loads(_order_text(args.order))
        spec, packed = from_json(order["spec"]), order["snapshot"]
        found = _Order(spec, Snapshot(**packed) if packed else None, order.get("parent_run_id", ""))
    except (OSError, ValueError, KeyError, TypeError):
        where = ORDER_VARIABLE if args.order == BARE else args.order
        raise InputError(f"--order: {where} does not hold what whoever submits a run puts there") from None
    return found._replace(spec=dataclasses.replace(spec, tags=dict(spec.tags) | pairs(args.tag, "--tag")))


def _order_text(place: str) -> bytes:
    """The order in a variable, or in a file, which is removed."""
    if place == BARE:
        import base64

        return base64.b64decode(os.environ.pop(ORDER_VARIABLE, ""))
    data = Path(place).read_bytes()
    Path(place).unlink()
    return data


def _plain(args: argparse.Namespace) -> Common:
    common = over(Common(), args)
    if not common.command:
        raise InputError("there is no command to run; write it behind --, as in: runyard run -- python train.py")
    checked_id(common.experiment, "the experiment's name")
    return common


def is_detailed(args: argparse.Namespace) -> bool:
    """Whether any flag of DETAILS was given, or one that says whether there is a sidecar: then there is a description."""
    flags = [flag for group in DETAILS.values() for flag, _, _ in group]
    return any(getattr(args, flag[2:].replace("-", "_")) is not None for flag in [*flags, "--sidecar"])


def _start_dir(common: Common) -> str:
    """The folder in which the driver would start on this machine; in a container it is the same path."""
    return os.path.normpath(Path(common.code, common.cwd)) if common.code else common.cwd or str(Path.cwd())


def _folder(text: str) -> str:
    # os.path, not pathlib: expanduser() of a user without a home (a container's random uid) raises there.
    return os.path.abspath(os.path.expanduser(text)) if text else ""  # noqa: PTH100, PTH111


def _check_command(word: str, cwd: str, environment: dict[str, str]) -> None:
    if "/" in word:
        path = Path(cwd, word)
        if path.is_dir():
            raise InputError(f"the command {word!r} is a folder; it has to be a program")
        if not path.exists():
            raise InputError(f"the command {word!r} does not exist in {cwd}")
        if not os.access(path, os.X_OK):
            raise InputError(f"the command {word!r} may not be executed; make it so with chmod +x, or name its interpreter")
    elif shutil.which(word, path=environment.get("PATH", os.defpath)) is None:
        raise InputError(f"the command {word!r} was not found in PATH")
