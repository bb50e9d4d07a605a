"""Fixtures: one collector with an agent, one JupyterLab, and one Chromium for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.sdk.lab import Lab, lab
from tests.studio.browsing import launch
from tests.widgets.jupyter_site import JupyterSite, jupyter


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """It goes with the module: while it is there, an event loop runs in this thread, and tests of others could start none."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """What a notebook's runs need."""
    with lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.fixture(scope="module")
def jupyter_site(site: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterSite]:
    """A server whose kernels have the settings of `site`."""
    with jupyter(tmp_path_factory.mktemp("jupyter")) as made:
        yield made
        assert made.foreign == []
        assert made.complaints == []
