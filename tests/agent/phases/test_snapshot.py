"""A snapshot on the node: fetched once and verified, unpacked by one of those who share the folder, and never out of it."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runyard.agent.phases.snapshot import fetch, unpack, unpack_once
from runyard.errors import PhaseError
from runyard.snapshot import pack, send
from runyard.spec import Snapshot
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

UNPACK = "import sys, pathlib; from runyard.agent.phases.snapshot import unpack_once; a, t, limit = sys.argv[1:]; "
UNPACK += "unpack_once(pathlib.Path(a), pathlib.Path(t), lambda text: print(text, flush=True), limit_s=float(limit))"


def code(folder: Path, files: int = 3) -> Path:
    """A code folder with that many files, a program, and a link."""
    for number in range(files):
        path = folder / f"package{number % 10}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"NUMBER = {number}\n" * 100)
    (folder / "go.sh").write_text("#!/bin/sh\n")
    (folder / "go.sh").chmod(0o700)
    (folder / "first").symlink_to("package0/module0.py")
    return folder


def packed(tmp_path: Path, files: int = 3) -> tuple[Snapshot, Path]:
    """A snapshot, and where its archive lies."""
    snapshot = pack(code(tmp_path / "source", files), tmp_path / "packed", max_bytes=10**9)
    return snapshot, tmp_path / "packed" / f"{snapshot.id}.tar"


def content(folder: Path) -> dict[str, object]:
    """Everything below the folder: text, target of a link, or None for a folder."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else None
    return found


def quiet(text: str) -> None:
    """Says nothing."""


