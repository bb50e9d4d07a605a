"""`runyard run` with a description: a flag wins over the file, both are checked together, and a plain run loads none of it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runyard import configuration, names
from runyard.cli import run, run_common, run_distribution, run_flags
from runyard.distribution import MPI, MPIRUN, PYTORCH, WAIT, Distribution
from runyard.errors import InputError
from runyard.spec import (
    CONTAINER,
    DOWNLOAD,
    HOST,
    MOUNT,
    VENV,
    Datastore,
    Environment,
    Limits,
    Manager,
    Resources,
    Retries,
    Spec,
)
from tests.agent.node_runs import NodeRun

SECRET = "hunter2-s3cr3t"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command line is given."""
    (tmp_path / "src/train").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "build").mkdir()
    (tmp_path / "build/Containerfile").write_text("FROM scratch\n")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def described(*words: str, environ: dict[str, str] | None = None) -> Spec:
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    loaded = configuration.load(environ={"XDG_CONFIG_HOME": "/nonexistent"} | (environ or {}))
    return run_flags.described(parser.parse_args(words), loaded)


def written(folder: Path, text: str) -> str:
    """The name of a file with that description, in a folder of its own."""
    path = folder / "described/run.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def test_flags_alone_describe_a_run(folder: Path) -> None:
    spec = described(
        *("--code", "src", "--cwd", "train", "--experiment", "digits", "--name", "first", "--tag", "lr=0.1", "--env", "A=b"),
        *(
            "--containerfile",
            "build/Containerfile",
            "--build-arg",
            "BASE=3.12",
            "--registry",
            "r.local:5000",
            "--repository",
            "t",
        ),
        *("--datastore", "imgs=s3://bucket/a=b", "--datastore", "more=data", "--mount", "disk=data"),
        *("--context-manager", "scratch", "--context-manager", "m:C", "--sidecar"),
        *("--gpus", "2", "--cpus", "1.5", "--memory", "8g", "--shm-size", "1g"),
        *("--timeout", "2h", "--limit", "image=30m", "--limit", "release=5", "--retries", "execution=0"),
        *("--", "python", "train.py", "--image", "not-ours"),
    )
    assert spec == Spec(
        command=("python", "train.py", "--image", "not-ours"),
        experiment="digits",
        name="first",
        tags={"lr": "0.1"},
        env={"A": "b"},
        cwd="train",
        code=str(folder / "src"),
        environment=Environment(
            kind=CONTAINER,
            containerfile=str(folder / "build/Containerfile"),
            context=str(folder / "build"),
            build_args={"BASE": "3.12"},
            registry="r.local:5000",
            repository="t",
        ),
        datastores=(
            Datastore("imgs", "s3://bucket/a=b"),
            Datastore("more", str(folder / "data")),
            Datastore("disk", str(folder / "data"), mode=MOUNT),
        ),
        context_managers=(Manager("scratch"), Manager("m:C")),
        sidecar=True,
        resources=Resources(gpus="2", cpus=1.5, memory="8g", shm_size="1g"),
        limits=Limits(driver_s=7200, image_s=1800, release_s=5),
        retries=Retries(execution=0),
    )


def test_a_flag_wins_over_the_file_and_tags_and_variables_are_added(folder: Path) -> None:
    file = written(
        folder,
        """
        command = ["python", "of-the-file.py"]
        experiment = "file"
        name = "file"
        tags = { lr = "0.1", kept = "1" }
        env = { A = "file", KEPT = "1" }
        sidecar = true
        [resources]
        gpus = 4
        [limits]
        driver = "1h"
        image = "1h"
        [retries]
        image = 4
        """,
    )
    flags = ("--name", "flag", "--tag", "lr=0.2", "--env", "A=flag", "--no-sidecar", "--gpus", "1", "--timeout", "5m")
    spec = described("--spec", file, *flags, "--retries", "execution=1")
    assert (spec.command, spec.experiment, spec.name) == (("python", "of-the-file.py"), "file", "flag")
    assert spec.tags == {"lr": "0.2", "kept": "1"}
    assert spec.env == {"A": "flag", "KEPT": "1"}
    assert (spec.sidecar, spec.resources.gpus) == (False, "1")
    assert (spec.limits.driver_s, spec.limits.image_s) == (300.0, 3600.0)
    assert (spec.retries.image, spec.retries.execution) == (4, 1)
    spec = described("--spec", file, "--experiment", "flag", "--timeout", "0", "true", "it")
    assert (spec.command, spec.experiment, spec.limits.driver_s) == (("true", "it"), "flag", 0.0)


