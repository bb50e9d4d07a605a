"""Files of a run by the SDK: in a job, of a fetched run, offline; whole or not at all, over broken networks and kills."""

from __future__ import annotations

import io
import json
import os
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard import Experiment, Run, Workspace, names
from runyard.errors import CollectorRefused, InputError
from runyard.sdk.job import get_context
from tests.agent.node_runs import NodeRun
from tests.collector.node import LOG, Node, call, sha256
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

from .cutting import cutting

HEAD = "import io, json, os, sys\nfrom runyard import Run\nrun = Run.get_context(allow_offline=False)\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One collector for the tests of this file that do not hurt it."""
    with running_collector(tmp_path_factory.mktemp("shared")) as process:
        yield process


def fetched(url: str, token: str, run_id: str) -> Run:
    """The run as a notebook has it."""
    return Run(Experiment(Workspace(url, token), "exp"), run_id)


def made(collector: CollectorProcess) -> tuple[Node, Run]:
    """A run with a log, as its node and as a notebook have it."""
    node = Node(collector)
    node.send(node.open_one(), 0, b"a line\n")
    return node, fetched(collector.url, collector.token, node.run_id)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.row("C7")
def test_a_notebook_uploads_lists_and_downloads(shared: CollectorProcess, here: Path, tmp_path: Path) -> None:
    _, run = made(shared)
    data = random.randbytes(2_000_000)
    (tmp_path / "m.pt").write_bytes(data)
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "a.txt").write_text("a")
    (tmp_path / "tree" / "deep" / "b.txt").write_text("b")
    run.upload_file("outputs/m.pt", str(tmp_path / "m.pt"))
    run.upload_file("./stream.bin", io.BytesIO(b"from memory"))
    run.upload_folder("tree", str(tmp_path / "tree"))
    kept = run.upload_files(["x/1", "x/2"], [str(tmp_path / "m.pt")] * 2, return_artifacts=True)
    assert {name: one.sha256 for name, one in kept.items()} == dict.fromkeys(("x/1", "x/2"), sha256(data))
    assert run.get_file_names() == [LOG, "outputs/m.pt", "stream.bin", "tree/a.txt", "tree/deep/b.txt", "x/1", "x/2"]
    run.download_file("outputs/m.pt")
    run.download_file("stream.bin", "other/name.bin")
    (here / "into").mkdir()
    run.download_file("stream.bin", "into")
    run.download_files("tree", "all")
    run.download_files("tree/", "plain", append_prefix=False)
    run.download_files("x", "named", output_paths=["first", "second"])
    assert run.get_all_logs() == [f"assets/{run.id}/{LOG}"]
    assert run.get_all_logs("logs here") == [f"logs here/{LOG}"]
    assert files_of(here) == {
        "m.pt": data,
        "other/name.bin": b"from memory",
        "into/stream.bin": b"from memory",
        "all/tree/a.txt": b"a",
        "all/tree/deep/b.txt": b"b",
        "plain/a.txt": b"a",
        "plain/deep/b.txt": b"b",
        "named/first": data,
        "named/second": data,
        f"assets/{run.id}/{LOG}": b"a line\n",
        f"logs here/{LOG}": b"a line\n",
    }


def test_two_notebooks_that_log_a_document_to_a_run_replace_no_file_of_each_other(shared: CollectorProcess) -> None:
    node, _ = made(shared)
    for count in (1, 2):
        data = {"bin_edges": [1, 2], "bin_counts": [count]}
        run = fetched(shared.url, shared.token, node.run_id)
        run.log_residuals("res", {"schema_type": "residuals", "schema_version": "1.0.0", "data": data})
        assert run.flush(30)
    first, second = run.get_metrics("res", populate=True)["res"]
    assert [first["data"]["bin_counts"], second["data"]["bin_counts"]] == [[1], [2]]
    assert all(name.startswith("res_") for name in run.get_file_names() if name != LOG)


def test_a_child_that_was_just_made_takes_files(shared: CollectorProcess, here: Path) -> None:
    _, run = made(shared)
    child = run.child_run("first")
    child.upload_file("m.pt", io.BytesIO(b"of the child"))
    fetched(shared.url, shared.token, child.id).download_file("m.pt")
    assert files_of(here) == {"m.pt": b"of the child"}
    assert (child.get_file_names(), run.get_file_names()) == (["m.pt"], [LOG])


