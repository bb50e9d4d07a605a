"""Mistakes in a run's description: each is one sentence that names the key, and a secret is in none of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runyard.errors import InputError
from runyard.spec_check import check
from runyard.spec_file import load

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


def sentence(folder: Path, text: str) -> str:
    """What a person is told of the file, checked as `runyard run` does."""
    path = folder / "run.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        check(load(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["no command", "behind --"]),
        ("command = []", ["no command"]),
        ('command = [""]', ["no command"]),
        ('command = "python train.py"', ["command is a text", 'a list of texts, as in ["a", "b"]']),
        ("command = [1]", ["command is a list", "a list of texts"]),
        ('command = ["a\\u0000"]', ["command", "NUL"]),
        ("[enviroment]\nkind = 'host'", ["section [enviroment]", "'environment'"]),
        ("sidcar = true", ["sidcar", "'sidecar'"]),
        ("[environment]\nimgae = 'x'", ["environment.imgae", "'image'"]),
        ("[environment]\ncode = '.'", ["environment.code", "above the first section"]),
        ("[environment]\n'a\\nb' = 1", ["environment.'a\\\\nb'"]),
        ("environment = 'venv'", ["environment is a text", "[environment]"]),
        ("datastores = []", ["datastores is a list", "[datastores]"]),
        ("[datastores]\nx = 's3://b'", ["datastores.x is a text", "[datastores.x]"]),
        ("[context_managers]\nuse = 'x'", ["context_managers is a table", "[[context_managers]]"]),
        ("context_managers = ['scratch']", ["context_managers is a text"]),
        ("sidecar = 'yes'", ["sidecar is a text", "true or false"]),
        ("name = 1", ["name is a number", "a text"]),
        ("name = 2026-01-01", ["name is a date", "a text"]),
        ("tags = { lr = 0.1 }", ["tags.lr is a number", "a text"]),
        ("tags = { '' = 'x' }", ["tags", "no name"]),
        ("tags = 'x'", ["tags is a text", "a table"]),
        ("env = { A = 1 }", ["env.A is a number", "a text"]),
        ("env = { 'A=B' = 'x' }", ["env", "'A=B'", "no name of a variable"]),
        ("experiment = 'a/b'", ["experiment 'a/b'", "letters"]),
        ("code = 'nowhere'", ["code", "nowhere", "no folder"]),
        ("code = 'Containerfile'", ["code", "no folder"]),
        ("cwd = 'nowhere'", ["cwd", "nowhere", "no folder"]),
        ("code = 'src'\ncwd = '../data'", ["cwd", "not inside the code"]),
        ("code = 'src'\ncwd = '/tmp'", ["cwd", "not inside the code"]),
        ("code = 'src'\ncwd = 'data'", ["cwd", "no folder 'data' in the code"]),
        ("[environment]\nimage = 'x'\n\n[other]", ["section [other]", "known are"]),
        ("[environment]\nkind = 'vnev'", ["environment.kind", "'vnev'", "'venv'"]),
        ("[environment]\nkind = 'venv'", ["environment.requirements", "missing"]),
        ("[environment]\nkind = 'container'", ["neither image nor containerfile"]),
        ("[environment]\nimage = 'x'\ncontainerfile = 'Containerfile'", ["image", "containerfile", "both"]),
        ("[environment]\nimage = 'x'\nrequirements = ['a']", ["image and requirements", "different kinds"]),
        ("[environment]\nkind = 'host'\nimage = 'x'", ["environment.image", "'container'", "'host'"]),
        ("[environment]\nkind = 'container'\nrequirements = ['a']", ["environment.requirements", "'venv'", "'container'"]),
        ("[environment]\nrequirements = ['a']\nregistry = 'r:1'", ["environment.registry", "'container'", "'venv'"]),
        ("[environment]\npython = 'python3.12'", ["environment.python", "'venv'", "'host'"]),
        ("[environment]\nrequirements = ['a']\npython = '-c'", ["environment.python", "no program"]),
        ("[environment]\nimage = 'x'\ncontext = '.'", ["environment.context", "ready"]),
        ("[environment]\nimage = 'x'\nrepository = 'r'", ["environment.repository", "built"]),
        ("[environment]\nimage = '--privileged'", ["environment.image", "no name of an image"]),
        ("[environment]\nimage = 'a b'", ["environment.image", "no name of an image"]),
        ("[environment]\ncontainerfile = 'Nofile'", ["environment.containerfile", "Nofile", "no file"]),
        ("[environment]\ncontainerfile = 'Containerfile'\ncontext = 'nowhere'", ["environment.context", "no folder"]),
        ("[environment]\ncontainerfile = 'Containerfile'\nregistry = 'https://r:1'", ["registry", "scheme", "host:port"]),
        ("[environment]\ncontainerfile = 'Containerfile'\nregistry = 'a b'", ["registry", "no registry"]),
        ("[environment]\ncontainerfile = 'Containerfile'\nrepository = 'Big'", ["repository 'Big'", "small letters"]),
        ("[environment]\ncontainerfile = 'Containerfile'\nbuild_args = { 'a=b' = 'c' }", ["build_args"]),
        ("[environment]\nrequirements = 'none.txt'", ["none.txt", "does not exist"]),
        ("[environment]\nrequirements = 7", ["environment.requirements is a number", "a file or a list of texts"]),
        ("[environment]\nrequirements = [7]", ["environment.requirements is a list", "a list of texts"]),
        ("[environment]\nrequirements = ['-r requirements.txt', '-r none.txt']", ["none.txt", "does not exist"]),
        ("[datastores.'a b']\nurl = 's3://b'", ["'a b'", "letters, digits"]),
        ("[datastores.'../x']\nurl = 's3://b'", ["'../x'", "letters, digits"]),
        ("[datastores.x]", ["datastores.x.url is missing"]),
        ("[datastores.x]\nurl = 's3://b'\nmode = 'stream'", ["datastores.x.mode", "'stream'", "download or mount"]),
        ("[datastores.x]\nurl = 's3://b'\nmode = 'mount'", ["datastores.x.mode", "local"]),
        ("[datastores.x]\nurl = 'nowhere'\nmode = 'mount'", ["datastores.x.url", "nowhere", "does not exist"]),
        ("[datastores.x]\nurl = 'https://[bad'", ["datastores.x.url", "no address"]),
        ("[datastores.x]\nurl = 's3://b'\npath = '../y'", ["datastores.x.path", "inside the run's data folder"]),
        ("[datastores.x]\nurl = 's3://b'\npath = '/y'", ["datastores.x.path", "inside the run's data folder"]),
        ("[datastores.x]\nurl = 's3://b'\n[datastores.y]\nurl = 's3://c'\npath = 'x'", ["'x' and 'y'", "path"]),
        ("[datastores.x]\nurl = 's3://b'\n[datastores.y]\nurl = 's3://c'\npath = 'x/y'", ["'x' and 'y'", "path"]),
        ("[datastores.a-b]\nurl = 's3://b'\n[datastores.a_B]\nurl = 's3://c'", ["'a-b' and 'a_B'", "RUNYARD_DATASTORE_A_B"]),
        ("[datastores.x]\nurl = 's3://b'\noptions = { at = 2026-01-01 }", ["datastores.x.options", "a date"]),
        ("[datastores.x]\nurl = 's3://b'\noptions = { n = nan }", ["datastores.x.options", "not finite"]),
        ("[datastores.x]\nurl = 's3://b'\noptions = { n = 0x" + "f" * 5000 + " }", ["datastores.x.options", "64 bits"]),
        ("[datastores.x]\nurl = 's3://b'\noptions = { n = " + "[" * 40 + "]" * 40 + " }", ["datastores.x.options", "deep"]),
        ("[[context_managers]]", ["context_managers", "use is missing", "module:Class"]),
        ("[[context_managers]]\nuse = 'a b'", ["use is 'a b'"]),
        ("[[context_managers]]\nuse = 'a:b:c'", ["use is 'a:b:c'"]),
        ("[[context_managers]]\nuse = 'x'\ntimeout = 0", ["x", "timeout", "more than 0"]),
        ("[[context_managers]]\nuse = 'x'\ntimeout = 'soon'", ["context_managers.timeout 'soon'", "30m"]),
        ("[resources]\ngpus = 'all'", ["resources.gpus", "'all'", "auto"]),
        ("[resources]\ngpus = -1", ["resources.gpus", "'-1'"]),
        ("[resources]\ngpus = true", ["resources.gpus", "a truth value"]),
        ("[resources]\nmemory = '8g'", ["resources.memory", "needs a container"]),
        ("[resources]\ncpus = 1", ["resources.cpus", "needs a container"]),
        ("[resources]\nshm_size = '1g'", ["resources.shm_size", "needs a container"]),
        ("[resources]\nmemory = '8GiB'\n[environment]\nimage = 'x'", ["resources.memory", "'8GiB'", "512m"]),
        ("[resources]\nmemory = 8\n[environment]\nimage = 'x'", ["resources.memory", "is a number", "a text"]),
        ("[resources]\ncpus = -1\n[environment]\nimage = 'x'", ["resources.cpus", "-1"]),
        ("[resources]\ncpus = inf\n[environment]\nimage = 'x'", ["resources.cpus", "out of range"]),
        ("[limits]\ndriver = '2 weeks'", ["limits.driver", "'2 weeks'", "2h"]),
        ("[limits]\ndriver = -1", ["limits.driver", "no length of time"]),
        ("[limits]\ndriver = nan", ["limits.driver", "no length of time"]),
        ("[limits]\nimage = true", ["limits.image", "a truth value"]),
        ("[limits]\nimage = 1e12", ["limits.image_s", "from 0"]),
        ("[limits]\nimage = '999999999999d'", ["limits.image", "no length of time"]),
        ("[limits]\ndrive = 1", ["limits.drive", "'driver'"]),
        ("[retries]\nimage = 1.5", ["retries.image", "a whole number"]),
        ("[retries]\nimage = -1", ["retries.image", "-1", "from 0 to 100"]),
        ("[retries]\nrelease = 1", ["retries.release", "known are"]),
        ("[distribution]\nkind = 'horovod'", ["distribution.kind", "'horovod'", "pytorch"]),
        ("[distribution]\nnodes = 0", ["distribution.nodes", "0", "from 1"]),
        ("[distribution]\nnodes = '2'", ["distribution.nodes is a text", "a whole number"]),
        ("[distribution]\nnnodes = 2", ["distribution.nnodes", "'nodes'"]),
        ("[distribution]\nnode_rank = 1", ["unknown key distribution.node_rank"]),
        ("[distribution]\nfailure_grace = 'soon'", ["distribution.failure_grace 'soon'", "30m"]),
        ("[distribution]\nrendezvous = 0", ["distribution.rendezvous", "10m"]),
        ("[distribution]\nparameter_servers = 1", ["parameter servers", "tensorflow"]),
        ("[distribution]\nmpi_args = ['-x']", ["--mpi-arg", "mpi"]),
        ("[distribution]\non_failure = 'stop'", ["distribution.on_failure", "'stop'", "fail-fast or wait"]),
        ("a = [", ["TOML"]),
        ("a = " + "[" * 5000, ["TOML", "deep"]),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key_and_what_would_be_right(
    folder: Path, text: str, words: list[str]
) -> None:
    has_command = "command" not in text.split("\n")[0].split("=")[0] and text != ""
    message = sentence(folder, (COMMAND if has_command else "") + text)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("text", ["a = [", "sidecar = 1", "[environment]\nrequirements = 'none.txt'"])
def test_a_mistake_that_the_reader_finds_names_the_file(folder: Path, text: str) -> None:
    (folder / "run.toml").write_text(text)
    with pytest.raises(InputError, match=re.escape(str(folder / "run.toml"))):
        load(folder / "run.toml")


@pytest.mark.parametrize("name", ["missing.toml", ".", "binary.toml"])
def test_a_file_that_cannot_be_read_is_named(folder: Path, name: str) -> None:
    (folder / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        load(folder / name)


@pytest.mark.parametrize(
    "text",
    [
        f"[datastores.x]\nurl = 's3://b'\nsecrets = {{ key = '{SECRET}' }}",
        f"[datastores.x]\nurl = 's3://b'\nsecrets = {{ key = 'env:{SECRET}' }}",
        f"[datastores.x]\nurl = 's3://b'\nsecrets = '{SECRET}'",
        f"[datastores.x]\nurl = 's3://b'\nsecrets = {{ key = ['{SECRET}'] }}",
        f"[datastores.x]\nurl = 's3://b'\noptions = {{ key = '{SECRET}' }}",
        f"[datastores.x]\nurl = 's3://b'\noptions = {{ client_kwargs = [{{ aws_secret_access_key = '{SECRET}' }}] }}",
        f"[datastores.x]\nurl = 's3://b'\noptions = '{SECRET}'",
        f"[datastores.x]\nurl = 'https://user:{SECRET}@host/data'",
        f"[datastores]\nx = 'https://user:{SECRET}@host/data'",
        f"[[context_managers]]\nuse = 'upload'\noptions = {{ password = '{SECRET}' }}",
        f"[[context_managers]]\nuse = 'upload'\noptions = {{ secrets = {{ password = '{SECRET}' }} }}",
        f"[[context_managers]]\nuse = 'upload'\noptions = {{ secrets = '{SECRET}' }}",
        f"[environment]\ncontainerfile = 'Containerfile'\nregistry = 'https://user:{SECRET}@host'",
        f"[environment]\nrequirements = ['-r https://user:{SECRET}@host/r.txt']",
    ],
)
def test_what_looks_like_a_secret_is_refused_and_not_quoted(folder: Path, text: str) -> None:
    message = sentence(folder, COMMAND + text)
    assert SECRET not in message
    assert re.search(r"secret|password|a text|a list|registry|not read in", message)


def test_an_option_that_is_also_a_secret_is_refused(folder: Path) -> None:
    text = "[datastores.x]\nurl = 's3://b'\noptions = { anon = true }\nsecrets = { anon = 'env:A' }"
    assert "datastores.x.secrets.anon" in sentence(folder, COMMAND + text)