def test_without_a_word_on_it_the_experiment_is_the_default(folder: Path) -> None:
    assert described("--spec", written(folder, 'command = ["true"]')).experiment == run_common.DEFAULT_EXPERIMENT


def test_datastores_of_flags_take_the_place_of_the_files_and_managers_are_added(folder: Path) -> None:
    file = written(
        folder,
        """
        [datastores.a]
        url = "s3://a"
        options = { anon = true }
        [datastores.b]
        url = "s3://b"
        [[context_managers]]
        use = "scratch"
        """,
    )
    spec = described("--spec", file, "--datastore", "b=s3://other", "--mount", "c=data", "--context-manager", "m:C", "true")
    assert [(one.name, one.url, one.mode) for one in spec.datastores] == [
        ("a", "s3://a", DOWNLOAD),
        ("b", "s3://other", DOWNLOAD),
        ("c", str(folder / "data"), MOUNT),
    ]
    assert [one.use for one in spec.context_managers] == ["scratch", "m:C"]


def test_a_flag_that_chooses_an_environment_takes_the_place_of_the_files(folder: Path) -> None:
    (folder / "described").mkdir()
    (folder / "described/Containerfile").write_text("FROM scratch\n")
    own = 'containerfile = "Containerfile"\nbuild_args = { A = "1" }\nregistry = "own:1"'
    file = written(folder, f'command = ["true"]\n[environment]\n{own}\n')
    built = Environment(
        kind=CONTAINER,
        containerfile=str(folder / "described/Containerfile"),
        context=str(folder / "described"),
        build_args={"A": "1"},
        registry="own:1",
    )
    assert described("--spec", file).environment == built
    assert described("--spec", file, "--image", "x").environment == Environment(kind=CONTAINER, image="x")
    venv = Environment(kind=VENV, requirements="numpy\n", requirements_dir=str(folder), python="python3.12")
    assert described("--spec", file, "--requirements", "requirements.txt", "--python", "python3.12").environment == venv
    other = replace(built, containerfile=str(folder / "build/Containerfile"), build_args={"A": "1", "B": "2"})
    flags = ("--containerfile", "build/Containerfile", "--build-arg", "B=2")
    assert described("--spec", file, *flags).environment == other
    assert described("--spec", file, "--context", "data").environment == replace(built, context=str(folder / "data"))


def test_a_containers_folder_need_not_be_on_this_machine(folder: Path) -> None:
    assert described("--image", "x", "--cwd", "/only/there", "true").cwd == "/only/there"
    assert described("--image", "x", "--cwd", "data", "true").cwd == str(folder / "data")