def test_an_upload_over_a_broken_network_goes_on_where_it_was(shared: CollectorProcess, tmp_path: Path) -> None:
    node, _ = made(shared)
    data = random.randbytes(8_000_000)
    (tmp_path / "m.pt").write_bytes(data)
    before = _blob_bytes(shared)
    with cutting(shared.url, 2_500_000, cuts=3) as network:
        fetched(network.url, shared.token, node.run_id).upload_file("m.pt", str(tmp_path / "m.pt"))
        assert network.left == 0
    assert _blob_bytes(shared) - before == len(data)  # no byte twice
    assert node.client.json("GET", f"/runs/{node.run_id}/artifacts")["files"][0]["sha256"] == sha256(data)


def test_a_run_sends_by_its_token_what_another_has_sent_before_and_goes_on_where_it_was(
    shared: CollectorProcess, tmp_path: Path
) -> None:
    (_, other), (node, _) = made(shared), made(shared)
    data = random.randbytes(8_000_000)
    (tmp_path / "m.pt").write_bytes(data)
    other.upload_file("m.pt", str(tmp_path / "m.pt"))
    before = _blob_bytes(shared)
    with cutting(shared.url, 2_500_000, cuts=3) as network:
        run = fetched(network.url, node.run_token, node.run_id)
        for name in ("m.pt", "again.pt"):
            run.upload_file(name, str(tmp_path / "m.pt"))
        assert network.left == 0
    assert _blob_bytes(shared) - before == len(data)  # every byte, and none twice
    files = node.client.json("GET", f"/runs/{node.run_id}/artifacts")["files"]
    assert {file["path"]: file["sha256"] for file in files} == {"again.pt": sha256(data), "m.pt": sha256(data)}


def _blob_bytes(collector: CollectorProcess) -> float:
    lines = call(collector, "GET", "/metrics").data.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("runyard_blob_bytes_total "))


def test_a_download_over_a_broken_network_goes_on_where_it_was(shared: CollectorProcess, here: Path, tmp_path: Path) -> None:
    node, run = made(shared)
    data = random.randbytes(8_000_000)
    run.upload_file("m.pt", io.BytesIO(data))
    with cutting(shared.url, 2_500_000, cuts=3) as network:
        fetched(network.url, shared.token, node.run_id).download_file("m.pt")
        assert network.left == 0
    assert files_of(here) == {"m.pt": data}


def test_a_download_that_fails_leaves_what_was_there(shared: CollectorProcess, here: Path) -> None:
    _, run = made(shared)
    run.upload_file("m.pt", io.BytesIO(random.randbytes(100_000)))
    (here / "m.pt").write_bytes(b"before")
    (blob,) = [path for path in (shared.data_dir / "blobs").iterdir() if path.is_file() and path.stat().st_size == 100_000]
    blob.chmod(0o600)
    blob.write_bytes(bytes(100_000))  # a disk that lies
    with pytest.raises(Exception, match="came with the SHA-256"):
        run.download_file("m.pt")
    assert files_of(here) == {"m.pt": b"before"}
    blob.unlink()


def test_a_kill_of_the_collector_in_an_upload_is_outlived(collector: CollectorProcess, tmp_path: Path) -> None:
    node = Node(collector)
    data = random.randbytes(8_000_000)
    (tmp_path / "m.pt").write_bytes(data)
    partial = collector.data_dir / "blobs" / "partial"
    failures: list[BaseException] = []

    def upload(run: Run) -> None:
        try:
            run.upload_file("m.pt", str(tmp_path / "m.pt"))
        except BaseException as error:
            failures.append(error)

    def come_bytes() -> int:
        return max((path.stat().st_size for path in partial.glob("*")), default=0)

    with cutting(collector.url, 5_000_000, cuts=1, is_holding=True) as network:
        thread = threading.Thread(target=upload, args=(fetched(network.url, collector.token, node.run_id),))
        thread.start()
        wait_for(lambda: come_bytes() > 4_000_000, "half of it has come")
        collector.kill()
        before = come_bytes()
        network.go.set()
        collector.start()
        thread.join()
    assert failures == []
    assert call(collector, "GET", f"/api/v1/runs/{node.run_id}/artifacts/m.pt").data == data
    assert _blob_bytes(collector) <= len(data) - before  # of this process: what had come is not sent again


