"""A real JupyterLab with notebooks of its own, and a person in front of it in Chromium.

`with jupyter(folder) as site:` starts the server; `site.write` makes a notebook, `Notebook` is one that is open in a page. The
server makes no requests to anywhere; what the page asks elsewhere is kept in `foreign`.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, TimeoutError, expect

from tests.waiting import wait_for

START_LIMIT_S = 60.0
TAKEN_LIMIT_S = 2.0
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}


@dataclass
class JupyterSite:
    """One server, whose notebooks lie in `folder`."""

    folder: Path
    url: str
    token: str
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def write(self, name: str, cells: Sequence[str]) -> Path:
        """A notebook with these cells, none of which was run."""
        made: list[dict[str, Any]] = [
            {"id": f"c{number}", "cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
            for number, cell in enumerate(cells)
        ]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        path = self.folder / name
        path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": made}))
        return path

    def read(self, name: str) -> Any:
        """The notebook as it is saved."""
        return json.loads((self.folder / name).read_text())

    def put(self, name: str, notebook: Any) -> None:
        """A notebook as it was saved."""
        (self.folder / name).write_text(json.dumps(notebook))

    @contextmanager
    def open(
        self, browser: Browser, name: str, *, theme: str = "light", width: int = 1280, height: int = 1100
    ) -> Iterator[Notebook]:
        """The notebook in a page of a new browser, its kernel ready."""
        self.choose_theme(theme)
        context = browser.new_context(viewport={"width": width, "height": height}, timezone_id="Europe/Berlin", locale="en-GB")
        self._look_at(context)
        try:
            page = context.new_page()
            page.goto(f"{self.url}/lab/tree/{name}?reset&token={self.token}")
            page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=START_LIMIT_S * 1000)
            yield Notebook(page)
        finally:
            context.close()

    def choose_theme(self, theme: str) -> None:
        """JupyterLab's own, for pages that are opened from now on."""
        name = "JupyterLab Dark" if theme == "dark" else "JupyterLab Light"
        _write_settings(self.folder.parent, "@jupyterlab/apputils-extension/themes", {"theme": name})

    def is_there(self) -> bool:
        """Whether it answers."""
        try:
            self._ask("GET", "api/status")
        except OSError:
            return False
        return True

    def end_kernels(self) -> None:
        """All of them are gone, as after the server's restart."""
        for session in self._ask("GET", "api/sessions"):
            self._ask("DELETE", f"api/sessions/{session['id']}")

    def _ask(self, method: str, path: str) -> Any:
        request = urllib.request.Request(f"{self.url}/{path}", method=method, headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def _look_at(self, context: BrowserContext) -> None:
        def look(url: str) -> None:
            if not url.startswith((self.url, self.url.replace("http", "ws", 1), "data:", "blob:")):
                self.foreign.append(url)

        context.on("request", lambda request: look(request.url))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))


class Notebook:
    """A notebook that is open."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def wait_for_kernel(self) -> None:
        """Its kernel is there, and does nothing."""
        self.page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for(timeout=START_LIMIT_S * 1000)

    def run(self, number: int) -> None:
        """Runs a cell, counted from 0, as a person does; does not wait for its end."""
        prompt = self.page.locator(".jp-Notebook .jp-Cell").nth(number).locator(".jp-InputPrompt")
        before = prompt.inner_text()

        def is_taken() -> bool:
            # JupyterLab forgets what is run before the page has met its kernel, or asks in a dialog which kernel is meant.
            for button in self.page.locator(".jp-Dialog .jp-mod-accept").all():
                button.click()
            with suppress(AssertionError, TimeoutError):
                prompt.click(timeout=TAKEN_LIMIT_S * 1000)
                self.page.get_by_role("button", name="Run this cell and advance").click(timeout=TAKEN_LIMIT_S * 1000)
                expect(prompt).not_to_have_text(before, timeout=TAKEN_LIMIT_S * 1000)
            return prompt.inner_text() != before

        wait_for(is_taken, f"cell {number} is run", limit_s=START_LIMIT_S)

    def output(self, number: int) -> Locator:
        """What a cell shows."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number).locator(".jp-Cell-outputArea")

    def widget(self, number: int) -> Locator:
        """The first thing that a cell shows."""
        return self.output(number).locator(".jp-OutputArea-output").first

    def save(self) -> None:
        """Saves it, and waits until it is."""
        self.page.keyboard.press("Control+s")
        self.page.locator("li.jp-mod-current.jp-mod-dirty").wait_for(state="hidden")


def _environment(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The server's and the kernels': nothing of whoever runs the tests, everything below `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON", "PYTEST"))}
    places = {
        "HOME": folder,
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
        "IPYTHONDIR": folder / "ipython",
    }
    return kept | {name: str(path) for name, path in places.items()} | dict(environ)


def _write_settings(folder: Path, name: str, values: Mapping[str, Any]) -> None:
    path = folder / "settings" / f"{name}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


@contextmanager
def jupyter(folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[JupyterSite]:
    """A JupyterLab server; ended with its kernels at the end of the block. `environ` is the kernels', too."""
    notebooks, token = folder / "notebooks", secrets.token_hex(16)
    notebooks.mkdir(parents=True)
    for name, values in SETTINGS.items():
        _write_settings(folder, name, values)
    log = folder / "jupyter.log"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", "--port=0"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={notebooks}", "--LabApp.news_url=None"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--ServerApp.terminals_enabled=False",
    ]  # fmt: skip
    with log.open("wb") as sink:
        server = subprocess.Popen(command, stdout=sink, stderr=sink, env=_environment(folder, environ or {}))
    try:
        found = re.compile(r"http://127\.0\.0\.1:\d+")
        wait_for(lambda: "/lab?token=" in log.read_text(), "JupyterLab has started", limit_s=START_LIMIT_S)
        match = found.search(log.read_text())
        assert match is not None
        site = JupyterSite(notebooks, match[0], token)
        wait_for(site.is_there, "JupyterLab answers", limit_s=START_LIMIT_S)
        yield site
        site.end_kernels()
    finally:
        server.terminate()
        server.wait(START_LIMIT_S)