def test_the_settings_registry_is_the_default_of_a_built_image() -> None:
    environ = {"RUNYARD_ENVIRONMENT__REGISTRY": "set:1", "RUNYARD_ENVIRONMENT__REPOSITORY": "theirs"}
    built = described("--containerfile", "build/Containerfile", "true", environ=environ).environment
    assert (built.registry, built.repository) == ("set:1", "theirs")
    assert described("--image", "x", "true", environ=environ).environment.registry == ""
    assert described("--code", "src", "true", environ=environ).environment == Environment(kind=HOST)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--code", "src"), ["there is no command"]),
        (("--spec", "none.toml", "true"), ["none.toml", "cannot be read"]),
        (("--code", "", "true"), ["--code is empty"]),
        (("--code", "none", "true"), ["code", "none", "no folder"]),
        (("--code", "src", "--cwd", "/tmp", "true"), ["cwd", "not inside the code"]),
        (("--image", "x", "--requirements", "requirements.txt", "true"), ["--image and --requirements"]),
        (("--image", "x", "--containerfile", "build/Containerfile", "true"), ["--image and --containerfile"]),
        (("--image", "x", "--context", "build", "true"), ["environment.context", "ready"]),
        (("--context", "build", "true"), ["environment.context", "'container'"]),
        (("--python", "python3", "true"), ["environment.python", "'venv'"]),
        (("--requirements", "none.txt", "true"), ["none.txt", "does not exist"]),
        (("--containerfile", "none", "true"), ["environment.containerfile", "none"]),
        (("--containerfile", "build/Containerfile", "--build-arg", "A", "true"), ["--build-arg 'A'", "K=V"]),
        (("--containerfile", "build/Containerfile", "--registry", "http://r", "true"), ["registry", "scheme"]),
        (("--datastore", "x", "true"), ["--datastore", "NAME=URL"]),
        (("--datastore", f"https://u:{SECRET}@host/", "true"), ["--datastore", "NAME=URL"]),
        (("--datastore", f"x=https://u:{SECRET}@host/", "true"), ["datastores.x.url", "password"]),
        (("--mount", "=data", "true"), ["--mount", "NAME=PATH"]),
        (("--mount", "x=none", "true"), ["datastores.x.url", "none", "does not exist"]),
        (("--mount", "x=s3://b", "true"), ["datastores.x.mode", "local"]),
        (("--mount", "x=data", "--datastore", "x=data", "true"), ["'x'", "two flags"]),
        (("--datastore", "x y=data", "true"), ["'x y'", "letters"]),
        (("--context-manager", "a b", "true"), ["context_managers", "'a b'"]),
        (("--gpus", "all", "true"), ["resources.gpus", "'all'", "auto"]),
        (("--cpus", "two", "--image", "x", "true"), ["--cpus 'two'", "1.5"]),
        (("--cpus", "nan", "--image", "x", "true"), ["resources.cpus", "out of range"]),
        (("--memory", "8g", "true"), ["resources.memory", "needs a container"]),
        (("--memory", "lots", "--image", "x", "true"), ["resources.memory", "'lots'", "512m"]),
        (("--limit", "imgae=1h", "true"), ["--limit", "'imgae'", "'image'"]),
        (("--limit", "image=soon", "true"), ["--limit image='soon'", "30m"]),
        (("--limit", "image", "true"), ["--limit 'image'", "K=V"]),
        (("--retries", "release=1", "true"), ["--retries", "'release'", "known are"]),
        (("--retries", "image=many", "true"), ["--retries image='many'"]),
        (("--retries", "image=101", "true"), ["retries.image", "101"]),
        (("--sidecar", "--experiment", "a/b", "true"), ["experiment 'a/b'"]),
        (("--sidecar", "--nproc-per-node", "two", "true"), ["--nproc-per-node 'two'", "no whole number"]),
        (("--sidecar", "--parameter-servers", "1", "true"), ["--parameter-servers", "--distribution tensorflow"]),
        (("--distribution", "mpi", "--image", "x", "true"), ["mpi", "image"]),
    ],
)
def test_a_mistake_is_one_sentence(words: tuple[str, ...], parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        described(*words)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message
    assert SECRET not in message


def test_a_mistake_is_the_files_or_the_flags(folder: Path) -> None:
    file = written(folder, 'command = ["true"]\n[resources]\nmemory = "lots"\n[environment]\nimage = "x"\n')
    with pytest.raises(InputError) as caught:
        described("--spec", file)
    assert str(caught.value).startswith(f"{file}: resources.memory")
    assert described("--spec", file, "--memory", "1g").resources.memory == "1g"
    with pytest.raises(InputError) as caught:
        described("--spec", file, "--memory", "more")
    assert str(caught.value).startswith("resources.memory is 'more'")


def test_a_secret_whose_variable_is_not_set_is_told_before_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = '[datastores.x]\nurl = "s3://b"\nsecrets = { key = "env:X_KEY" }'
    file = written(folder, f'command = ["true"]\nenv = {{ Y_KEY = "{SECRET}" }}\n{secrets}\n')
    monkeypatch.delenv("X_KEY", raising=False)
    with pytest.raises(InputError, match=r"X_KEY.* is not set"):
        described("--spec", file)
    monkeypatch.setenv("X_KEY", SECRET)
    assert SECRET not in json.dumps(described("--spec", file).datastores[0].secrets)


# ---- Several processes and nodes


def spread(
    *words: str, environ: dict[str, str] | None = None, collector: str = "http://c", base: Distribution | None = None
) -> Distribution:
    """What takes place, of these flags over that base, outside a Slurm step unless `environ` says otherwise."""
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    args = parser.parse_args(words)
    asked = run_distribution.over(base or Distribution(), args)
    return run_distribution.settled(asked, args, environ or {}, has_collector=bool(collector), launch_s=60.0)


def test_flags_say_how_a_run_is_spread_and_win_over_the_file() -> None:
    flags = ("--nproc-per-node", "4", "--distribution", "pytorch", "--nnodes", "2", "--node-rank", "1", "--rendezvous", "5m")
    more = ("--on-failure", "wait", "--failure-grace", "10", "--stall-after", "15m", "--run-id", "r", "--max-restarts", "3")
    found = spread(*flags, *more, "--", "python", "train.py", "--nnodes", "9")
    assert found == Distribution(
        kind=PYTORCH,
        node_count=2,
        node_rank=1,
        processes_per_node=4,
        rendezvous_s=300.0,
        on_failure=WAIT,
        failure_grace_s=10.0,
        stall_after_s=900.0,
        max_restarts=3,
        launch_s=60.0,
    )
    assert (found.world_size, found.ranks) == (8, (4, 5, 6, 7))
    base = Distribution(kind=MPI, processes_per_node=2, mpi_args=("-x",), failure_grace_s=1.0)
    found = spread("--nproc-per-node", "3", "--mpi-arg=--bind-to", "--mpi-arg", "none", "true", base=base)
    assert (found.kind, found.processes_per_node, found.failure_grace_s) == (MPI, 3, 1.0)
    assert found.mpi_args == ("-x", "--bind-to", "none")
    assert found.launcher == MPIRUN


def test_the_rendezvous_may_be_asked_for_without_a_time() -> None:
    words = ("--run-id", "r", "--nnodes", "2", "--node-rank", "0", "--rendezvous", "--", "true")
    assert spread(*words).rendezvous_s == Distribution().rendezvous_s


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--nproc-per-node", "0"), ["--nproc-per-node", "0", "from 1"]),
        (("--nproc-per-node", "-1"), ["--nproc-per-node '-1'"]),
        (("--nnodes", "two"), ["--nnodes 'two'", "--nnodes 2"]),
        (("--nnodes", "2", "--node-rank", "2", "--run-id", "r"), ["--node-rank", "2", "0 to 1"]),
        (("--node-rank", "1"), ["--node-rank", "1", "--nnodes 1"]),
        (("--nnodes", "2", "--node-rank", "0"), ["2 nodes", "--run-id"]),
        (("--nnodes", "2", "--run-id", "r"), ["2 nodes", "--node-rank", "head"]),
        (("--distribution", "horovod"), ["'horovod'", "pytorch, tensorflow, mpi"]),
        (("--on-failure", "ignore"), ["'ignore'", "fail-fast or wait"]),
        (("--failure-grace", "soon"), ["--failure-grace 'soon'", "30m"]),
        (("--failure-grace", ""), ["--failure-grace ''", "30m"]),
        (("--launcher", ""), ["--launcher is ''", "auto"]),
        (("--rendezvous", "python"), ["--rendezvous 'python'", "30m"]),
        (("--rendezvous", "0"), ["--rendezvous", "10m"]),
        (("--parameter-servers", "1"), ["--parameter-servers", "tensorflow"]),
        (
            ("--parameter-servers", "2", "--distribution", "tensorflow", "--nproc-per-node", "2"),
            ["2 parameter servers", "no worker"],
        ),
        (("--mpi-arg", "x"), ["--mpi-arg", "--distribution mpi"]),
        (("--launcher", "pbs"), ["'pbs'", "auto, none, slurm"]),
        (("--launcher", "slurm"), ["srun", "SLURM_STEP_ID"]),
    ],
)
def test_a_mistake_in_how_a_run_is_spread_is_one_sentence(words: tuple[str, ...], parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        spread(*words, "--", "true")
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_nodes_need_a_collector() -> None:
    with pytest.raises(InputError, match=r"2 nodes .* needs a collector.*--collector"):
        spread("--nnodes", "2", "--node-rank", "0", "--run-id", "r", "true", collector="")


def test_a_distribution_alone_adds_no_phases(folder: Path) -> None:
    file = written(folder, 'command = ["true"]\n[distribution]\nprocesses_per_node = 2\nkind = "pytorch"\n')
    process = NodeRun(folder / "spool", flags=("--spec", file))
    process.argv.remove("--")
    assert process.complete().returncode == 0
    told = process.json(names.RUN_FILE)
    assert (told["spec"], told["world_size"], told["ranks"], told["distribution"]["kind"]) == (None, 2, [0, 1], "pytorch")


# ---- As a person runs it


def test_a_described_run_takes_place_as_described(folder: Path) -> None:
    text = (
        'command = ["sh", "-c", "echo $A $PWD"]\nexperiment = "digits"\ntags = { lr = "0.1" }\nenv = { A = "b" }\ncwd = "sub"\n'
    )
    file = written(folder, text + "[limits]\ndriver = '2h'\n")
    (folder / "described/sub").mkdir()
    process = NodeRun(folder / "spool", flags=("--spec", file, "--tag", "more=1"))
    process.argv.remove("--")
    done = process.complete()
    assert (done.returncode, done.stdout.decode()) == (0, f"b {folder}/described/sub\n")
    told = process.json(names.RUN_FILE)
    assert (told["experiment"], told["tags"], told["timeout_s"]) == ("digits", {"lr": "0.1", "more": "1"}, 7200.0)
    assert told["command"] == ["sh", "-c", "echo $A $PWD"]
    assert told["cwd"] == str(folder / "described/sub")


@pytest.mark.parametrize(
    ("flags", "command", "words"),
    [
        (("--spec", "bad.toml"), ("true",), b"bad.toml: unknown key sidcar; did you mean 'sidecar'?"),
        (("--code", "src"), ("./none.sh",), b"the command './none.sh' does not exist in "),
        (("--code", "src"), ("no-such-command-here",), b"was not found in PATH"),
        (("--code", "src", "--cwd", "none"), ("true",), b"no folder 'none' in the code"),
    ],
)
def test_what_cannot_be_run_is_told_and_leaves_no_run_behind(
    folder: Path, flags: tuple[str, ...], command: tuple[str, ...], words: bytes
) -> None:
    (folder / "bad.toml").write_text("sidcar = true\n")
    done = NodeRun(folder / "spool", *command, flags=flags).complete()
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert not (folder / "spool").exists()


def test_a_plain_run_loads_nothing_that_reads_descriptions(folder: Path) -> None:
    plain = NodeRun(folder / "spool", "true")
    plain.argv[1:1] = ["-X", "importtime"]
    done = plain.complete()
    assert done.returncode == 0
    loaded = {line.rpartition(b"|")[2].strip().decode() for line in done.stderr.splitlines()}
    assert "runyard.agent.wrapper" in loaded
    ours = {
        "spec_file",
        "spec_check",
        "spec_kinds",
        "spec_secrets",
        "spans",
        "requirements",
        "cli.run_flags",
        "cli.run_distribution",
    }
    assert not loaded & ({"tomllib"} | {f"runyard.{name}" for name in ours})


def test_the_help_names_every_flag_that_the_reference_does(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "runyard", "run", "--help"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    reference = (Path(__file__).parents[2] / "docs/run-toml.md").read_text()
    flags = [flag for group in (*run.DETAILS.values(), run.SEVERAL) for flag, _, _ in group]
    flags += ["--sidecar", "--no-sidecar", "--timeout"]
    for flag in flags:
        assert f"  {flag} " in done.stdout or f"  {flag}\n" in done.stdout
        assert f"`{flag}" in reference or f" {flag} " in reference
