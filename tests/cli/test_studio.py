"""`runyard studio`: a link that logs a browser in once."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.scene import runyard
from tests.collector.node import Node, call
from tests.collector_process import CollectorProcess


@pytest.fixture
def collector(standing_collector: CollectorProcess) -> CollectorProcess:
    return standing_collector


def code_of(link: str) -> str:
    return parse_qs(urlsplit(link).fragment)["code"][0]


def test_the_link_logs_one_in_once_and_its_code_is_behind_the_hash(collector: CollectorProcess) -> None:
    done = runyard(collector, "studio")
    assert done.returncode == 0, done.stderr
    link = done.stdout.decode().strip()
    assert link.startswith(f"{collector.url}/login#code=")
    statuses = [call(collector, "POST", "/api/v1/session", {"code": code_of(link)}, token="").status for _ in range(2)]
    assert statuses == [201, 401]


def test_a_runs_link_leads_to_its_page_and_a_mistyped_run_is_refused(collector: CollectorProcess) -> None:
    node = Node(collector, run_id="studio-run")
    link = runyard(collector, "studio", node.run_id).stdout.decode().strip()
    assert parse_qs(urlsplit(link).query) == {"to": ["/runs/studio-run"]}
    done = runyard(collector, "studio", "studio-rum")
    assert done.returncode != 0
    assert done.stdout == b""
    assert b"studio-run" in done.stderr


def test_open_shows_the_link_in_the_browser_that_is_set(collector: CollectorProcess, tmp_path: Path) -> None:
    browser, shown = tmp_path / "browser", tmp_path / "shown"
    browser.write_text(f'#!/bin/sh\necho "$1" > {shown}\n')
    browser.chmod(0o755)
    done = runyard(collector, "studio", "--open", BROWSER=f"{browser} %s")
    assert done.returncode == 0, done.stderr
    assert shown.read_text() == done.stdout.decode()
