"""Datastores in S3 come to the node whole. The server is a real one: Ceph's gateway."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import fsspec
import pytest

from runyard.agent.phases.datastore import Downloaded
from runyard.spec import Datastore
from tests.agent.phases.data_node import Node, content, sums
from tests.s3_site import S3Site

# One server is enough, wherever the tests are spread to.
pytestmark = [pytest.mark.needs_system("ceph-mon ceph-osd radosgw ceph-common"), pytest.mark.xdist_group("s3")]

FILES = {"train/a.bin": bytes(range(256)) * 1000, "train/deep/b c+%.txt": b"odd", "train/empty": b""}
Bucket = Callable[[str, Mapping[str, bytes]], Datastore]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node without any data yet."""
    return Node(tmp_path)


@pytest.fixture
def bucket(s3: S3Site) -> Bucket:
    """Fills a new bucket and gives the datastore of its `train/`."""

    def fill(name: str, files: Mapping[str, bytes]) -> Datastore:
        store = fsspec.filesystem("s3", key=s3.key, secret=s3.secret, endpoint_url=s3.endpoint)
        store.mkdir(name)
        for key, data in files.items():
            store.pipe_file(f"{name}/{key}", data)
        return Datastore(name="set", url=f"s3://{name}/train", options={"endpoint_url": s3.endpoint})

    return fill


@pytest.fixture
def keys(s3: S3Site) -> dict[str, str]:
    """The account's secrets."""
    return {"key": s3.key, "secret": s3.secret}


def test_all_objects_below_a_prefix_come_and_only_once(node: Node, bucket: Bucket, keys: dict[str, str]) -> None:
    store = bucket("all", FILES | {"train/folder/": b"", "training/other": b"not below it"})
    got = node.get(store, secrets=keys)
    assert content(node.target) == {name.removeprefix("train/"): data for name, data in FILES.items()}
    assert got == Downloaded(files=3, size_bytes=256_003, fetched_files=3, fetched_bytes=256_003)
    assert node.get(store, secrets=keys).fetched_files == 0
    assert not any(keys["secret"] in line or keys["key"] in line for line in node.said)


def test_after_a_kill_only_the_rest_of_an_object_is_fetched(node: Node, bucket: Bucket, keys: dict[str, str]) -> None:
    data = os.urandom(70_000_000)
    store = bucket("rest", {"train/big.bin": data})
    had_bytes = node.killed(store, keys)
    got = node.get(store, secrets=keys)
    assert content(node.target) == {"big.bin": data}
    assert got.fetched_bytes == len(data) - had_bytes + 1


def test_objects_are_verified(tmp_path: Path, node: Node, bucket: Bucket, keys: dict[str, str]) -> None:
    right = {name.removeprefix("train/"): data for name, data in FILES.items()}
    store = bucket("verified", FILES | {"train/SHA256SUMS": sums(right)})
    verified = Datastore(name="set", url=store.url, options=store.options, checksums="SHA256SUMS")
    assert node.get(verified, secrets=keys).files == 3
    store = bucket("spoiled", FILES | {"train/SHA256SUMS": sums(right | {"a.bin": b""})})
    spoiled = Datastore(name="set", url=store.url, options=store.options, checksums="SHA256SUMS")
    assert node.get(verified, secrets=keys).fetched_files == 0
    sentence = Node(tmp_path / "other").fails(spoiled, secrets=keys)
    assert "'a.bin' of the datastore set (s3://spoiled/train) has the SHA-256 " in sentence
    store = bucket("listed", FILES | {"train/SHA256SUMS": sums({"a.bin": b""})})
    listed = Datastore(name="set", url=store.url, options=store.options, checksums="SHA256SUMS")
    assert "has no SHA-256 in SHA256SUMS; make the list anew" in node.fails(listed, secrets=keys)


@pytest.mark.parametrize(
    ("url", "wrong", "sentence"),
    [
        (
            "s3://doors/train",
            {"secret": "wrong-secret-0123"},
            "does not let us read it (SignatureDoesNotMatch); see whether its key",
        ),
        (
            "s3://doors/train",
            {"key": "NOBODY"},
            "does not let us read it (InvalidAccessKeyId); see whether its key and secret are right",
        ),
        ("s3://no-such-bucket/train", {}, "has no files; see whether its url is right"),
        ("s3://doors/no-such-prefix", {}, "has no files; see whether its url is right"),
    ],
)
def test_a_wrong_key_and_a_missing_place_are_told(
    node: Node, s3: S3Site, keys: dict[str, str], url: str, wrong: dict[str, str], sentence: str
) -> None:
    store = fsspec.filesystem("s3", key=s3.key, secret=s3.secret, endpoint_url=s3.endpoint)
    store.makedirs("doors", exist_ok=True)
    store.pipe_file("doors/train/x", b"x")
    said = node.fails(Datastore(name="set", url=url, options={"endpoint_url": s3.endpoint}), secrets=keys | wrong)
    assert said.startswith(f"the datastore set ({url}) {sentence}")
    assert not any(secret in line for secret in (keys | wrong).values() for line in [said, *node.said])


def test_a_server_that_is_not_there_is_told_soon(node: Node, keys: dict[str, str]) -> None:
    store = Datastore(name="set", url="s3://bucket/x", options={"endpoint_url": "http://127.0.0.1:9"})
    assert node.fails(store, secrets=keys).startswith("the datastore set (s3://bucket/x) cannot be reached: ")
    assert len(node.said) == 5
