"""What the phases' tests share: an S3 server and an HTTP server for all of them, and a disk that is soon full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_site import HttpServer, running_server
from tests.s3_site import S3Site, missing_tool, running_s3

DISK_BYTES = 8 << 20


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Site]:
    """A real S3 server, the same for all tests: each makes a bucket of its own."""
    if tool := missing_tool():
        pytest.skip(f"needs_system(ceph): {tool} is not installed")
    with running_s3(tmp_path_factory.mktemp("s3") / "site") as site:
        yield site


@pytest.fixture(scope="session")
def web() -> Iterator[HttpServer]:
    """A real HTTP server, the same for all tests: each has a site of its own."""
    with running_server() as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_BYTES."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs_system(mount): a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
