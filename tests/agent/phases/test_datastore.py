"""Datastores come to the node whole: through http, files and whatever fsspec knows; test_datastore_s3.py has those of S3."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fsspec
import pytest

from runyard.agent.phases.datastore import Downloaded, download
from runyard.errors import PhaseError
from runyard.spec import Datastore
from tests.agent.phases.data_node import DOWNLOAD, Node, content, started, sums, tree
from tests.http_site import Faults, HttpServer
from tests.waiting import wait_for


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node without any data yet."""
    return Node(tmp_path)


FILES = {
    "train.csv": b"1,2\n" * 50_000,
    "deep/er/x.bin": bytes(range(256)) * 10_000,
    "deep/with space & 100%.txt": b"odd",
    "deep/<b>\xc3\xa4\xc3\xb6.txt".encode("latin-1").decode(): b"foreign",
    "empty": b"",
}


def test_all_files_below_a_folder_come_by_name_and_byte(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", FILES)
    site = web.site(source)
    got = node.get(Datastore(name="set", url=f"{site.url}/"))
    size = sum(map(len, FILES.values()))
    assert content(node.target) == FILES
    assert got == Downloaded(files=5, size_bytes=size, fetched_files=5, fetched_bytes=size)
    assert node.said[0].startswith(f"Downloading the datastore set ({site.url}/) to ")
    assert node.said[-1].startswith(f"The datastore set is complete: 5 files, {size / 1e6:.1f} MB; ")
    assert node.parts() == []


@pytest.mark.parametrize("checksums", ["", "SHA256SUMS"])
def test_a_slow_disk_is_written_to_by_threads(web: HttpServer, tmp_path: Path, node: Node, checksums: str) -> None:
    source = tree(tmp_path / "source", FILES | {"SHA256SUMS": sums(FILES)})
    site = web.site(source, Faults(breaks=1, break_bytes=100_000))
    store = Datastore(name="set", url=f"{site.url}/", checksums=checksums)
    download(store, node.target, say=node.said.append, secrets={}, first_pause_s=0.01, slow_disk_s=0.0)
    got = content(node.target)
    got.pop("SHA256SUMS", None)
    assert got == FILES


def test_a_folder_without_its_slash_and_a_single_file_are_told_apart(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", {"sub/a.txt": b"a", "b c.txt": b"b"})
    site = web.site(source)
    node.get(Datastore(name="set", url=f"{site.url}/sub"))
    node.get(Datastore(name="set", url=f"{site.url}/b%20c.txt?signature=abc"))
    assert content(node.target) == {"a.txt": b"a", "b c.txt": b"b"}
    assert not any("abc" in line for line in node.said)


def test_what_is_there_is_not_fetched_again_and_what_has_changed_is(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", FILES)
    site = web.site(source)
    store = Datastore(name="set", url=f"{site.url}/")
    node.get(store)
    before = len(site.fetched())
    assert node.get(store).fetched_files == 0
    (source / "train.csv").write_bytes(b"2,1\n" * 50_000)
    (node.target / "empty").unlink()
    got = node.get(store)
    assert sorted(site.fetched()[before:]) == ["/empty", "/train.csv"]
    assert (got.files, got.fetched_files) == (5, 2)
    assert "; 3 of them were there already" in node.said[-1]
    assert content(node.target) == FILES | {"train.csv": b"2,1\n" * 50_000}


def test_a_server_without_head_costs_a_second_fetch_and_nothing_else(web: HttpServer, tmp_path: Path, node: Node) -> None:
    site = web.site(tree(tmp_path / "source", FILES), Faults(answers_head=False))
    node.get(Datastore(name="set", url=f"{site.url}/"))
    assert node.get(Datastore(name="set", url=f"{site.url}/")).fetched_files == 5
    assert content(node.target) == FILES


def killed_in_the_middle(web: HttpServer, source: Path, node: Node, checksums: str = "") -> int:
    """A download from a slow server that was killed: how many bytes it had."""
    site = web.site(source, Faults(bytes_per_s=10_000_000))
    had_bytes = node.killed(Datastore(name="set", url=f"{site.url}/", checksums=checksums))
    assert content(node.target) == {}
    return had_bytes


def test_after_a_kill_only_the_rest_is_fetched(web: HttpServer, tmp_path: Path, node: Node) -> None:
    data = os.urandom(30_000_000)
    source = tree(tmp_path / "source", {"big.bin": data})
    had_bytes = killed_in_the_middle(web, source, node)
    site = web.site(source)
    got = node.get(Datastore(name="set", url=f"{site.url}/"))
    assert ("GET", "/big.bin", f"bytes={had_bytes - 1}-") in site.requests()
    assert content(node.target) == {"big.bin": data}
    assert got.fetched_bytes == len(data) - had_bytes + 1
    assert node.parts() == []


def test_a_part_is_not_joined_with_another_version_of_the_file(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", {"big.bin": os.urandom(30_000_000)})
    killed_in_the_middle(web, source, node)
    changed = os.urandom(30_000_000)
    (source / "big.bin").write_bytes(changed)
    site = web.site(source)
    node.get(Datastore(name="set", url=f"{site.url}/"))
    assert content(node.target) == {"big.bin": changed}
    assert node.parts() == []


def test_a_part_that_went_bad_on_the_disk_is_fetched_anew(web: HttpServer, tmp_path: Path, node: Node) -> None:
    files = {"big.bin": os.urandom(30_000_000)}
    source = tree(tmp_path / "source", files | {"SHA256SUMS": sums(files)})
    killed_in_the_middle(web, source, node, "SHA256SUMS")
    with node.parts()[0].open("r+b") as part:
        part.write(b"rotten")
    site = web.site(source)
    node.get(Datastore(name="set", url=f"{site.url}/", checksums="SHA256SUMS"))
    assert content(node.target) == files
    assert any("what was there of an earlier try does not belong to it" in line for line in node.said)


@pytest.mark.parametrize("ignores_range", [False, True])
def test_an_answer_that_breaks_off_is_taken_up_and_said_so(
    web: HttpServer, tmp_path: Path, node: Node, ignores_range: bool
) -> None:
    data = os.urandom(5_000_000)
    source = tree(tmp_path / "source", {"big.bin": data, "small": b"x"})
    faults = Faults(breaks=2, break_bytes=2_000_000, ignores_range=ignores_range)
    site = web.site(source, faults)
    node.get(Datastore(name="set", url=f"{site.url}/"))
    asked = [wanted for method, path, wanted in site.requests() if (method, path) == ("GET", "/big.bin")]
    assert content(node.target) == {"big.bin": data, "small": b"x"}
    assert asked[0] == ""
    assert re.fullmatch("bytes=[1-9][0-9]+-", asked[1])
    assert any(f"({site.url}/) broke off at 'big.bin': " in line and "attempt 2 of 5 in 0.01 s" in line for line in node.said)


def test_a_busy_server_is_asked_again_and_a_server_that_stays_busy_is_told(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", {"x": b"x"})
    site = web.site(source, Faults(busy_requests=3))
    node.get(Datastore(name="set", url=f"{site.url}/x"))
    assert content(node.target) == {"x": b"x"}
    site = web.site(source, Faults(busy_requests=100))
    sentence = Node(tmp_path / "other").fails(Datastore(name="set", url=f"{site.url}/"))
    assert sentence == f"the datastore set ({site.url}/) broke off at 'x': the server answered 503"


def test_with_checksums_every_file_is_verified_and_no_listing_is_needed(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", FILES | {"SHA256SUMS": sums(FILES)})
    site = web.site(source, Faults(has_listing=False))
    store = Datastore(name="set", url=f"{site.url}/", checksums="SHA256SUMS")
    got = node.get(store)
    assert (got.files, got.fetched_files) == (5, 5)
    before = len(site.requests())
    assert node.get(store).fetched_files == 0
    assert [path for _, path, _ in site.requests()[before:]] == ["/SHA256SUMS"]
    assert "gives no page" not in Node(tmp_path / "other").fails(Datastore(name="set", url=f"{site.url}/"))
    assert content(node.target) == FILES


def test_a_file_that_is_not_what_its_checksum_says_is_named_with_both(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(
        tmp_path / "source", {"good": b"good", "bad": b"bad", "SHA256SUMS": sums({"good": b"good", "bad": b"was good"})}
    )
    site = web.site(source)
    sentence = node.fails(Datastore(name="set", url=f"{site.url}/", checksums="SHA256SUMS"))
    found, expected = (hashlib.sha256(data).hexdigest() for data in (b"bad", b"was good"))
    assert sentence == f"'bad' of the datastore set ({site.url}/) has the SHA-256 {found}, but SHA256SUMS says {expected}"
    assert "bad" not in content(node.target)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (b"no checksum\n", "line 1 of the checksums SHA256SUMS of the datastore set"),
        (sums({"gone": b""}), "has no 'gone'; see whether its url is right"),
        (None, "has no the checksums SHA256SUMS"),
    ],
)
def test_checksums_that_cannot_be_used_are_told(
    web: HttpServer, tmp_path: Path, node: Node, lines: bytes | None, sentence: str
) -> None:
    source = tree(tmp_path / "source", {"x": b"x"} if lines is None else {"x": b"x", "SHA256SUMS": lines})
    site = web.site(source)
    assert sentence in node.fails(Datastore(name="set", url=f"{site.url}/", checksums="SHA256SUMS"))


def test_a_secret_opens_the_door_and_is_never_said(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", {"x": b"x"})
    site = web.site(source, Faults(token="open-sesame"))
    store = Datastore(name="set", url=f"{site.url}/", secrets={"headers.Authorization": "env:TOKEN"})
    sentence = node.fails(store, secrets={"headers.Authorization": "Bearer wrong-secret"})
    node.get(store, secrets={"headers.Authorization": "Bearer open-sesame"})
    assert (
        sentence == f"the datastore set ({site.url}/) does not let us read it (401); see whether its key and secret are right"
    )
    assert content(node.target) == {"x": b"x"}
    assert not any("sesame" in line or "wrong-secret" in line for line in node.said)


@pytest.mark.parametrize(("page", "name"), [("%2e%2e/%2e%2e/evil", "../../evil"), ("a/%2e%2e%2f%2e%2e%2fevil", "a/../../evil")])
def test_a_name_that_leads_out_is_refused(web: HttpServer, tmp_path: Path, node: Node, page: str, name: str) -> None:
    source = tree(tmp_path / "source", {"x": b"x"})
    site = web.site(source, Faults(page=f'<a href="x">x</a> <a href="{page}">evil</a>'))
    sentence = node.fails(Datastore(name="set", url=f"{site.url}/"))
    assert f"has a file named {name!r}, which leads out of the folder" in sentence
    assert content(tmp_path / "data") == {
        ".set.download/lock": (tmp_path / "data/.set.download/lock").read_bytes(),
        ".set.download/done.jsonl": b"",
    }


def test_links_that_do_not_lead_deeper_are_not_followed(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", {"sub/x": b"x", "other": b"y"})
    page = '<a href="../other">up</a> <a href="http://127.0.0.1:1/sub/x">away</a> <a href="mailto:a@b">b</a> '
    page += '<a href="x#top">x</a> <a href="{root}/sub/x">again</a> <a href="http://[">c</a> <a>d</a>'
    site = web.site(source, Faults(page=page))
    node.get(Datastore(name="set", url=f"{site.url}/sub/"))
    assert content(node.target) == {"x": b"x"}


def test_a_server_that_is_not_there_is_tried_five_times(node: Node) -> None:
    with pytest.raises(PhaseError) as caught:
        node.get(Datastore(name="set", url="http://127.0.0.1:9/data/"))
    assert str(caught.value) == "the datastore set (http://127.0.0.1:9/data/) cannot be reached: Connection refused"
    assert caught.value.is_passing
    assert [line.rpartition("; ")[2] for line in node.said[1:]] == [
        f"attempt {number} of 5 in {pause:g} s." for number, pause in ((2, 0.01), (3, 0.02), (4, 0.04), (5, 0.08))
    ]


@pytest.mark.parametrize(
    ("url", "options", "sentence"),
    [
        ("http://127.0.0.1:9x/", {}, "cannot be read"),
        ("nowhere://bucket/x", {}, "cannot be read: ValueError: Protocol not known: nowhere"),
        ("gs://bucket/x", {}, "needs a package that is not installed: "),
        ("s3://bucket/x", {"nonsense": {"a": 1}}, "cannot be read: TypeError: "),
    ],
)
def test_an_address_or_option_that_cannot_be_used_is_told(
    node: Node, url: str, options: dict[str, object], sentence: str
) -> None:
    assert sentence in node.fails(Datastore(name="set", url=url, options=options))


def test_without_s3fs_it_is_told_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['s3fs'] = None\n" + DOWNLOAD
    command = [sys.executable, "-c", code, '{"name": "set", "url": "s3://bucket/x"}', str(tmp_path / "set"), "{}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "needs a package that is not installed: Install s3fs to access S3; install runyard[s3]" in ended.stderr


def test_a_local_folder_is_copied_past_links_to_files(tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", FILES)
    (source / "link").symlink_to("train.csv")
    os.mkfifo(source / "pipe")
    got = node.get(Datastore(name="set", url=f"file://{source}"))
    assert content(node.target) == FILES | {"link": FILES["train.csv"]}
    assert node.get(Datastore(name="set", url=str(source))).fetched_files == 0
    assert got.size_bytes == sum(map(len, FILES.values())) + len(FILES["train.csv"])


def test_a_link_to_a_folder_is_refused_as_its_files_would_be_missing(tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", {"a/x": b"x"})
    (source / "b").symlink_to("a")
    assert "'b' in " in node.fails(Datastore(name="set", url=str(source)))
    with pytest.raises(PhaseError, match="is a link to a folder"):
        node.get(Datastore(name="set", url=str(source)))


def test_a_local_folder_that_is_not_there_is_told(tmp_path: Path, node: Node) -> None:
    assert "has no files; see whether its url is right" in node.fails(Datastore(name="set", url=str(tmp_path / "missing")))


def test_whatever_else_fsspec_knows_works_too(tmp_path: Path, node: Node) -> None:
    memory = fsspec.filesystem("memory")
    for name, data in FILES.items():
        memory.pipe_file(f"/shelf-{tmp_path.name}/{name}", data)
    node.get(Datastore(name="set", url=f"memory://shelf-{tmp_path.name}"))
    assert content(node.target) == FILES


def test_a_file_and_a_folder_of_one_name_are_told(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", {"SHA256SUMS": sums({"a": b"", "a/b": b""})})
    site = web.site(source)
    sentence = node.fails(Datastore(name="set", url=f"{site.url}/", checksums="SHA256SUMS"))
    assert "has both 'a' and 'a/b': a folder cannot have a file's name" in sentence


def test_a_cancel_ends_it_at_once_and_keeps_what_has_come(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", {"big.bin": os.urandom(30_000_000)})
    site = web.site(source, Faults(bytes_per_s=5_000_000))
    download = started(Datastore(name="set", url=f"{site.url}/"), node.target)
    wait_for(lambda: sum(path.stat().st_size for path in node.parts()) > 1 << 20, "a part has come")
    begun_s = time.monotonic()
    download.send_signal(signal.SIGTERM)
    out, _ = download.communicate(timeout=20)
    assert out.splitlines()[-1] == "canceled"
    assert time.monotonic() - begun_s < 3
    assert len(node.parts()) == 1


def test_how_far_it_is_is_said_from_time_to_time(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", {f"{number}.bin": bytes(1_500_000) for number in range(3)})
    site = web.site(source, Faults(bytes_per_s=600_000))
    node.get(Datastore(name="set", url=f"{site.url}/"))
    (line,) = (line for line in node.said if line.startswith("Datastore set: "))
    assert line.startswith("Datastore set: 0 of 3 files, ")
    assert line.endswith(" MB/s.")


def test_two_downloads_to_one_folder_take_turns(web: HttpServer, tmp_path: Path, node: Node) -> None:
    source = tree(tmp_path / "source", {"x.bin": os.urandom(1_000_000)})
    site = web.site(source, Faults(bytes_per_s=1_000_000))
    store = Datastore(name="set", url=f"{site.url}/")
    first = started(store, node.target)
    wait_for(lambda: "/x.bin" in site.fetched(), "the first has begun")
    assert node.get(store).fetched_files == 0
    first.communicate()
    assert site.fetched() == ["/x.bin"]
    assert node.said[1].startswith("Waiting for the datastore set ")
    assert f"process {first.pid} is at it" in node.said[1]


@pytest.mark.needs_system("mount")
@pytest.mark.parametrize("with_checksums", [False, True])
def test_a_full_disk_is_said_so(web: HttpServer, tmp_path: Path, small_disk: Path, with_checksums: bool) -> None:
    files = {"big.bin": bytes(20_000_000)}
    source = tree(tmp_path / "source", files | {"SHA256SUMS": sums(files)})
    node = Node(small_disk)
    site = web.site(source)
    checksums = "SHA256SUMS" if with_checksums else ""
    sentence = node.fails(
        Datastore(name="set", url=f"{site.url}/big.bin" if not checksums else f"{site.url}/", checksums=checksums)
    )
    assert f"the disk below {node.target} is full: 'big.bin' does not fit" in sentence


def test_nothing_is_left_running(tmp_path: Path, node: Node) -> None:
    before = {thread.name for thread in threading.enumerate()} | {"fsspecIO"}
    source = tree(tmp_path / "source", FILES)
    node.get(Datastore(name="set", url=str(source)))
    wait_for(lambda: {thread.name for thread in threading.enumerate()} <= before, "the threads have ended")