def test_a_training_uploads_and_a_notebook_reads(collector: CollectorProcess, here: Path, tmp_path: Path) -> None:
    script = (
        "os.makedirs('tree'); open('tree/a.txt', 'w').write('a'); open('m.pt', 'wb').write(b'weights' * 100000)\n"
        "run.upload_file('models/m.pt', 'm.pt'); run.upload_folder('tree', 'tree')\n"
        "open('m.pt', 'wb').write(b'changed later')\n"
        "child = run.child_run('first'); child.upload_file('m.pt', io.BytesIO(b'of the child'))\n"
        "names = run.get_file_names(); run.download_file('models/m.pt', 'again.pt')\n"
        "print(json.dumps([names, os.path.getsize('again.pt'), child.id]))"
    )
    env = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
    job = NodeRun(tmp_path / "spool", sys.executable, "-c", HEAD + script, flags=("--experiment", "exp"), env=env)
    done = job.complete(cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed, size, child_id = json.loads(job.log().decode().splitlines()[-1])
    assert {"models/m.pt", "tree/a.txt"} <= set(listed)
    assert not [name for name in listed if name.startswith(names.PRIVATE_DIR)]
    assert size == 700_000
    run = fetched(collector.url, collector.token, "r")
    run.download_files("models", "got")
    fetched(collector.url, collector.token, child_id).download_file("m.pt", "child.pt")
    assert files_of(here) == {"got/models/m.pt": b"weights" * 100_000, "child.pt": b"of the child"}


def test_a_training_uploads_while_the_collector_is_away(collector: CollectorProcess, tmp_path: Path) -> None:
    url, token = collector.url, collector.token
    collector.kill()
    script = "run.upload_file('models/m.pt', io.BytesIO(b'weights'))\nprint('kept')"
    env = {"RUNYARD_COLLECTOR_URL": url, "RUNYARD_TOKEN": token, "RUNYARD_RUN__DRAIN_S": "0"}
    job = NodeRun(tmp_path / "spool", sys.executable, "-c", HEAD + script, flags=("--experiment", "exp"), env=env)
    assert job.complete(cwd=tmp_path).returncode == 0
    assert job.log().decode().splitlines()[-1] == "kept"
    assert (job.path(names.BLOBS_DIR) / sha256(b"weights")).read_bytes() == b"weights"


def test_an_offline_runs_files_stay_here(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNYARD_RUN_ID", raising=False)
    run = get_context()
    (here / "a.txt").write_text("a")
    run.upload_file("outputs/a.txt", "a.txt")
    assert "outputs/a.txt" in run.get_file_names()
    run.download_file("outputs/a.txt", "b.txt")
    assert (here / "b.txt").read_text() == "a"
    with pytest.raises(InputError, match=r"has no file 'outputs/b\.txt'"):
        run.download_file("outputs/b.txt")


def test_a_folder_with_a_file_whose_name_is_no_text_is_refused_whole(shared: CollectorProcess, here: Path) -> None:
    _, run = made(shared)
    (here / "a.txt").write_text("a")
    (here / os.fsdecode(b"caf\xe9.txt")).write_text("b")
    with pytest.raises(InputError, match=r"name 'tree/caf\\udce9\.txt' is not UTF-8, and the collector's names are text"):
        run.upload_folder("tree", ".")
    assert run.get_file_names() == [LOG]
    run.upload_file("cafe.txt", os.fsdecode(b"caf\xe9.txt"))
    assert run.get_file_names() == [LOG, "cafe.txt"]


def test_what_cannot_be_is_told_in_a_sentence(shared: CollectorProcess, here: Path) -> None:
    _, run = made(shared)
    (here / "a.txt").write_text("a")
    for name in ("", "/etc/passwd", "../x", "a//b", "a\0b", 7):
        with pytest.raises(InputError, match="name"):
            run.upload_file(name, "a.txt")  # type: ignore[arg-type]
    for source, words in (("nix", "No such file"), (".", "is a folder"), (7, "int")):
        with pytest.raises(InputError, match=words):
            run.upload_file("x", source)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 names and 1 paths"):
        run.upload_files(["a", "b"], ["a.txt"])
    with pytest.raises(InputError, match="given twice"):
        run.upload_files(["a", "a"], ["a.txt", "a.txt"])
    with pytest.raises(InputError, match="is no folder"):
        run.upload_folder("x", "a.txt")
    with pytest.raises(InputError, match=f"did you mean '{LOG}'"):
        run.download_file(LOG.replace("70", "71"))
    with pytest.raises(InputError, match="2 output_paths are given for 1 files"):
        run.download_files(output_paths=["a", "b"])
    with pytest.raises(InputError, match="cannot be written"):
        run.download_file(LOG, "a.txt/below")
    run.upload_file("a/b", "a.txt")
    with pytest.raises(CollectorRefused, match="both file and folder"):
        run.upload_file("a", "a.txt")
    assert files_of(here) == {"a.txt": b"a"}
