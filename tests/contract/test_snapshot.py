"""A code folder becomes one archive: equal content gives equal bytes, ignored files stay out, and nothing leads out of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runyard.errors import InputError
from runyard.snapshot import pack, send
from runyard.spec import Snapshot
from tests.collector_process import CollectorProcess

MAX_BYTES = 10**8


def tree(folder: Path, files: dict[str, str]) -> Path:
    """Write the files, in the order given."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def packed(code: Path, into: Path) -> tarfile.TarFile:
    """The archive of the folder, opened."""
    snapshot = pack(code, into, max_bytes=MAX_BYTES)
    return tarfile.open(into / f"{snapshot.id}.tar", "r:")


def names_in(code: Path, into: Path) -> list[str]:
    """Names of the archive's members, in its order."""
    with packed(code, into) as archive:
        return archive.getnames()


def test_the_id_is_the_sha256_of_the_archive(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", {"train.py": "print(1)", "lib/net.py": "x"})
    snapshot = pack(code, tmp_path / "into", max_bytes=MAX_BYTES)
    data = (tmp_path / "into" / f"{snapshot.id}.tar").read_bytes()
    assert snapshot == Snapshot(id=hashlib.sha256(data).hexdigest(), size_bytes=len(data), files=2)
    assert [path.name for path in (tmp_path / "into").iterdir()] == [f"{snapshot.id}.tar"]


def test_equal_content_gives_an_equal_id_whatever_times_masks_and_order(tmp_path: Path) -> None:
    files = {"b.py": "b", "a/x.py": "x", "a.py": "a", "ä/ü.txt": "ü"}
    first = tree(tmp_path / "first", files)
    mask = os.umask(0o077)
    try:
        second = tree(tmp_path / "second", dict(reversed(files.items())))
    finally:
        os.umask(mask)
    os.utime(second / "b.py", (1, 1))
    (second / "empty").mkdir()
    ids = {pack(code, tmp_path / "into", max_bytes=MAX_BYTES).id for code in (first, second, first)}
    assert len(ids) == 1
    (second / "a.py").write_text("A")
    assert pack(second, tmp_path / "into", max_bytes=MAX_BYTES).id not in ids


def test_whether_a_file_is_a_program_is_part_of_the_content_and_owners_and_times_are_not(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", {"go.sh": "#!/bin/sh", "data": "1"})
    (code / "go.sh").chmod(0o4711)
    with packed(code, tmp_path / "into") as archive:
        told = {one.name: (one.mode, one.uid, one.gid, one.uname, one.gname, one.mtime) for one in archive}
    assert told == {"go.sh": (0o755, 0, 0, "", "", 0), "data": (0o644, 0, 0, "", "", 0)}


def test_long_and_foreign_names_and_empty_files_survive(tmp_path: Path) -> None:
    names = ["/".join(["d" * 60] * 4) + "/" + "f" * 120, "with\nline and  spaces", "empty", os.fsdecode(b"no-utf8-\xff")]
    code = tree(tmp_path / "code", dict.fromkeys(names, ""))
    with packed(code, tmp_path / "into") as archive:
        found = [os.fsencode(name) for name in archive.getnames()]
    assert sorted(found) == sorted(map(os.fsencode, names))


def test_amlignore_takes_the_place_of_gitignore(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", {"a.bin": "", "b.log": "", ".gitignore": "*.bin\n"})
    assert names_in(code, tmp_path / "into") == [".gitignore", "b.log"]
    (code / ".amlignore").write_text("*.log\n")
    assert names_in(code, tmp_path / "into") == [".amlignore", ".gitignore", "a.bin"]


def test_gitignore_in_a_subfolder_counts_there_and_amlignore_in_a_subfolder_does_not(tmp_path: Path) -> None:
    code = tree(
        tmp_path / "code", {"x.txt": "", "sub/x.txt": "", "sub/y.txt": "", "sub/.gitignore": "x.*", "sub/.amlignore": "y.*"}
    )
    assert names_in(code, tmp_path / "into") == ["sub/.amlignore", "sub/.gitignore", "sub/y.txt", "x.txt"]


def test_git_s_own_folder_is_never_in_it(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", {".git/config": "", "sub/.git": "gitdir: elsewhere", "x": "", ".amlignore": "!.git\n"})
    assert names_in(code, tmp_path / "into") == [".amlignore", "x"]


PATTERNS = st.sampled_from([
    "*.a", "!*.a", "d/", "!d/", "/d", "d/*", "!d/x.a", "d/**", "**/e", "d/**/x.a", "!/x.a", "e/x.*", "x.[ab]", "\\!x", "# d",
    "x?b", "/*", "!/d/", "**", "!e", "d/e/", "!d/e/x.b", "*", "!*/", "d\\", ".gitignore", "!", "/", "[", "x.[!b]",
    "[[:punct:]]x", "d ", "d**e", "**/*.b", "k[e-", "keep\\ ", "keep\r", "[^k]*", "!x.[a-a]", "***", "d/**/*", "[]-]*",
    "[z-a]*", "d/../*",
])  # fmt: skip
IGNORED = st.lists(PATTERNS | st.text("adexkp!*?[]-^/\\ .#:", max_size=7), max_size=5).map("\n".join)


@pytest.mark.needs_system("git")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(top=IGNORED, below=IGNORED, deep=IGNORED)
def test_what_is_taken_is_what_git_would_take(tmp_path: Path, top: str, below: str, deep: str) -> None:
    if shutil.which("git") is None:
        pytest.skip("needs_system(git): git is not installed")
    code = tmp_path / "code"
    shutil.rmtree(code, ignore_errors=True)
    tree(code, {f"{folder}{name}": "" for folder in ("", "d/", "d/e/", "e/", "d/d/") for name in ("x.a", "x.b", "!x", "keep")})
    tree(code, {".gitignore": top, "d/.gitignore": below, "d/e/.gitignore": deep})
    environ = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q"], cwd=code, env=environ, check=True)
    listing = ["git", "ls-files", "-z", "--others", "--exclude-standard"]
    wanted = subprocess.run(listing, cwd=code, env=environ, check=True, capture_output=True).stdout.decode().split("\0")[:-1]
    if not wanted:
        with pytest.raises(InputError, match="nothing to pack"):
            pack(code, tmp_path / "into", max_bytes=MAX_BYTES)
        return
    assert sorted(names_in(code, tmp_path / "into")) == sorted(wanted)


def test_links_that_stay_inside_stay_links(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", {"a/real.py": "1", "b/c/x": ""})
    (code / "a" / "same.py").symlink_to("real.py")
    (code / "b" / "up").symlink_to("../a")
    (code / "dangling").symlink_to("a/not-there-yet")
    with packed(code, tmp_path / "into") as archive:
        links = {one.name: one.linkname for one in archive if one.issym()}
        assert "b/up/real.py" not in archive.getnames()
    assert links == {"a/same.py": "real.py", "b/up": "../a", "dangling": "a/not-there-yet"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside", "top/../../outside"])
def test_a_link_that_leads_out_is_refused_by_name_and_target(tmp_path: Path, target: str) -> None:
    code = tree(tmp_path / "code", {"sub/deep/x": "", "top/x": ""})
    (tmp_path / "outside").mkdir()
    (code / "leak").symlink_to(target)
    with pytest.raises(InputError, match="'leak' leads out of the code folder") as caught:
        pack(code, tmp_path / "into", max_bytes=MAX_BYTES)
    assert repr(target) in str(caught.value)
    assert ".amlignore" in str(caught.value)
    (code / ".amlignore").write_text("leak\n")
    assert "leak" not in names_in(code, tmp_path / "into")


def test_a_link_that_leads_out_past_another_link_is_refused(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", {"sub/deep/x": ""})
    (code / "sub" / "deep" / "home").symlink_to("../..")
    (code / "leak").symlink_to("sub/deep/home/../code-of-others")
    with pytest.raises(InputError, match="'leak' leads out"):
        pack(code, tmp_path / "into", max_bytes=MAX_BYTES)


def test_sockets_and_pipes_are_passed_over_and_told(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", {"x": ""})
    os.mkfifo(code / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(code / "socket"))
        told: list[str] = []
        snapshot = pack(code, tmp_path / "into", max_bytes=MAX_BYTES, say=told.append)
    assert snapshot.files == 1
    assert told == ["'pipe' is not taken along: it is a named pipe", "'socket' is not taken along: it is a socket"]


def test_too_large_a_folder_is_refused_with_its_largest_parts(tmp_path: Path) -> None:
    code = tree(
        tmp_path / "code", {"train.py": "x", "data/a/1.bin": "x" * 300_000, "data/b/2.bin": "x" * 200_000, "data/c": "x"}
    )
    with pytest.raises(InputError) as caught:
        pack(code, tmp_path / "into", max_bytes=400_000)
    sentence = str(caught.value)
    assert "data/a/ (0.3 MB), data/b/ (0.2 MB)" in sentence
    assert "at most 0.4 MB" in sentence
    assert ".amlignore" in sentence


def test_a_folder_that_is_not_there_or_empty_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no code folder .*missing"):
        pack(tmp_path / "missing", tmp_path / "into", max_bytes=MAX_BYTES)
    (tmp_path / "code").mkdir()
    with pytest.raises(InputError, match="nothing to pack"):
        pack(tmp_path / "code", tmp_path / "into", max_bytes=MAX_BYTES)


def test_a_file_that_is_written_to_all_the_time_is_refused_and_leaves_no_archive(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", {"log": "x" * 50_000_000})
    is_over = threading.Event()

    def write() -> None:
        with (code / "log").open("r+b", buffering=0) as file:
            while not is_over.is_set():
                file.seek(0)
                file.write(b"y")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(InputError, match=r"'log' in the code folder .* changes while it is packed"):
            pack(code, tmp_path / "into", max_bytes=MAX_BYTES)
    finally:
        is_over.set()
        writer.join()
    assert list((tmp_path / "into").iterdir()) == []


def test_caches_and_spools_inside_the_code_folder_are_no_code(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", {"train.py": "", "sub/spool/run.log": "grows", "cache/snapshots/old.tar": "old"})
    ids = {
        pack(code, code / "cache" / "snapshots", max_bytes=MAX_BYTES, leave_out=[code / "sub" / "spool", code / "gone"])
        for _ in range(2)
    }
    (snapshot,) = ids
    assert snapshot.files == 1


def test_what_a_killed_packer_left_is_removed_a_day_later(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", {"x": ""})
    tree(tmp_path / "into", {".snapshot-old.tmp": "half", ".snapshot-new.tmp": "half"})
    os.utime(tmp_path / "into" / ".snapshot-old.tmp", (1, 1))
    snapshot = pack(code, tmp_path / "into", max_bytes=MAX_BYTES)
    assert {path.name for path in (tmp_path / "into").iterdir()} == {".snapshot-new.tmp", f"{snapshot.id}.tar"}


def test_a_snapshot_is_sent_once(tmp_path: Path, collector: CollectorProcess) -> None:
    code = tree(tmp_path / "code", {"train.py": "print(1)"})
    snapshot = pack(code, tmp_path / "into", max_bytes=MAX_BYTES)
    archive = tmp_path / "into" / f"{snapshot.id}.tar"
    client = collector.client()
    assert send(snapshot, archive, client) is True
    assert send(pack(code, tmp_path / "again", max_bytes=MAX_BYTES), archive, client) is False
    with client.stream("GET", f"/snapshots/{snapshot.id}") as response:
        assert response.read() == archive.read_bytes()
