"""`runyard download`: every file, checked; continued where it stopped; nothing outside the folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import Experiment, Run, Workspace
from runyard.cli.folder import Folder, UnsafeName
from tests.cli.scene import Driver, runyard
from tests.collector.node import LOG, Node
from tests.collector_process import CollectorProcess

MODEL = os.urandom(300_000)


@pytest.fixture
def collector(standing_collector: CollectorProcess) -> CollectorProcess:
    return standing_collector


@pytest.fixture
def run(collector: CollectorProcess) -> Driver:
    driver = Driver(Node(collector)).start().write(b"a line\n" * 1000)
    for name, data in (("outputs/model/weights.bin", MODEL), ("outputs/empty", b"")):
        stream = driver.node.open_one(name)
        driver.node.send(stream, 0, data) if data else None
        assert driver.node.seal(stream, data)["result"] == "sealed"
    return driver.end()


def by_path(text: bytes) -> dict[str, dict[str, object]]:
    return {file["path"]: file for file in json.loads(text)["files"]}


@pytest.mark.row("A4")
def test_every_file_comes_as_it_was_written(collector: CollectorProcess, run: Driver, tmp_path: Path) -> None:
    done = runyard(collector, "download", run.node.run_id, cwd=tmp_path)
    folder = tmp_path / run.node.run_id
    assert done.returncode == 0, done.stderr
    assert (folder / LOG).read_bytes() == run.content
    assert (folder / "outputs/model/weights.bin").read_bytes() == MODEL
    assert (folder / "outputs/empty").read_bytes() == b""
    assert b"3 as sealed" in done.stdout


def test_what_was_uploaded_comes_too(collector: CollectorProcess, run: Driver, tmp_path: Path) -> None:
    fetched = Run(Experiment(Workspace(collector.url, collector.token), "e"), run.node.run_id)
    for name in ("notes/a.txt", "outputs/empty"):  # the node has shipped the second one itself
        fetched.upload_file(name, io.BytesIO(b"of " + name.encode()))
    for fetched_bytes in (14, 0):
        done = runyard(collector, "download", run.node.run_id, "--to", str(tmp_path), "-o", "json")
        assert done.returncode == 0, done.stderr
        found = by_path(done.stdout)["notes/a.txt"]
        assert (found["result"], found["fetched_bytes"]) == ("ok", fetched_bytes)
    assert (tmp_path / "notes/a.txt").read_bytes() == b"of notes/a.txt"
    only = runyard(collector, "download", run.node.run_id, "--to", str(tmp_path / "only"), "--file", "notes/a.txt")
    assert (only.returncode, (tmp_path / "only/notes/a.txt").exists()) == (0, True)


def test_a_part_is_continued_and_a_whole_file_only_checked(collector: CollectorProcess, run: Driver, tmp_path: Path) -> None:
    model = tmp_path / "outputs/model/weights.bin"
    model.parent.mkdir(parents=True)
    model.write_bytes(MODEL[:100_000])
    found = by_path(runyard(collector, "download", run.node.run_id, "--to", str(tmp_path), "-o", "json").stdout)
    assert found["outputs/model/weights.bin"]["fetched_bytes"] == 200_000
    assert model.read_bytes() == MODEL
    found = by_path(runyard(collector, "download", run.node.run_id, "--to", str(tmp_path), "-o", "json").stdout)
    assert {file["fetched_bytes"] for file in found.values()} == {0}
    assert {file["result"] for file in found.values()} == {"ok"}


@pytest.mark.parametrize("wrong", [b"something else", MODEL[:50_000] + b"!", MODEL + b"longer", b"x" * len(MODEL)])
def test_a_part_that_is_no_part_is_fetched_anew(collector: CollectorProcess, run: Driver, tmp_path: Path, wrong: bytes) -> None:
    (tmp_path / "outputs/model").mkdir(parents=True)
    (tmp_path / "outputs/model/weights.bin").write_bytes(wrong)
    done = runyard(collector, "download", run.node.run_id, "--to", str(tmp_path), "--prefix", "outputs/")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs/model/weights.bin").read_bytes() == MODEL
    assert not (tmp_path / LOG).exists()


def test_a_digest_that_differs_is_named_and_leaves_with_1(collector: CollectorProcess, run: Driver, tmp_path: Path) -> None:
    node = run.node
    path = collector.data_dir / "runs" / node.experiment / node.run_id / node.folder / "outputs/model/weights.bin"
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"changed!")
    done = runyard(collector, "download", node.run_id, "--to", str(tmp_path))
    assert done.returncode == 1
    assert b"outputs/model/weights.bin: not what was sealed" in done.stderr
    assert b"1 not what was sealed" in done.stdout
    assert (tmp_path / LOG).read_bytes() == run.content


def test_a_running_run_can_be_downloaded_and_says_what_was_not_checked(collector: CollectorProcess, tmp_path: Path) -> None:
    driver = Driver(Node(collector)).start().write(b"so far\n")
    (tmp_path / LOG).parent.mkdir()
    (tmp_path / LOG).write_bytes(b"of another time, and longer\n")
    done = runyard(collector, "download", driver.node.run_id, "--to", str(tmp_path), "--file", LOG)
    assert done.returncode == 0
    assert (tmp_path / LOG).read_bytes() == b"so far\n"
    assert b"1 not sealed yet, so not checked" in done.stdout


def test_a_file_that_is_not_there_is_one_sentence(collector: CollectorProcess, run: Driver, tmp_path: Path) -> None:
    done = runyard(collector, "download", run.node.run_id, "--to", str(tmp_path), "--file", "outputs/modl/weights.bin")
    assert done.returncode == 2
    assert b"did you mean outputs/model/weights.bin?" in done.stderr


def test_several_nodes_come_into_a_folder_each(collector: CollectorProcess, tmp_path: Path) -> None:
    first = Node(collector, ip="10.0.0.1")
    second = Node(collector, run_id=first.run_id, ip="10.0.0.2", create=False)
    second.run_token = first.run_token
    for rank, node in enumerate((first, second)):
        Driver(node, rank, world_size=2).start().write(f"rank {rank}\n".encode()).end()
    assert runyard(collector, "download", first.run_id, "--to", str(tmp_path)).returncode == 0
    assert (tmp_path / "10.0.0.2/azureml-logs/70_driver_log_1.txt").read_bytes() == b"rank 1\n"


def test_nothing_is_written_through_a_link_that_leads_out_of_the_folder(
    collector: CollectorProcess, run: Driver, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_bytes(b"mine")
    inside = tmp_path / "inside"
    (inside / "azureml-logs").mkdir(parents=True)
    (inside / "outputs").symlink_to(outside)
    (inside / LOG).symlink_to(outside / "victim")
    done = runyard(collector, "download", run.node.run_id, "--to", str(inside))
    assert done.returncode == 1
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_bytes() == b"mine"
    assert b"3 not downloaded" in done.stdout


names = st.lists(st.sampled_from(["..", ".", "", "a", "link", "hard", "pipe", "/", "\0", "b"]), min_size=1, max_size=4)


@given(names)
def test_no_name_leads_out_of_the_folder(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    root = tmp_path_factory.mktemp("names")
    (root / "outside").mkdir()
    (root / "outside/file").write_bytes(b"mine")
    (root / "in").mkdir()
    (root / "in/link").symlink_to(root / "outside")
    (root / "in/hard").hardlink_to(root / "outside/file")
    os.mkfifo(root / "in/pipe")
    with Folder(str(root / "in")) as folder:
        try:
            with folder.open("/".join(parts)) as target:
                folder.write(target, b"evil", 0)
                assert folder.sha256(target) == hashlib.sha256(b"evil").hexdigest()
        except UnsafeName:
            pass
    assert (root / "outside/file").read_bytes() == b"mine"
    assert sorted(path.name for path in root.iterdir()) == ["in", "outside"]
    assert [path.name for path in (root / "outside").iterdir()] == ["file"]