def unpacker(archive: Path, target: Path, limit_s: float = 60.0) -> subprocess.Popen[str]:
    """Another node's process that unpacks, or waits."""
    return subprocess.Popen(
        [sys.executable, "-c", UNPACK, str(archive), str(target), str(limit_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_snapshot_comes_from_the_collector_once_and_is_what_was_packed(tmp_path: Path, collector: CollectorProcess) -> None:
    snapshot, archive = packed(tmp_path)
    client = collector.client()
    send(snapshot, archive, client)
    cache = tmp_path / "cache"
    fetched = fetch(snapshot.id, cache, client)
    assert fetched.read_bytes() == archive.read_bytes()
    collector.kill()
    assert fetch(snapshot.id, cache, None) == fetched
    unpack(fetched, tmp_path / "code", quiet)
    assert content(tmp_path / "code") == content(tmp_path / "source")
    assert (tmp_path / "code" / "go.sh").stat().st_mode & 0o777 == 0o755
    assert not list(tmp_path.glob(".code.*"))
    assert not list((cache / "snapshots").glob("*.part"))


def test_a_broken_archive_in_the_cache_is_fetched_again(tmp_path: Path, collector: CollectorProcess) -> None:
    snapshot, archive = packed(tmp_path)
    client = collector.client()
    send(snapshot, archive, client)
    (tmp_path / "cache" / "snapshots").mkdir(parents=True)
    (tmp_path / "cache" / "snapshots" / f"{snapshot.id}.tar").write_bytes(archive.read_bytes()[:-512])
    assert fetch(snapshot.id, tmp_path / "cache", client).read_bytes() == archive.read_bytes()


def test_runs_that_fetch_at_the_same_time_all_get_it(tmp_path: Path, collector: CollectorProcess) -> None:
    snapshot, archive = packed(tmp_path, files=300)
    send(snapshot, archive, collector.client())
    got: list[bytes] = []

    def one_run() -> None:
        got.append(fetch(snapshot.id, tmp_path / "cache", collector.client()).read_bytes())

    runs = [threading.Thread(target=one_run) for _ in range(6)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert got == [archive.read_bytes()] * 6


@pytest.mark.parametrize(
    ("snapshot_id", "sentence"), [("../../etc/passwd", "is no snapshot's id"), ("0" * 64, "not in this node's cache")]
)
def test_what_cannot_be_fetched_is_told(tmp_path: Path, snapshot_id: str, sentence: str) -> None:
    with pytest.raises(PhaseError, match=sentence):
        fetch(snapshot_id, tmp_path / "cache", None)


def test_a_snapshot_that_the_collector_does_not_have_is_told(tmp_path: Path, collector: CollectorProcess) -> None:
    with pytest.raises(PhaseError, match=f"does not give the snapshot {'1' * 64}"):
        fetch("1" * 64, tmp_path / "cache", collector.client())


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, mode: int = 0o644, linkname: str = "", size: int = 0) -> tarfile.TarInfo:
    """One entry of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname, info.size = kind, mode, linkname, size
    return info


def link(name: str, target: str) -> tarfile.TarInfo:
    """A symbolic link."""
    return entry(name, tarfile.SYMTYPE, linkname=target)


HARMFUL: dict[str, tuple[list[tarfile.TarInfo], str]] = {
    "absolute path": ([entry("/tmp/evil")], "'/tmp/evil', which is an absolute path"),
    "up": ([entry("a/../../evil")], "'a/../../evil', which leads out"),
    "empty part": ([entry("a//evil")], "'a//evil', which is no proper relative path"),
    "device": ([entry("null", tarfile.CHRTYPE)], "'null', which is a device"),
    "disk": ([entry("disk", tarfile.BLKTYPE)], "'disk', which is a device"),
    "pipe": ([entry("pipe", tarfile.FIFOTYPE)], "'pipe', which is a named pipe"),
    "hard link": ([entry("same", tarfile.LNKTYPE, linkname="/etc/passwd")], "'same', which is a hard link"),
    "setuid": ([entry("su", mode=0o4755)], "'su', which has the setuid"),
    "setgid": ([entry("sg", mode=0o2755)], "'sg', which has the setuid, setgid or sticky bit"),
    "sticky": ([entry("dir", tarfile.DIRTYPE, mode=0o1777)], "'dir', which has"),
    "unknown kind": ([entry("odd", b"V")], "'odd', which is no file, folder or link"),
    "absolute link": ([link("leak", "/etc")], "'leak', which is a link out of the folder, to '/etc'"),
    "link up": ([entry("d/x"), link("d/leak", "../../x")], "'d/leak', which is a link out"),
    "through a link": ([link("way", "."), entry("way/x")], "'way/x', which lies below the link 'way'"),
    "through a later link": ([entry("way/x"), link("way", "d")], "'way/x', which lies below the link 'way'"),
    "below a file": ([entry("f"), entry("f/x")], "'f/x', which lies below the file 'f'"),
    "links together": (
        [entry("d/e/x"), link("d/e/home", "../.."), link("leak", "d/e/home/../x")],
        "'leak', which is a link out of the folder",
    ),
    "twice": ([entry("x"), entry("./x")], "'./x', which is in it twice"),
}


@pytest.mark.parametrize("case", HARMFUL)
def test_what_could_do_harm_is_refused_by_name_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    entries, sentence = HARMFUL[case]
    archive = tmp_path / "in" / "evil.tar"
    archive.parent.mkdir()
    with tarfile.open(archive, "w") as file:
        for one in [entry("good", size=4), *entries]:
            file.addfile(one, io.BytesIO(b"good"))
    folder = tmp_path / "node"
    with pytest.raises(PhaseError) as caught:
        unpack_once(archive, folder / "code", quiet)
    assert sentence in str(caught.value)
    assert [path.name for path in folder.iterdir()] == [".code.unpacked"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "node"]


def test_an_archive_of_plain_tar_is_unpacked_too(tmp_path: Path) -> None:
    source = code(tmp_path / "source")
    subprocess.run(["tar", "-C", str(source), "-cf", str(tmp_path / "plain.tar"), "."], check=True)
    unpack(tmp_path / "plain.tar", tmp_path / "code", quiet)
    assert content(tmp_path / "code") == content(source)


@pytest.mark.parametrize("data", [b"no tar", bytes(100)])
def test_what_is_no_archive_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(PhaseError, match=r"the snapshot x\.tar is no whole tar archive"):
        unpack(tmp_path / "x.tar", tmp_path / "code", quiet)
    assert not (tmp_path / "code").exists()


def test_one_of_the_nodes_that_share_a_folder_unpacks_and_the_others_find_it_done(tmp_path: Path) -> None:
    _, archive = packed(tmp_path, files=500)
    nodes = [unpacker(archive, tmp_path / "shared" / "code") for _ in range(4)]
    said = [node.communicate(timeout=60) for node in nodes]
    assert [error for _, error in said] == [""] * 4
    assert sum("Unpacked 502 entries" in out for out, _ in said) == 1
    assert sum("unpacked already" in out for out, _ in said) == 3
    (tmp_path / "shared" / "code" / "go.sh").write_text("changed by the run")
    assert unpack_once(archive, tmp_path / "shared" / "code", quiet) is False
    assert (tmp_path / "shared" / "code" / "go.sh").read_text() == "changed by the run"


@pytest.fixture
def busy_node(tmp_path: Path) -> Callable[[Path, Path], subprocess.Popen[str]]:
    """Starts a node that has its turn and never gets its archive: the archive is a pipe that nobody writes to."""

    def start(archive: Path, target: Path) -> subprocess.Popen[str]:
        pipe = tmp_path / "pipe" / archive.name
        pipe.parent.mkdir()
        os.mkfifo(pipe)
        node = unpacker(pipe, target)
        lock = target.with_name(f".{target.name}.unpacked")
        wait_for(lambda: lock.exists() and f"process {node.pid}" in lock.read_text(), "the node has its turn")
        return node

    return start


def test_a_node_takes_over_from_one_that_dies(tmp_path: Path, busy_node: Callable[[Path, Path], subprocess.Popen[str]]) -> None:
    _, archive = packed(tmp_path)
    target = tmp_path / "shared" / "code"
    dying = busy_node(archive, target)
    waiting = unpacker(archive, target)
    assert waiting.stdout is not None
    assert f"process {dying.pid} is at it" in waiting.stdout.readline()
    dying.kill()
    dying.communicate()
    out, _ = waiting.communicate(timeout=30)
    assert "Unpacked 5 entries" in out
    assert content(target) == content(tmp_path / "source")


def test_a_wait_that_takes_too_long_names_what_and_whom_it_waited_for(
    tmp_path: Path, busy_node: Callable[[Path, Path], subprocess.Popen[str]]
) -> None:
    _, archive = packed(tmp_path)
    target = tmp_path / "shared" / "code"
    busy = busy_node(archive, target)
    with pytest.raises(PhaseError) as caught:
        unpack_once(archive, target, quiet, limit_s=0.2)
    busy.kill()
    busy.communicate()
    assert f"waited 0.2 s for the code to be unpacked into {target}" in str(caught.value)
    assert f"process {busy.pid}" in str(caught.value)


def test_after_a_kill_in_the_middle_the_next_try_starts_clean(tmp_path: Path) -> None:
    _, archive = packed(tmp_path, files=1500)
    target = tmp_path / "shared" / "code"
    half = target.with_name(".code.unpacking")
    killed = unpacker(archive, target)
    wait_for(lambda: half.exists() and any(half.iterdir()), "it has begun")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not target.exists()
    (half / "left").write_text("of the try before")
    assert unpack_once(archive, target, quiet) is True
    assert content(target) == content(tmp_path / "source")
    assert not half.exists()
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
