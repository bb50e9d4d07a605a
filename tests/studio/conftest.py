"""Fixtures: one Chromium, and a person who browses at the collector of the test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.collector_process import CollectorProcess, running_collector
from tests.studio.browsing import Browsing, launch

# A page that was built elsewhere, by whoever works on it.
BUILT = {name: value for name, value in os.environ.items() if name == "STUDIO_STATIC"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module; each test has contexts of its own. It goes with the module: while it is there,
    an event loop runs in this thread, and tests of others could start none."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One collector for the tests of a module."""
    with running_collector(tmp_path_factory.mktemp("studio"), environ=BUILT) as process:
        yield process


@pytest.fixture
def browsing(browser: Browser, collector: CollectorProcess) -> Iterator[Browsing]:
    """A person at the collector; at the end of the test, what holds for every page is checked."""
    person = Browsing(browser, collector)
    yield person
    person.check()


@pytest.fixture
def collector_of_its_own(tmp_path: Path) -> Iterator[CollectorProcess]:
    """A collector that a test may kill."""
    with running_collector(tmp_path, environ=BUILT) as process:
        yield process
