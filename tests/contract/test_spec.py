"""The run's description: what run.toml says becomes a Spec; one made by hand is checked as one of a file is."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import configuration
from runyard.distribution import TENSORFLOW, WAIT, Distribution
from runyard.errors import InputError
from runyard.spec import (
    CONTAINER,
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
from runyard.spec_check import check
from runyard.spec_file import KEYS, load, parse
from runyard.spec_secrets import looks_secret

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-s3cr3t"
COMMAND = 'command = ["python"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src/train").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "Containerfile").write_text("FROM scratch\n")
    (tmp_path / "requirements.txt").write_text("-r more.txt\n-c limits.txt\n")
    (tmp_path / "more.txt").write_text("numpy\n")
    (tmp_path / "limits.txt").write_text("numpy<3\n")
    return tmp_path


def read(folder: Path, text: str, **defaults: str) -> Spec:
    """What the file says, checked as `runyard run` does."""
    path = folder / "run.toml"
    path.write_text(text)
    spec = load(path, **defaults)
    check(spec)
    return spec


def test_everything_that_a_file_says_is_in_the_spec(folder: Path) -> None:
    spec = read(
        folder,
        """
        command = ["python", "train.py"]
        experiment = "digits"
        name = "first"
        tags = { lr = "0.1" }
        env = { A = "b" }
        code = "src"
        cwd = "train"
        sidecar = true
        [environment]
        kind = "container"
        containerfile = "Containerfile"
        build_args = { BASE = "3.12" }
        registry = "registry.local:5000"
        repository = "team/runs"
        [datastores.imgs]
        url = "s3://bucket/folder"
        path = "a/b"
        checksums = "SHA256SUMS"
        options = { endpoint_url = "http://s3", client = { retries = 3 } }
        secrets = { key = "env:KEY", secret = "file:secret" }
        [datastores.local]
        url = "data"
        mode = "mount"
        [[context_managers]]
        use = "scratch"
        timeout = "90s"
        options = { size = 1, secrets = { key = "file:key" } }
        [[context_managers]]
        use = "my.module:Class.Inner"
        [resources]
        gpus = 2
        cpus = 1.5
        memory = "8g"
        shm_size = "512M"
        [limits]
        driver = "2h"
        image = 90
        release = "1.5m"
        [retries]
        execution = 7
        [distribution]
        kind = "tensorflow"
        nodes = 2
        processes_per_node = 4
        parameter_servers = 2
        on_failure = "wait"
        failure_grace = 5
        stall_after = "15m"
        max_restarts = 3
        rendezvous = "1h"
        """,
    )
    assert spec == Spec(
        command=("python", "train.py"),
        experiment="digits",
        name="first",
        tags={"lr": "0.1"},
        env={"A": "b"},
        cwd="train",
        code=str(folder / "src"),
        environment=Environment(
            kind=CONTAINER,
            containerfile=str(folder / "Containerfile"),
            context=str(folder),
            build_args={"BASE": "3.12"},
            registry="registry.local:5000",
            repository="team/runs",
        ),
        datastores=(
            Datastore(
                name="imgs",
                url="s3://bucket/folder",
                path="a/b",
                checksums="SHA256SUMS",
                options={"endpoint_url": "http://s3", "client": {"retries": 3}},
                secrets={"key": "env:KEY", "secret": f"file:{folder}/secret"},
            ),
            Datastore(name="local", url=str(folder / "data"), mode=MOUNT),
        ),
        context_managers=(
            Manager(use="scratch", options={"size": 1, "secrets": {"key": f"file:{folder}/key"}}, timeout_s=90.0),
            Manager(use="my.module:Class.Inner"),
        ),
        sidecar=True,
        resources=Resources(gpus="2", cpus=1.5, memory="8g", shm_size="512M"),
        limits=Limits(driver_s=7200.0, image_s=90.0, release_s=90.0),
        retries=Retries(execution=7),
        distribution=Distribution(
            kind=TENSORFLOW,
            node_count=2,
            processes_per_node=4,
            parameter_servers=2,
            on_failure=WAIT,
            failure_grace_s=5.0,
            stall_after_s=900.0,
            max_restarts=3,
            rendezvous_s=3600.0,
        ),
    )


def test_a_command_alone_is_a_run_on_the_host(folder: Path) -> None:
    assert read(folder, COMMAND) == Spec(command=("python",))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('image = "python:3.12"', Environment(kind=CONTAINER, image="python:3.12")),
        ('requirements = ["a==1", "-c limits.txt"]', Environment(kind=VENV, requirements="a==1\n", constraints="numpy<3\n")),
        ('requirements = "requirements.txt"', Environment(kind=VENV, requirements="numpy\n", constraints="numpy<3\n")),
        ('requirements = ["a"]\npython = "python3.12"', Environment(kind=VENV, requirements="a\n", python="python3.12")),
        ('kind = "host"', Environment(kind=HOST)),
        ("", Environment(kind=HOST)),
    ],
)
def test_the_kind_of_environment_is_plain_from_its_keys(folder: Path, keys: str, expected: Environment) -> None:
    if expected.kind == VENV:
        expected = replace(expected, requirements_dir=str(folder))
    assert read(folder, f"{COMMAND}[environment]\n{keys}\n").environment == expected


def test_the_settings_registry_counts_where_an_image_is_built_and_the_file_names_none(folder: Path) -> None:
    defaults = {"registry": "settings:5000", "repository": "theirs"}
    built = read(folder, COMMAND + '[environment]\ncontainerfile = "Containerfile"', **defaults).environment
    assert (built.registry, built.repository) == ("settings:5000", "theirs")
    own = 'containerfile = "Containerfile"\nregistry = "own:1"\nrepository = "mine"'
    built = read(folder, f"{COMMAND}[environment]\n{own}", **defaults).environment
    assert (built.registry, built.repository) == ("own:1", "mine")
    assert read(folder, COMMAND + '[environment]\nimage = "x"', **defaults).environment.registry == ""


def test_paths_are_relative_to_the_files_folder_wherever_it_is_read_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "run.toml").write_text(
        COMMAND + 'cwd = "src"\n[datastores.d]\nurl = "data"\n[environment]\nrequirements = ["a"]\npython = "bin/py"'
    )
    monkeypatch.chdir(folder / "src")
    spec = load(Path("../run.toml"))
    assert spec.cwd == str(folder / "src")
    assert spec.datastores[0].url == str(folder / "data")
    assert spec.environment.python == str(folder / "bin/py")


def test_a_home_is_put_in_for_a_tilde(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert read(folder, COMMAND + 'code = "~/src"').code == str(folder / "src")


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("key", True),
        ("account_key", True),
        ("apiKey", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("sas-token", True),
        ("password", True),
        ("keys", False),
        ("monkey", False),
        ("key_filename", False),
        ("token_url", False),
        ("use_ssl", False),
        ("", False),
    ],
)
def test_an_option_looks_like_a_secret_by_the_words_of_its_name(name: str, is_secret: bool) -> None:
    assert looks_secret(name) is is_secret


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"command": "python train.py"}, ["command is a text"]),
        ({"command": ()}, ["no command"]),
        ({"environment": {"kind": "venv"}}, ["environment", "Environment"]),
        ({"datastores": Datastore("x", "s3://b")}, ["datastores", "Datastore"]),
        ({"datastores": (Datastore("x", 7),)}, ["datastores[0].url is a number"]),  # type: ignore[arg-type]
        ({"context_managers": ("scratch",)}, ["context_managers", "Manager"]),
        ({"limits": Limits(driver_s=math.nan)}, ["limits.driver_s", "out of range"]),
        ({"limits": Limits(release_s=-1)}, ["limits.release_s", "-1"]),
        ({"code": "src"}, ["code", "absolute"]),
        ({"cwd": "src"}, ["cwd", "absolute"]),
        ({"environment": Environment(kind=VENV, requirements="a", requirements_dir="x")}, ["requirements_dir", "absolute"]),
        ({"environment": Environment(kind=CONTAINER, containerfile="Containerfile")}, ["containerfile", "absolute"]),
        ({"env": {"A": None}}, ["env is a table", "a table of texts"]),
        ({"datastores": (Datastore("x", "s3://b", secrets={"key": "file:relative"}),)}, ["secrets.key", "file:/PATH"]),
        ({"datastores": (Datastore("x", "x", mode=MOUNT),)}, ["datastores.x.url", "absolute"]),
    ],
)
def test_a_spec_made_by_hand_is_checked_as_one_of_a_file(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        check(replace(Spec(command=("true",)), **changes))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_container_may_start_in_a_folder_that_only_its_image_has(folder: Path) -> None:
    assert read(folder, COMMAND + 'cwd = "/only/there"\n[environment]\nimage = "x"').cwd == "/only/there"


@pytest.mark.parametrize(
    ("url", "path"), [("/a/b", "/a/b"), ("file:///a", "/a"), ("local:///a", "/a"), ("s3://b/c", ""), ("https://h/p", "")]
)
def test_a_datastore_knows_its_local_path(url: str, path: str) -> None:
    assert Datastore("x", url).local_path == path


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True))
def test_a_datastores_variable_may_be_in_the_environment_of_our_commands(name: str) -> None:
    variable = Datastore(name, "s3://b").variable
    assert re.fullmatch("RUNYARD_DATASTORE_[A-Z0-9_]+", variable)
    configuration.load(environ={"XDG_CONFIG_HOME": "/nonexistent", variable: "/work/data"})


# ---- The sample and the reference


def test_the_sample_is_right_and_so_are_the_alternatives_in_it() -> None:
    path = ROOT / "configs/run.toml"
    spec = load(path)
    check(spec)
    assert (spec.limits, spec.retries, spec.resources) == (Limits(), Retries(), Resources())
    assert spec.context_managers == (Manager(use="scratch"),)
    section = path.read_text().partition("[environment]")[2].partition("\n# ----")[0]
    containers = [block for block in re.findall(r"(?:^# \w+ = .*\n)+", section, re.M) if "kind" in block]
    assert len(containers) == 2
    for block in containers:
        document = tomllib.loads(re.sub("^# ", "", block, flags=re.M))
        assert parse({"environment": document}, path.parent).environment.kind == CONTAINER


@pytest.mark.parametrize("name", ["configs/run.toml", "docs/run-toml.md"])
def test_sample_and_reference_name_every_key(name: str) -> None:
    text = (ROOT / name).read_text()
    for section, keys in KEYS.items():
        assert not section or section in text
        for key in keys:
            assert re.search(rf"\b{key}\b", text), f"{section}.{key}"
